/** Memory that this process holds and does not need: given back to the system. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { madvise, mallocTrim } from './libc.js';

/** V8's collector for this thread, once it was asked for: finding it takes a context of its own. */
let collect: (() => void) | undefined;

/**
 * Gives what a large piece of work left behind back to the system: garbage of this thread, and free
 * memory of malloc(3). On a quiet thread it would stay for good.
 */
export function giveMemoryBack(): void {
  collect ??= findCollector();
  collect();
  mallocTrim(0);
}

/** Node.js has no other door to it than this flag. */
function findCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

const MADV_DONTNEED = 4;
/** A mapping in smaps, proc(5): from, to, permissions, offset, device, inode, path. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (r-[x-]p) \S+ \S+ [1-9]\d*\s+\//;
/** Nothing in it is other than in its file, be it in memory or swapped out. */
const AS_IN_FILE = /^Anonymous: +0 kB$[^]*^Swap: +0 kB$/m;

/**
 * Lets go of the pages of programs and libraries that are in memory because the start touched them
 * (of Node.js' own file alone some 40 MiB): madvise(2), MADV_DONTNEED. They stay in the system's page
 * cache, which can now take them for something better; what runs is mapped in again as it runs.
 *
 * Only of mappings that cannot be written and never were: of others the content would be lost.
 */
export function releaseStartupPages(): void {
  for (const text of readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-)/m)) {
    const [, from, to] = MAPPING.exec(text) ?? [];
    if (from === undefined || to === undefined || !AS_IN_FILE.test(text)) continue;
    const start = Number.parseInt(from, 16);
    madvise(start, Number.parseInt(to, 16) - start, MADV_DONTNEED);
  }
}
