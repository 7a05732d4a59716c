/** What Node.js hides of how this program was called: bin/typetun and /proc/self tell. */
import { isUtf8 } from 'node:buffer';
import { constants, openSync, readFileSync } from 'node:fs';
import { O_PATH } from '../../linux/libc.js';
import { STANDARD_SIGNALS } from '../../linux/spawn.js';

/** Set by bin/typetun: the soft limit of open files, and SigIgn of proc_pid_status(5). */
const VARIABLE = 'TYPETUN_CALLER';

export interface Caller {
  /** The arguments, as bytes where they are no text. */
  readonly args: readonly (string | Uint8Array)[];
  /** Each `NAME=value`. */
  readonly env: readonly (string | Uint8Array)[];
  /** Numbers of signals. */
  readonly ignored: readonly number[];
  /** Soft limit; undefined where it is not known. */
  readonly openFiles?: number;
}

/** Whether Node.js decoded bytes of it that are no UTF-8: each is this character then. */
export function isGarbled(text = ''): boolean {
  return text.includes('\ufffd');
}

/**
 * Reads it, while /proc/self is still open to this user, and takes it out of the environment.
 * @param args as Node.js decoded them, the last ones of the command line
 */
export function readCaller(args: readonly string[]): Caller {
  const [, soft, ignored = '0'] = /^(\d+|unlimited) ([0-9a-f]{1,16})$/.exec(process.env[VARIABLE] ?? '') ?? [];
  delete process.env[VARIABLE];
  const bits = BigInt(`0x${ignored}`);
  return {
    args: args.some(isGarbled) ? entriesOf('cmdline').slice(-args.length) : args,
    env: readEnvironment(),
    ignored: STANDARD_SIGNALS.filter((signal) => (bits >> BigInt(signal - 1)) & 1n),
    ...(soft !== undefined && soft !== 'unlimited' && { openFiles: Number(soft) }),
  };
}

function entriesOf(file: 'cmdline' | 'environ'): Buffer[] {
  const entries = readFileSync(`/proc/self/${file}`, 'latin1').split('\0');
  // Each ends with a NUL.
  return entries.slice(0, -1).map((entry) => Buffer.from(entry, 'latin1'));
}

function readEnvironment(): (string | Uint8Array)[] {
  const variables = Object.entries(process.env);
  const raw = variables.some((texts) => texts.some(isGarbled))
    ? entriesOf('environ').filter((entry) => !isUtf8(entry))
    : [];
  const garbled = new Set(raw.map((entry) => entry.toString().split('=')[0]));
  const texts = variables.filter(([name]) => !garbled.has(name)).map(([name, value]) => `${name}=${value}`);
  return [...texts, ...raw];
}

/**
 * Node.js starts no thread in a directory that is deleted.
 * @returns the descriptor of such a directory, when this process was in one and is in / now
 */
export function leaveDeletedDirectory(): number | undefined {
  try {
    process.cwd();
    return undefined;
  } catch {
    const directory = openSync('.', O_PATH | constants.O_DIRECTORY);
    process.chdir('/');
    return directory;
  }
}
