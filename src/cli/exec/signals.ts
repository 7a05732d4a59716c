/**
 * Signals and job control between the shell, this process and the command, which share a process group: what is
 * sent to the group, as the terminal does, reaches the command without help; what is sent to this process alone is
 * sent on (the helper knows which it was); and when the command stops, this process stops too, so that the shell
 * sees it. What the caller ignored stays ignored, here and in the command.
 */
import { constants } from 'node:os';
import type { RunningCommand } from '../../rootless/namespace.js';
import { PASSED_ON } from '../../rootless/protocol.js';

/** Sent to the group when one of it uses the terminal from the background: the command decides. */
const LEFT_ALONE: readonly NodeJS.Signals[] = ['SIGTTIN', 'SIGTTOU'];
const ENDING: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP']);

export class Signals {
  #command: RunningCommand | undefined;
  #ending: (() => void) | undefined;
  /** Those that come while the command is being started. */
  #held: NodeJS.Signals[] | undefined;

  /** @param ignored numbers of signals that the caller ignored */
  constructor(ignored: readonly number[]) {
    for (const signal of [...PASSED_ON, ...LEFT_ALONE]) {
      const isIgnored = LEFT_ALONE.includes(signal) || ignored.includes(constants.signals[signal]);
      process.on(signal, isIgnored ? () => {} : () => this.#pass(signal));
    }
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
    if (!this.#ending) process.exit(128 + constants.signals[signal]);
    this.#ending();
    this.#ending = undefined;
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
