/** A network namespace for this test process: its devices are its own, and end with it. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { loadLibrary } from '../../src/linux/ffi.js';

const CLONE_NEWNET = 0x40000000;

/** Moves this thread, and the threads and processes it starts from now on, to a new and empty network. */
export function enterNewNetwork(): void {
  if (loadLibrary(null).func('unshare', 'int', ['int'])(CLONE_NEWNET) !== 0) throw new Error('unshare(2) failed');
  ip('link set lo up');
}

export function ip(words: string): string {
  return execFileSync('ip', words.split(' '), { encoding: 'utf8', stdio: 'pipe' });
}

/** Descriptors of this process, without the one that counts them. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length - 1;
}

/** Processes below this one, by their parents in /proc. */
export function descendants(pid: number = process.pid): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')
        .split(' ')
        .filter(Boolean)
        .map(Number);
      return children.flatMap((child) => [child, ...descendants(child)]);
    } catch {
      return [];
    }
  });
}
