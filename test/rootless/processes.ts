/** The processes of this machine, as tests look for theirs among them. */
import { readdirSync, readFileSync } from 'node:fs';
import { until } from '../netns/harness.js';

/** Processes of this machine whose command line, with a NUL behind each word, is fit. */
function processesWith(isFit: (line: string) => boolean): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0)) return false;
      try {
        return isFit(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
      } catch {
        return false;
      }
    });
}

/** Those whose command line holds all words. */
export function processes(...words: readonly string[]): number[] {
  return processesWith((line) => words.every((word) => line.includes(word)));
}

export function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

let marks = 0;
/** A number of seconds to sleep that no other process has. */
export function mark(): string {
  return `6${process.pid}.${marks++}`;
}

/** The pid of the one that sleeps so long. */
export async function theSleep(seconds: string): Promise<number> {
  const sleepers = (): number[] => processesWith((line) => line === `sleep\0${seconds}\0`);
  await until('sleep', () => sleepers().length > 0);
  return sleepers()[0]!;
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}
