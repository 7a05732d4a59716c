/**
 * Network namespaces of a test: each is held by a process that sleeps in it, and gone when that ends.
 * This works as root and as root of a user namespace (`unshare --user --map-root-user --net`).
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { close, O_CLOEXEC, openPath } from '../../src/linux/libc.js';
import { withNetns } from '../../src/linux/netns.js';

/** Why tests that need namespaces cannot run here, or false. */
export const NO_NETNS: string | false = reasonToSkip();

function reasonToSkip(): string | false {
  if (process.platform !== 'linux') return 'not Linux';
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  for (const tool of ['unshare', 'nsenter', 'ip']) {
    if (spawnSync(tool, ['-V']).error) return `${tool} is not installed`;
  }
  const tried = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  return tried.status === 0 ? false : `no network namespaces for this user: ${tried.stderr.trim()}`;
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread, as the code under test does. */
export function sleep(ms: number): void {
  Atomics.wait(pause, 0, 0, ms);
}

/** @throws when `condition` has not become true after a good while */
export function until(what: string, condition: () => boolean): void {
  for (let waited = 0; waited < 20_000; waited += 10) {
    if (condition()) return;
    sleep(10);
  }
  throw new Error(`waited in vain: ${what}`);
}

export class Netns {
  readonly pid: number;
  readonly path: string;
  readonly #holder: ChildProcess;

  constructor() {
    this.#holder = spawn('unshare', ['--net', 'sleep', '1000000'], { stdio: 'ignore' });
    this.pid = this.#holder.pid!;
    this.path = `/proc/${this.pid}/ns/net`;
    const home = readlinkSync('/proc/self/ns/net');
    until('a namespace of its own', () => readlinkSync(this.path) !== home);
    this.run('ip link set lo up');
  }

  /** Runs a shell command there. @returns its output */
  run(command: string): string {
    return execFileSync('nsenter', [`--net=${this.path}`, 'sh', '-e', '-c', command], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
  }

  /**
   * Gives an interface an address, which is in use when this returns: of IPv6 the kernel makes the local route
   * later, from a queue of work, also where no duplicate is looked for.
   */
  addAddress(address: string, bits: number, device: string): void {
    const v6 = address.includes(':');
    this.run(`ip addr add ${address}/${bits} dev ${device} ${v6 ? 'nodad' : ''}`);
    if (!v6 || !this.run(`ip link show ${device} up`)) return;
    until(`${address} is in use`, () => this.run(`ip -6 route show table local ${address}`) !== '');
  }

  /** Runs code of this thread there. */
  enter<T>(action: () => T): T {
    const fd = openPath(this.path, O_CLOEXEC);
    try {
      return withNetns(fd, action);
    } finally {
      close(fd);
    }
  }

  /** It goes with its last process and its last socket. */
  close(): void {
    this.#holder.kill('SIGKILL');
  }
}

/**
 * Two namespaces and the cable between them:
 *
 *   ┌ a ───────────────────┐     ┌ b ───────────────────┐
 *   │ v0  10.9.0.1/24      │─────│ v0  10.9.0.2/24      │
 *   │     fd09::1/64       │     │     fd09::2/64       │
 *   └──────────────────────┘     └──────────────────────┘
 */
export class Cable {
  readonly a: Netns = new Netns();
  readonly b: Netns = new Netns();

  constructor() {
    this.a.run(`ip link add v0 type veth peer name v0 netns ${this.b.pid}`);
    for (const [side, number] of [
      [this.a, 1],
      [this.b, 2],
    ] as const) {
      side.run(`echo 0 > /proc/sys/net/ipv6/conf/v0/accept_dad
        ip addr add 10.9.0.${number}/24 dev v0; ip addr add fd09::${number}/64 dev v0 nodad; ip link set v0 up`);
    }
    until('the cable is up', () => this.a.run('ip -6 addr show dev v0').includes('fe80'));
  }

  close(): void {
    this.a.close();
    this.b.close();
  }
}
