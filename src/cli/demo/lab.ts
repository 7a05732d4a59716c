/**
 * The demo's surroundings: namespaces, daemons and commands in them, and their end.
 *
 *   namespace a               namespace b               namespace c
 *   [tunA]                    [tunB] ------ moves ----> [tunB]
 *     :                         :
 *   10.199.0.1 -- veth -- 10.199.0.2
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const TYPETUN = fileURLToPath(new URL('../../../../bin/typetun', import.meta.url));
const STREAM = fileURLToPath(new URL('./stream.js', import.meta.url));
const SOCKETS = '/var/run/wireguard';
const WAIT_MS = 15_000;

/** A process of the lab, with what it printed. */
export class Job {
  readonly child: ChildProcess;
  output = '';

  constructor(child: ChildProcess) {
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => {
        this.output += text;
      });
    }
    child.stdin?.on('error', () => {});
    child.on('error', (error) => {
      this.output += error.message;
    });
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.ended) return;
    const closed = once(this.child, 'close');
    this.child.kill(signal);
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await closed;
    clearTimeout(late);
  }
}

export class DemoLab {
  readonly #id = process.pid;
  readonly #jobs: Job[] = [];
  readonly #daemons = new Map<string, Job>();
  readonly #namespaces: string[] = [];
  readonly #socketsWereThere = existsSync(SOCKETS);
  #closing: Promise<string[]> | undefined;

  /** The lab's name of a namespace. */
  ns(short: string): string {
    return `typetun-demo-${this.#id}-${short}`;
  }

  /** The lab's name of a device. */
  device(short: string): string {
    return `td${short}${this.#id}`;
  }

  /** Runs a command; its output is the answer. @throws with the command and what it said */
  async run(command: string, ...args: readonly string[]): Promise<string> {
    this.#demandOpen();
    try {
      return (await execute(command, [...args])).stdout;
    } catch (error) {
      const { stderr = '', stdout = '', message } = error as Error & { stderr?: string; stdout?: string };
      throw new Error(`${command} ${args.join(' ')}: ${(stderr || stdout).trim() || message}`);
    }
  }

  /** Waits until `condition` holds. @throws naming `what` when it does not in time, or when the lab is closed */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    for (const start = Date.now(); !(await condition()); await sleep(20)) {
      this.#demandOpen();
      if (Date.now() - start > WAIT_MS) throw new Error(`waited in vain for ${what}`);
    }
  }

  ip(...args: readonly string[]): Promise<string> {
    return this.run('ip', ...args);
  }

  inside(short: string, ...command: readonly string[]): Promise<string> {
    return this.ip('netns', 'exec', this.ns(short), ...command);
  }

  async namespace(short: string): Promise<void> {
    this.#namespaces.push(this.ns(short));
    await this.ip('netns', 'add', this.ns(short));
    await this.ip('-n', this.ns(short), 'link', 'set', 'lo', 'up');
  }

  /** Starts a program in a namespace and does not wait for it. */
  start(short: string, command: readonly string[], env: NodeJS.ProcessEnv = {}): Job {
    this.#demandOpen();
    // "ip netns exec" becomes the program: the child is the program itself.
    const child = spawn('ip', ['netns', 'exec', this.ns(short), ...command], { env: { ...process.env, ...env } });
    const job = new Job(child);
    this.#jobs.push(job);
    return job;
  }

  /** Starts this file's companion for TCP and UDP traffic in a namespace. */
  traffic(short: string, ...args: readonly string[]): Job {
    return this.start(short, [process.execPath, STREAM, ...args]);
  }

  /** The same, until it ends. @returns what it printed */
  async trafficResult(short: string, ...args: readonly string[]): Promise<string> {
    const job = this.traffic(short, ...args);
    await this.until(`${args[0]} to end`, () => job.ended && job.output.endsWith('\n'));
    return job.output;
  }

  /** Starts typetun in a namespace, in the foreground, and waits until it listens. */
  async daemon(short: string): Promise<void> {
    const name = this.device(short);
    const job = this.start(short, [process.execPath, TYPETUN, '-f', name], { LOG_LEVEL: 'debug' });
    this.#daemons.set(short, job);
    await this.until(`${name} to listen`, () => {
      if (job.ended) throw new Error(`typetun ended: ${job.output.trim()}`);
      return existsSync(`${SOCKETS}/${name}.sock`);
    });
  }

  /** What a device's daemon logged so far. */
  log(short: string): string {
    return this.#daemons.get(short)?.output ?? '';
  }

  /** The daemon's drop counters, which it logs on SIGUSR2. */
  async drops(short: string): Promise<Map<string, number>> {
    const before = this.log(short).length;
    this.#daemons.get(short)?.child.kill('SIGUSR2');
    const line = (): string | undefined => /drops: (.*)\n/.exec(this.log(short).slice(before))?.[1];
    await this.until('the drop counters', () => line() !== undefined);
    return new Map(
      [...(line() ?? '').matchAll(/(\w+)=(\d+)/g)].map(([, reason, count]) => [`${reason}`, Number(count)]),
    );
  }

  /** Ends everything that was started. @returns what is left behind: nothing */
  close(): Promise<string[]> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  #demandOpen(): void {
    if (this.#closing) throw new Error('the demo was ended');
  }

  async #end(): Promise<string[]> {
    const left: string[] = [];
    for (const job of this.#jobs.reverse()) await job.end('SIGTERM');
    for (const name of this.#namespaces) {
      await execute('ip', ['netns', 'del', name]).catch(() => '');
      if (existsSync(`/run/netns/${name}`) || existsSync(`/var/run/netns/${name}`)) left.push(`namespace ${name}`);
    }
    for (const short of this.#daemons.keys()) {
      const socket = `${SOCKETS}/${this.device(short)}.sock`;
      if (existsSync(socket)) left.push(socket);
    }
    left.push(...this.#jobs.filter((job) => !job.ended).map((job) => `process ${job.child.pid}`));
    try {
      if (!this.#socketsWereThere) rmdirSync(SOCKETS);
    } catch {
      // Somebody else's device came up in the meantime, or ours never did.
    }
    return left;
  }
}
