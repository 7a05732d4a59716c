/** A started process with what it printed, and waiting for a condition. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;
/** What is kept of a process's output, in UTF-16 units: the end of it. */
const OUTPUT_LIMIT = 16 << 20;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Waits until `condition` holds.
 * @throws Error naming `what` when it does not in time
 */
export async function until(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 40_000,
): Promise<void> {
  for (const start = performance.now(); !(await condition()); await sleep(POLL_MS)) {
    if (performance.now() - start > timeoutMs)
      throw new Error(`waited ${timeoutMs} ms in vain for ${typeof what === 'string' ? what : what()}`);
  }
}

export class Job {
  readonly child: ChildProcess;
  readonly command: string;
  /** Resolves when the process has ended and all its output was read. */
  readonly exited: Promise<Exit>;
  stdout = '';
  stderr = '';
  ended = false;

  /** Starts a process, the leader of a group of its own. @param input for its standard input; null leaves that open */
  constructor(words: readonly string[], env: NodeJS.ProcessEnv = {}, input?: string | null) {
    const [command = '', ...rest] = words;
    this.command = words.join(' ');
    this.child = spawn(command, rest, { env: { ...process.env, LC_ALL: 'C', ...env }, detached: true });
    this.#keep('stdout');
    this.#keep('stderr');
    this.child.stdin?.on('error', () => {});
    if (input !== null) this.child.stdin?.end(input);
    this.exited = new Promise((resolve) => {
      const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.ended = true;
        resolve({ code, signal });
      };
      this.child.on('close', finish);
      this.child.on('error', (error) => {
        this.stderr += error.message;
        finish(127, null);
      });
    });
  }

  #keep(stream: 'stdout' | 'stderr'): void {
    this.child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      this[stream] = (this[stream] + text).slice(-OUTPUT_LIMIT);
    });
  }

  get output(): string {
    return this.stdout + this.stderr;
  }

  /**
   * Waits for the end.
   * @throws Error naming `what` when it takes too long; the process and its children are killed then
   */
  async end(timeoutMs: number, what: string = this.command): Promise<Exit> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, undefined);
    });
    const exit = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (exit !== undefined) return exit;
    this.killNow();
    throw new Error(`took longer than ${timeoutMs} ms: ${what}\n${this.output.slice(-3000)}`);
  }

  /** Waits until the process has printed a text. */
  async prints(text: string | RegExp, timeoutMs = 60_000): Promise<void> {
    await until(
      `"${text}" from ${this.command}`,
      () => {
        if (typeof text === 'string' ? this.output.includes(text) : text.test(this.output)) return true;
        if (this.ended) throw new Error(`ended without "${text}": ${this.command}\n${this.output.slice(-3000)}`);
        return false;
      },
      timeoutMs,
    );
  }

  /** SIGTERM to the process and its group, and SIGKILL when that is not enough. @returns whether SIGTERM was enough, or it had ended before */
  async terminate(timeoutMs: number): Promise<boolean> {
    if (this.ended) return true;
    this.#signal('SIGTERM');
    try {
      await this.end(timeoutMs);
      return true;
    } catch {
      await this.exited;
      return false;
    }
  }

  /** SIGKILL for the process and its group, without waiting. */
  killNow(): void {
    if (!this.ended) this.#signal('SIGKILL');
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, signal);
    } catch {
      // The group ended in the meantime.
    }
  }
}
