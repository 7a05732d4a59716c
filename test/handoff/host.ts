/**
 * A machine of a control plane's own, as far as it can tell: a network namespace, and, in a mount namespace,
 * /etc/wireguard and /run/wireguard that are nobody else's, so that its interface can be called wg0.
 */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Job, type Lab, until } from '../netns/harness.js';

const TYPETUN = fileURLToPath(new URL('../../../bin/typetun', import.meta.url));
const PREPARE = `
mkdir -p /etc/wireguard /run/wireguard
mount -t tmpfs -o mode=0700 tmpfs /etc/wireguard
mount -t tmpfs -o mode=0755 tmpfs /run/wireguard
echo ready; exec sleep infinity`;

/** Its number, in the network of the shell that asks. */
const DAEMON = "pgrep --ns $$ --nslist net -f -- '[t]ypetun.* wg0$'";

/** Whose `wg` and `wg-quick` a control plane finds in its PATH. */
export type Tools = 'stock' | 'typetun';

export class Host {
  readonly #lab: Lab;
  readonly #holder: Job;
  readonly #environment: NodeJS.ProcessEnv;
  /** Of files that belong to the test. */
  readonly folder: string = mkdtempSync(join(tmpdir(), 'typetun-handoff-'));

  /** @param ns a network namespace of the lab */
  static async start(lab: Lab, ns: string, tools: Tools): Promise<Host> {
    const holder = lab.spawn(ns, ['unshare', '--mount', 'bash', '-c', `set -e${PREPARE}`]);
    await holder.prints('ready');
    return new Host(lab, holder, tools);
  }

  private constructor(lab: Lab, holder: Job, tools: Tools) {
    this.#lab = lab;
    this.#holder = holder;
    if (tools === 'typetun') for (const name of ['wg', 'wg-quick']) symlinkSync(TYPETUN, join(this.folder, name));
    // All that an operator sets to put typetun under a program that uses wg-quick.
    const PATH = tools === 'typetun' ? `${this.folder}:${process.env['PATH']}` : process.env['PATH'];
    this.#environment = { WG_QUICK_USERSPACE_IMPLEMENTATION: TYPETUN, PATH };
  }

  /** Runs a command line with bash, as the control planes do. @returns its output. @throws Error when it fails */
  exec(line: string, input?: string): Promise<string> {
    const where = `nsenter --target ${this.#holder.child.pid} --mount --net`;
    const options = { env: { ...this.#environment, LINE: line }, ...(input !== undefined && { input }) };
    return this.#lab.sh(`${where} bash -c "$LINE"`, options);
  }

  /** Writes a file as its owner alone may read it. */
  async write(path: string, text: string): Promise<void> {
    await this.exec(`umask 077; cat > ${path}`, text);
  }

  /** @throws Error unless wg0 is a device of typetun */
  async assertTypetun(): Promise<void> {
    const link = await this.exec('ip -details link show wg0');
    if (!/\btun type tun\b/.test(link)) throw new Error(`not a userspace device: ${link}`);
    await this.exec(DAEMON);
  }

  async assertNothingLeft(): Promise<void> {
    await until('wg0 to go', async () =>
      (await this.exec('ip -oneline link')).split('\n').every((line) => !line.includes('wg0')),
    );
    await until('its socket to go', async () => (await this.exec('ls -A /run/wireguard')) === '');
    await until('its process to end', async () => (await this.exec(`${DAEMON} || true`)) === '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
