/** Starts real daemons, in network namespaces of their own, and leaves nothing behind. */
import { type ChildProcess, execFile, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { socketPath } from '../../src/uapi/paths.js';

const run = promisify(execFile);
export const TYPETUN: string = resolve(import.meta.dirname, '../../../bin/typetun');
let count = 0;

/** Why daemons cannot be tested here, for a skip; in CI that is a failure. */
export function whyNot(): string | undefined {
  let reason: string | undefined;
  if (process.getuid?.() !== 0) reason = 'needs root';
  else if (!existsSync('/dev/net/tun')) reason = 'needs /dev/net/tun';
  else if (['ip', 'wg', 'unshare', 'setpriv'].some((tool) => spawnSync(tool, ['--version']).error)) {
    reason = 'needs ip, wg, unshare and setpriv';
  } else {
    try {
      accessSync('/var/run', constants.W_OK);
    } catch {
      reason = 'cannot write to /var/run';
    }
  }
  if (reason !== undefined && process.env['CI']) throw new Error(reason);
  return reason;
}

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running command whose output is collected. */
export class Running {
  readonly child: ChildProcess;
  readonly result: Promise<Result>;
  stdout = '';
  stderr = '';

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.result = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }));
    });
  }
}

export class Place {
  readonly namespace: string;
  readonly name: string;
  readonly socket: string;
  readonly #started: Running[] = [];

  /** A namespace of its own, and an interface name that nobody has. */
  static async make(t: TestContext): Promise<Place> {
    const place = new Place();
    await run('ip', ['netns', 'add', place.namespace]);
    t.after(() => place.#clean());
    return place;
  }

  private constructor() {
    this.namespace = `tucli${process.pid}x${count}`;
    this.name = `tc${process.pid}x${count++}`;
    this.socket = socketPath(this.name);
  }

  /** Starts a command in the namespace. */
  start(
    command: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
    options?: SpawnOptions,
  ): Running {
    const env: NodeJS.ProcessEnv = { ...process.env, LOG_LEVEL: undefined, TYPETUN_AEAD: undefined, ...environment };
    const running = new Running('ip', ['netns', 'exec', this.namespace, command, ...args], { env, ...options });
    this.#started.push(running);
    return running;
  }

  typetun(args: readonly string[] = [this.name], environment?: NodeJS.ProcessEnv, options?: SpawnOptions): Running {
    return this.start(TYPETUN, args, environment, options);
  }

  async foreground(environment?: NodeJS.ProcessEnv, options?: SpawnOptions): Promise<Running> {
    const running = this.typetun(['-f', this.name], environment, options);
    await until(() => existsSync(this.socket) || running.child.exitCode !== null);
    return running;
  }

  async ip(...args: string[]): Promise<string> {
    return (await run('ip', ['-n', this.namespace, ...args])).stdout;
  }

  async hasDevice(): Promise<boolean> {
    return (await this.ip('-o', 'link')).includes(` ${this.name}:`);
  }

  /** The daemon's process, found by its title. */
  daemon(): number | undefined {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        const title = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/[\0 ]+$/, '');
        if (title === `typetun ${this.name}`) return Number(pid);
      } catch {
        // Gone meanwhile.
      }
    }
    return undefined;
  }

  /** Waits until process, device and socket are gone. */
  async allGone(): Promise<void> {
    await until(async () => this.daemon() === undefined && !existsSync(this.socket) && !(await this.hasDevice()));
  }

  async #clean(): Promise<void> {
    const pid = this.daemon();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    // What a failed test did not end would keep its file from ending.
    for (const { child } of this.#started) if (child.exitCode === null) child.kill('SIGKILL');
    await run('ip', ['netns', 'del', this.namespace]);
    await run('rm', ['-f', this.socket]);
  }
}

/** Waits for something to become true; the test's own time limit is the only one. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(20);
}

/** Where a process' descriptor leads, or undefined. */
export function descriptorTarget(pid: number, fd: number): string | undefined {
  try {
    return realpathSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return undefined;
  }
}
