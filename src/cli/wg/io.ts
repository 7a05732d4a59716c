/** What `wg` sees of its process, so that tests can run it in their own. */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Writes all of it before it returns. Text is UTF-8. */
  out(text: string | Uint8Array): void;
  err(text: string | Uint8Array): void;
  /** Standard input, to its end or to `max` bytes. The caller wipes it. */
  readInput(max: number): Uint8Array;
  /** Standard output is a file that others may read, write or execute. */
  outputIsOpenToOthers(): boolean;
  /** Blocks. */
  sleep(timeMs: number): void;
  /** Seconds of wall time since 1970. */
  now(): number;
}

/** Standard output was closed by its reader, as by `| head`. */
export class OutputClosed extends Error {}

const RETRY_MS = 5;
const OTHERS = 0o007;

function pause(timeMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, timeMs);
}

export function processIo(): Io {
  return {
    env: process.env,
    isTerminal: isatty(1),
    out: (text) => writeAll(1, text),
    err: (text) => writeAll(2, text),
    readInput: (max) => readAll(0, max),
    outputIsOpenToOthers: () => {
      const { mode } = fstatSync(1);
      return (mode & 0o170000) === 0o100000 && (mode & OTHERS) !== 0;
    },
    sleep: pause,
    now: () => Math.floor(Date.now() / 1000),
  };
}

/** @throws OutputClosed */
function writeAll(fd: number, text: string | Uint8Array): void {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') throw new OutputClosed();
      if (code !== 'EAGAIN') throw error;
      // A pipe that somebody else made non-blocking.
      pause(RETRY_MS);
    }
  }
}

/**
 * Reads a descriptor to its end, or to `max` bytes.
 * @throws as fs.readSync
 */
function readAll(fd: number, max: number): Uint8Array {
  let bytes = new Uint8Array(Math.min(max, 65536));
  let length = 0;
  while (length < max) {
    if (length === bytes.length) {
      const larger = new Uint8Array(Math.min(max, length * 2));
      larger.set(bytes);
      bytes.fill(0);
      bytes = larger;
    }
    try {
      const got = readSync(fd, bytes, length, bytes.length - length, null);
      if (got === 0) break;
      length += got;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      pause(RETRY_MS);
    }
  }
  return bytes.subarray(0, length);
}

/**
 * Reads a file, a pipe or a device to its end, or to `max` bytes. The caller wipes it.
 * @throws as fs.openSync and fs.readSync
 */
export function readFile(path: string, max: number): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    return readAll(fd, max);
  } finally {
    closeSync(fd);
  }
}
