/** What `up` has done so far, to be taken back when it fails or is told to end. */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuickError } from './errors.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

class Interrupted extends QuickError {
  override readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

export class Undo {
  readonly #steps: (() => Promise<void>)[] = [];
  #signal: NodeJS.Signals | undefined;

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#note);
  }

  readonly #note = (signal: NodeJS.Signals): void => {
    this.#signal ??= signal;
  };

  /** Says how the next thing done is taken back. It is called whether that was done, failed or was half done. */
  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** Waits for some ms. @throws Interrupted as soon as a signal to end comes */
  async wait(timeMs: number): Promise<void> {
    for (const end = performance.now() + timeMs; performance.now() < end; this.check())
      await sleep(Math.min(timeMs, 50));
  }

  /** To be called between two steps. @throws Interrupted once a signal to end has come */
  check(): void {
    if (this.#signal !== undefined) throw new Interrupted(this.#signal);
  }

  /** Takes everything back, the last first. One that fails has said so, and the others are taken back all the same. */
  async run(): Promise<void> {
    for (const step of this.#steps.reverse()) {
      try {
        await step();
      } catch (error) {
        process.stderr.write(`wg-quick: while undoing: ${(error as Error).message}\n`);
      }
    }
  }

  /** What was done stays. */
  end(): void {
    for (const signal of SIGNALS) process.off(signal, this.#note);
  }
}
