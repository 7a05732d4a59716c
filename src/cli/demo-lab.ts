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
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TYPETUN = fileURLToPath(new URL('../../../bin/typetun', import.meta.url));
const STREAM = fileURLToPath(new URL('./demo-stream.js', import.meta.url));

export interface Daemon {
  readonly process: ChildProcess;
  /** Everything it logged so far. */
  log: string;
}

export class DemoLab {
  readonly #id = process.pid;
  readonly #daemons: Daemon[] = [];
  readonly #namespaces: string[] = [];

  /** The lab's name of a namespace. */
  ns(short: string): string {
    return `typetun-demo-${this.#id}-${short}`;
  }

  /** The lab's name of a device. */
  device(short: string): string {
    return `td${short}${this.#id % 1_000_000}`;
  }

  /** Runs a command; its output is the answer. @throws with the command and what it said */
  async run(command: string, ...args: readonly string[]): Promise<string> {
    try {
      return (await run(command, [...args], { maxBuffer: 1 << 24 })).stdout;
    } catch (error) {
      const { stderr = '', message } = error as Error & { stderr?: string };
      throw new Error(`${command} ${args.join(' ')}: ${stderr.trim() || message}`);
    }
  }

  ip(...args: readonly string[]): Promise<string> {
    return this.run('ip', ...args);
  }

  inside(short: string, ...command: readonly string[]): Promise<string> {
    return this.ip('netns', 'exec', this.ns(short), ...command);
  }

  async namespace(short: string): Promise<void> {
    await this.ip('netns', 'add', this.ns(short));
    this.#namespaces.push(this.ns(short));
    await this.ip('-n', this.ns(short), 'link', 'set', 'lo', 'up');
  }

  /** Starts typetun in a namespace, in the foreground, and waits until it listens. */
  async daemon(short: string): Promise<Daemon> {
    const name = this.device(short);
    const child = spawn('ip', ['netns', 'exec', this.ns(short), TYPETUN, '-f', name], {
      env: { ...process.env, LOG_LEVEL: 'debug' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const daemon: Daemon = { process: child, log: '' };
    this.#daemons.push(daemon);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        daemon.log += text;
      });
    }
    await this.until(`${name} to listen`, async () => {
      if (child.exitCode !== null) throw new Error(`typetun ended: ${daemon.log.trim()}`);
      return (await this.run('sh', '-c', `test -S /var/run/wireguard/${name}.sock && echo yes || true`)) !== '';
    });
    return daemon;
  }

  /** What a namespace's daemon logged so far. */
  log(short: string): string {
    return this.#daemons[this.#index(short)]?.log ?? '';
  }

  signal(short: string, signal: NodeJS.Signals): void {
    this.#daemons[this.#index(short)]?.process.kill(signal);
  }

  #index(short: string): number {
    return short.charCodeAt(0) - 'a'.charCodeAt(0);
  }

  /** Sends `bytes` over TCP from one namespace to an address in another; `meanwhile` runs during it. */
  async stream(
    from: string,
    to: string,
    address: string,
    bytes: number,
    meanwhile: () => Promise<void>,
  ): Promise<{ bytes: number; ms: number; intact: boolean }> {
    const port = '7777';
    const sink = spawn('ip', ['netns', 'exec', this.ns(to), process.execPath, STREAM, 'sink', address, port]);
    sink.stdout.setEncoding('utf8');
    let received = '';
    sink.stdout.on('data', (text: string) => {
      received += text;
    });
    const ended = once(sink, 'close');
    await this.until('the sink to listen', async () => received.includes('listening'));
    const sending = this.inside(from, process.execPath, STREAM, 'source', address, port, String(bytes));
    sending.catch(() => {});
    await meanwhile();
    const sent = JSON.parse(await sending) as { bytes: number; sha256: string; ms: number };
    await ended;
    const got = JSON.parse(received.replace('listening', '')) as { bytes: number; sha256: string };
    return { bytes: got.bytes, ms: sent.ms, intact: got.bytes === sent.bytes && got.sha256 === sent.sha256 };
  }

  async until(what: string, condition: () => Promise<boolean>, timeoutMs = 15_000): Promise<void> {
    for (const start = Date.now(); !(await condition()); await sleep(50)) {
      if (Date.now() - start > timeoutMs) throw new Error(`waited in vain for ${what}`);
    }
  }

  /** Ends everything. @returns what was left behind: nothing */
  async close(): Promise<string[]> {
    for (const { process: child } of this.#daemons) {
      if (child.exitCode !== null) continue;
      const ended = once(child, 'close');
      child.kill('SIGTERM');
      await ended;
    }
    for (const name of this.#namespaces) await this.ip('netns', 'del', name).catch(() => '');
    const left = await this.run('sh', '-c', `ip netns list; ls /var/run/wireguard 2>/dev/null || true`);
    const names = ['a', 'b', 'c'].flatMap((short) => [this.ns(short), `${this.device(short)}.sock`]);
    return left.split(/\s+/).filter((word) => names.includes(word));
  }
}
