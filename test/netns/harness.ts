/**
 * A laboratory of network namespaces. The usual one, in which each device is made in namespace 0 and moved from
 * there, so that its UDP socket stays where it was born ("birthplace"):
 *
 *   namespace 1               namespace 0                namespace 2
 *   +-----------------+   +------------------------+   +-----------------+
 *   | [device a]      |---| 127.0.0.1:1       :2   |---|      [device b] |
 *   | 192.168.241.1   |   | [::1]:1           :2   |   |   192.168.241.2 |
 *   | fd00::1         |   |   lo, both sockets     |   |   fd00::2       |
 *   +-----------------+   +------------------------+   +-----------------+
 *
 * Namespaces and interfaces have names of their own in each lab, so that labs run side by side. An interface's
 * UAPI socket is a file: `wg` runs anywhere, wherever the device is.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { commandOf, type Implementation } from './environment.js';
import { Job, until } from './job.js';

export { commandOf, type Implementation, kernelType, missing, withNamespaces } from './environment.js';
export { Job, until } from './job.js';

const SOCKETS = '/var/run/wireguard';
const START_MS = 60_000;
const END_MS = 15_000;

/** A device with the daemon that runs it. */
export interface Device {
  readonly implementation: Implementation;
  /** The interface's name, unlike every other on this machine. */
  readonly name: string;
  readonly daemon: Job;
  readonly privateKey: string;
  readonly publicKey: string;
}

/** A fresh key pair, in base64. */
export interface Keys {
  readonly privateKey: string;
  readonly publicKey: string;
}

export interface DaemonOptions {
  /** More environment for the daemon. */
  readonly env?: NodeJS.ProcessEnv;
  /** The interface's name, when the lab's own does not do. */
  readonly name?: string;
  /** The words that start the daemon, before `-f NAME`, in place of the implementation's own. */
  readonly command?: readonly string[];
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  /** For its standard input; `null` leaves that open. */
  readonly input?: string | null;
  readonly env?: NodeJS.ProcessEnv;
}

const living = new Set<Lab>();
let labs = 0;

