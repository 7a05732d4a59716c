/**
 * Signals and job control between the shell, this process and the command, which share a process group:
 * what is typed at the terminal reaches the command without help; what is sent to this process alone is sent
 * on; and when the command stops, this process stops too, so that the shell sees it.
 */
import { constants } from 'node:os';
import { isForeground } from '../../linux/terminal.js';
import type { RunningCommand } from '../../rootless/namespace.js';

/** The terminal sends these to the whole group in the foreground. */
const OF_THE_TERMINAL = ['SIGINT', 'SIGQUIT', 'SIGTSTP'] as const;
const SENT_ON = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGCONT', 'SIGWINCH'] as const;
/** Sent to the group when one of it uses the terminal from the background: the command decides. */
const LEFT_ALONE = ['SIGTTIN', 'SIGTTOU'] as const;
const ENDING: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP']);

export class Signals {
  #command: RunningCommand | undefined;
  #ending: (() => void) | undefined;
  /** Those that come while the command is being started. */
  #held: NodeJS.Signals[] | undefined;

  constructor() {
    for (const signal of SENT_ON) process.on(signal, () => this.#pass(signal));
    for (const signal of OF_THE_TERMINAL) process.on(signal, () => this.#passUnlessTyped(signal));
    for (const signal of LEFT_ALONE) process.on(signal, () => {});
  }

  /** From now on signals are the command's, which is about to run. */
  hold(): void {
    this.#held = [];
  }

  follow(command: RunningCommand): void {
    this.#command = command;
    for (const signal of this.#held ?? []) command.signal(signal);
    command.onStopped = (number) => this.#stopLike(number);
  }

  /** Where there is no command: settles with the first signal to end. A second one ends this process at once. */
  whenEnding(): Promise<void> {
    process.removeAllListeners('SIGTSTP');
    return new Promise((resolve) => {
      this.#ending = resolve;
    });
  }

  #pass(signal: NodeJS.Signals): void {
    if (this.#command) this.#command.signal(signal);
    else if (this.#held) this.#held.push(signal);
    else if (ENDING.has(signal)) this.#end(signal);
  }

  #end(signal: NodeJS.Signals): void {
    // While all is being made, and when it takes too long to end. What was made goes with this process.
    if (!this.#ending) process.exit(exitStatus(null, signal));
    this.#ending();
    this.#ending = undefined;
  }

  #passUnlessTyped(signal: NodeJS.Signals): void {
    if (!this.#command || !isForeground()) this.#pass(signal);
  }

  /** Comes back when somebody continues this process. In a group without a shell the kernel does not stop it. */
  #stopLike(number: number): void {
    const entry = Object.entries(constants.signals).find(([, value]) => value === number);
    const signal = (entry?.[0] ?? 'SIGSTOP') as NodeJS.Signals;
    const listeners = process.listeners(signal as 'SIGTSTP');
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    for (const listener of listeners) process.on(signal, listener);
  }
}

/** As shells count it. */
export function exitStatus(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
