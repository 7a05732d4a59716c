/**
 * Where `typetun exec` is tested: a user in namespace c, who reaches a server only through a tunnel, whose
 * other end is wireguard-go's.
 *
 *   namespace c                                namespace s
 *   +--------------------------+   veth        +-------------------------------+
 *   | typetun exec             | 172.31.0.0/24 | wireguard-go   10.66.0.1      |
 *   |   UDP socket         .1  |---------------| .2             fd66::1        |
 *   |   [command 10.66.0.2,    |               |   server: HTTP, echo, DNS     |
 *   |            fd66::2]      |               +-------------------------------+
 *   +--------------------------+
 */
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FULL } from '../netns/environment.js';
import { commandOf, type Device, type Implementation, Job, Lab } from '../netns/harness.js';
import { asUser, INSIDE, UID, type UserOptions } from './user.js';

export const SERVER = ['10.66.0.1', 'fd66::1'] as const;
export const CLIENT = ['10.66.0.2', 'fd66::2'] as const;
export const OUTSIDE = { client: '172.31.0.1', server: '172.31.0.2' } as const;
const TIMEOUT_MS = FULL ? 600_000 : 60_000;

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions extends UserOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** More words before the configuration. */
  readonly options?: readonly string[];
  /** A file instead of the world's own. */
  readonly config?: string;
}

export interface ConfigOptions {
  readonly privateKey?: string;
  readonly address?: string;
  /** Lines for [Interface]. */
  readonly lines?: readonly string[];
  readonly allowedIps?: string;
  /** Empty: none. */
  readonly endpoint?: string;
  readonly dns?: string;
  readonly mode?: number;
  readonly owner?: number;
}

export class World {
  readonly lab: Lab = new Lab();
  /** A directory of the user's. */
  readonly directory: string = mkdtempSync(join(tmpdir(), `typetun-rootless-${process.pid}-`));
  server!: Job;
  device!: Device;
  config = '';
  #clientKey = '';
  #files = 0;

  /** @param far whose implementation the far end is; wireguard-go's without */
  static async make(far?: Implementation): Promise<World> {
    const world = new World();
    try {
      await world.#build(far ?? (commandOf('wireguard-go-newest') ? 'wireguard-go-newest' : 'wireguard-go'));
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  async #build(far: Implementation): Promise<void> {
    const { lab } = this;
    chownSync(this.directory, UID, UID);
    chmodSync(this.directory, 0o711);
    await lab.namespace('c', 's');
    await lab.veth('c', 'veth0', 's', 'veth0');
    await lab.ip('c', `address add ${OUTSIDE.client}/24 dev veth0`);
    await lab.ip('s', `address add ${OUTSIDE.server}/24 dev veth0`);
    this.device = await lab.device(far, 's');
    const client = await lab.keys();
    this.#clientKey = client.privateKey;
    const { name } = this.device;
    await lab.wg(`set ${name} listen-port 51820 peer ${client.publicKey} allowed-ips ${CLIENT[0]}/32,${CLIENT[1]}/128`);
    await lab.ip('s', `address add ${SERVER[0]}/24 dev ${name}`);
    await lab.ip('s', `address add ${SERVER[1]}/64 dev ${name} nodad`);
    await lab.ip('s', `link set ${name} up mtu 1420`);
    this.server = await this.serve('s', SERVER);
    this.config = this.writeConfig();
  }

  /** One more peer of the far end. @returns the path of its configuration */
  async addClient(address: string): Promise<string> {
    const { privateKey, publicKey } = await this.lab.keys();
    await this.lab.wg(`set ${this.device.name} peer ${publicKey} allowed-ips ${address}/32`);
    return this.writeConfig({ privateKey, address: `${address}/32` });
  }

  /** Starts a server in a namespace. */
  async serve(ns: string, addresses: readonly string[]): Promise<Job> {
    const script = fileURLToPath(new URL('./server.js', import.meta.url));
    const server = this.lab.spawn(ns, [process.execPath, script, ...addresses]);
    await server.prints('serving');
    return server;
  }

  /** Writes a configuration of the user's. @returns its path */
  writeConfig(options: ConfigOptions = {}): string {
    const path = join(this.directory, `tunnel${this.#files++}.conf`);
    const text = [
      '[Interface]',
      `PrivateKey = ${options.privateKey ?? this.#clientKey}`,
      `Address = ${options.address ?? `${CLIENT[0]}/32, ${CLIENT[1]}/128`}`,
      `DNS = ${options.dns ?? SERVER[0]}`,
      ...(options.lines ?? []),
      '[Peer]',
      `PublicKey = ${this.device.publicKey}`,
      `AllowedIPs = ${options.allowedIps ?? '0.0.0.0/0, ::/0'}`,
      ...(options.endpoint === '' ? [] : [`Endpoint = ${options.endpoint ?? `${OUTSIDE.server}:51820`}`]),
      '',
    ];
    writeFileSync(path, text.join('\n'), { mode: options.mode ?? 0o600 });
    chownSync(path, options.owner ?? UID, UID);
    return path;
  }

  /** The words that start `typetun exec` with more words. */
  words(words: readonly string[], options: UserOptions = {}): string[] {
    const user = asUser({ netns: this.lab.ns('c'), ...options });
    return [...user, INSIDE.typetun, 'exec', ...words];
  }

  /** Starts `typetun exec` and does not wait. It is killed with the world. */
  start(words: readonly string[], options: RunOptions = {}): Job {
    const job = new Job(this.words(words, options), options.env, options.input);
    this.#started.push(job);
    return job;
  }

  readonly #started: Job[] = [];

  /** Runs `typetun exec CONFIG -- command...` to its end. */
  async exec(command: readonly string[], options: RunOptions = {}): Promise<Result> {
    const job = this.start([...(options.options ?? []), options.config ?? this.config, '--', ...command], options);
    const { code } = await job.end(TIMEOUT_MS);
    this.#started.splice(this.#started.indexOf(job), 1);
    return { code, stdout: job.stdout, stderr: job.stderr };
  }

  /** As {@link exec}, for a shell script. */
  sh(script: string, options: RunOptions = {}): Promise<Result> {
    return this.exec(['sh', '-c', script], options);
  }

  async close(): Promise<void> {
    for (const job of this.#started) job.killNow();
    rmSync(this.directory, { recursive: true, force: true });
    await this.lab.close();
  }
}