// When the file is killed (a time limit, Ctrl-C), daemons and namespaces must not outlive it.
process.on('exit', () => {
  for (const lab of living) lab.abandon();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

export class Lab {
  readonly #id: string = `${process.pid.toString(36)}-${(labs++).toString(36)}`;
  readonly #namespaces = new Set<string>();
  readonly #jobs: Job[] = [];
  #names = 0;
  readonly devices: Device[] = [];

  constructor() {
    living.add(this);
  }

  /** The full name of one of this lab's namespaces. */
  ns(short: number | string): string {
    return `tt${this.#id}-${short}`;
  }

  /** Makes namespaces, their loopback up, and without the reverse path filter that they may inherit. */
  async namespace(...shorts: readonly (number | string)[]): Promise<void> {
    for (const short of shorts) {
      this.#namespaces.add(this.ns(short));
      await this.sh(`ip netns add ${this.ns(short)}`);
      await this.in(
        short,
        'ip link set lo up; for i in all default; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done',
      );
    }
  }

  /** Deletes a namespace's name; the namespace lives on while a process, socket or TUN descriptor is in it. */
  async deleteNamespace(short: number | string): Promise<void> {
    await this.sh(`ip netns delete ${this.ns(short)}`);
    this.#namespaces.delete(this.ns(short));
  }

  /** Joins two namespaces by a veth pair, both ends up. */
  async veth(a: number | string, nameA: string, b: number | string, nameB: string): Promise<void> {
    await this.sh(`ip link add ${nameA} netns ${this.ns(a)} type veth peer name ${nameB} netns ${this.ns(b)}`);
    // Without duplicate address detection an IPv6 address can be used at once.
    await this.in(a, `echo 0 > /proc/sys/net/ipv6/conf/${nameA}/accept_dad; ip link set ${nameA} up`);
    await this.in(b, `echo 0 > /proc/sys/net/ipv6/conf/${nameB}/accept_dad; ip link set ${nameB} up`);
  }

  /**
   * Runs a bash script (`set -e -o pipefail`) in the namespace that the tests run in, and waits for its end.
   * @returns its standard output, without white space at the end
   * @throws Error with the command and what it said, when it fails or takes too long
   */
  async sh(script: string, options: CommandOptions = {}): Promise<string> {
    return this.#finish(this.#start(['bash', '-c', `set -e -o pipefail\n${script}`], options), script, options);
  }

  /** As `sh`, inside a namespace. */
  async in(ns: number | string, script: string, options: CommandOptions = {}): Promise<string> {
    const words = ['ip', 'netns', 'exec', this.ns(ns), 'bash', '-c', `set -e -o pipefail\n${script}`];
    return this.#finish(this.#start(words, options), `[${ns}] ${script}`, options);
  }

  /** `ip` in a namespace. */
  ip(ns: number | string, words: string): Promise<string> {
    return this.sh(`ip -n ${this.ns(ns)} ${words}`);
  }

  /** `wg` with words that bash reads: `<(echo KEY)` gives a key. Runs in no lab namespace: sockets are files. */
  wg(words: string, options: CommandOptions = {}): Promise<string> {
    return this.sh(`wg ${words}`, { ...options, env: { WG_HIDE_KEYS: 'never', ...options.env } });
  }

  /** Whether a script in a namespace succeeds; taking too long is still an error. */
  async succeeds(ns: number | string, script: string, options: CommandOptions = {}): Promise<boolean> {
    const job = this.#start(['ip', 'netns', 'exec', this.ns(ns), 'bash', '-c', script], options);
    return (await job.end(options.timeoutMs ?? 60_000, `[${ns}] ${script}`)).code === 0;
  }

  /** Starts a command in a namespace and does not wait; it is ended with the lab. */
  spawn(ns: number | string, words: readonly string[], options: CommandOptions = {}): Job {
    return this.#start(['ip', 'netns', 'exec', this.ns(ns), ...words], options);
  }

  #start(words: readonly string[], options: CommandOptions): Job {
    const job = new Job(words, { ...options.env }, options.input);
    this.#jobs.push(job);
    return job;
  }

  async #finish(job: Job, what: string, { timeoutMs = 60_000 }: CommandOptions): Promise<string> {
    const { code, signal } = await job.end(timeoutMs, what);
    this.#jobs.splice(this.#jobs.indexOf(job), 1);
    assert.ok(code === 0, `failed with ${code ?? signal}: ${what}\n${job.stderr}${job.stdout}`);
    return job.stdout.trimEnd();
  }

  async keys(): Promise<Keys> {
    const [privateKey = '', publicKey = ''] = (await this.sh('k=$(wg genkey); echo $k; wg pubkey <<< $k')).split('\n');
    return { privateKey, publicKey };
  }

  /** Starts a daemon in a namespace, waits until it answers on its UAPI socket, and gives it a key. */
  async device(implementation: Implementation, ns: number | string, options: DaemonOptions = {}): Promise<Device> {
    const command = options.command ?? commandOf(implementation);
    assert.ok(command, `${implementation} is not installed`);
    const name = options.name ?? `t${this.#id}-${this.#names++}`;
    assert.ok(name.length <= 15, `${name}: longer than an interface's name can be`);
    const env = { LOG_LEVEL: 'debug', WG_PROCESS_FOREGROUND: '1', ...options.env };
    const daemon = this.spawn(ns, [...command, '-f', name], { env });
    const device: Device = { implementation, name, daemon, ...(await this.keys()) };
    this.devices.push(device);
    await until(
      `${implementation} ${name} to answer`,
      async () => {
        assert.ok(!daemon.ended, `${implementation} ended early: ${daemon.output}`);
        return (await uapi(name, 'get=1\n\n').catch(() => '')).includes('errno=0');
      },
      START_MS,
    );
    await this.wg(`set ${name} private-key <(echo ${device.privateKey})`);
    return device;
  }

  /** What the daemon dropped, by reason, as typetun says on SIGUSR2. */
  async drops(device: Device): Promise<ReadonlyMap<string, number>> {
    const { drops = '' } = await stateOf(device);
    return new Map([...drops.matchAll(/(\w+)=(\d+)/g)].map(([, reason, n]) => [String(reason), Number(n)]));
  }

  /** The offloads in use, in the words of the log, as typetun says on SIGUSR2; `none`. */
  async offloads(device: Device): Promise<string> {
    return (await stateOf(device))['offloads'] ?? '';
  }

  /** Ends everything, then makes sure that processes, sockets, devices and namespaces are gone. */
  async close(): Promise<void> {
    const left: string[] = [];
    for (const job of [...this.#jobs].reverse()) {
      const isDaemon = this.devices.some(({ daemon }) => daemon === job);
      if (!(await job.terminate(END_MS)) && isDaemon) left.push(`a daemon that SIGTERM did not end: ${job.command}`);
    }
    for (const { implementation, name, daemon } of this.devices) {
      const socket = `${SOCKETS}/${name}.sock`;
      if (existsSync(socket) && implementation === 'typetun') left.push(socket);
      rmSync(socket, { force: true });
      if (existsSync(`/proc/${daemon.child.pid}`)) left.push(`process ${daemon.child.pid} of ${name}`);
    }
    for (const ns of this.#namespaces) left.push(...(await this.#remainsOf(ns)));
    living.delete(this);
    assert.deepEqual(left, [], 'left behind');
  }

  async #remainsOf(ns: string): Promise<string[]> {
    const left: string[] = [];
    const links = await this.sh(`ip -n ${ns} -oneline link show 2>&1 || true`);
    for (const { name } of this.devices) {
      if (links.includes(` ${name}: `)) left.push(`device ${name} in ${ns}`);
    }
    for (const pid of (await this.sh(`ip netns pids ${ns} 2>/dev/null || true`)).split('\n').filter(Boolean)) {
      left.push(`process ${pid} in ${ns}: ${await this.sh(`tr '\\0' ' ' < /proc/${pid}/cmdline || true`)}`);
      killQuietly(Number(pid));
    }
    await this.sh(`ip netns delete ${ns} 2>/dev/null || true`);
    if (existsSync(`/run/netns/${ns}`)) left.push(`namespace ${ns}`);
    return left;
  }

  /** The last resort, when the test process itself ends: no waiting, no checks. */
  abandon(): void {
    for (const job of this.#jobs) job.killNow();
    for (const { name } of this.devices) rmSync(`${SOCKETS}/${name}.sock`, { force: true });
    for (const ns of this.#namespaces) {
      try {
        execFileSync('ip', ['netns', 'delete', ns], { stdio: 'ignore' });
      } catch {
        // It was not made yet, or is gone already.
      }
    }
  }
}

/** The log line that typetun writes on SIGUSR2, in its parts. */
async function stateOf({ daemon }: Device): Promise<Record<string, string>> {
  const before = daemon.output.length;
  daemon.child.kill('SIGUSR2');
  const told = (): RegExpExecArray | null =>
    /offloads: (?<offloads>[^,]*), drops: (?<drops>.*)\n/.exec(daemon.output.slice(before));
  await until('the state', () => told() !== null);
  return told()?.groups ?? {};
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime.
  }
}

/** @throws Error with its last words when it has ended */
export function pidOf({ daemon }: Device): number {
  const { pid } = daemon.child;
  if (pid === undefined || daemon.ended) throw new Error(`${daemon.command} has ended:\n${daemon.output.slice(-500)}`);
  return pid;
}

/** Of /proc/PID/status, proc(5): all of a daemon that is in memory, or what of it is no file's. */
export function residentKib(device: Device, what: 'VmRSS' | 'RssAnon' = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pidOf(device)}/status`, 'utf8');
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
}

/** One exchange on a device's UAPI socket, of many megabytes as well. @returns the answer, up to its empty line */
export function uapi(name: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: string[] = [];
    let tail = '';
    const socket = connect(`${SOCKETS}/${name}.sock`, () => socket.write(request));
    socket.setEncoding('utf8').setTimeout(60_000, () => socket.destroy(new Error(`${name}: no answer`)));
    socket.on('data', (text: string) => {
      parts.push(text);
      tail = (tail + text).slice(-2);
      if (tail === '\n\n') socket.end();
    });
    socket.on('error', reject).on('close', () => resolve(parts.join('')));
  });
}

/** Makes a lab for `test` and ends it whatever happens; a failure comes with what the daemons logged last. */
export async function withLab(test: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab();
  try {
    await test(lab);
  } catch (error) {
    const logs = lab.devices.map(({ implementation, name, daemon }) => {
      return `--- ${implementation} ${name}\n${daemon.output.slice(-1500)}`;
    });
    await lab.close().catch((left: Error) => logs.push(`--- ${left.message}`));
    const failure = error instanceof Error ? error : new Error(String(error));
    failure.stack = `${failure.stack}\n${logs.join('\n')}`;
    throw failure;
  }
  await lab.close();
}
