/**
 * A child made with what Node.js takes from its own: words that are no UTF-8, signals that stay ignored, and the
 * soft limit of open files as it was: posix_spawn(3). Who made it waits for it: children.ts.
 */
import { SystemError } from './errno.js';
import { addressOf, allocate, cString, loadLibrary } from './ffi.js';
import { F_GETFL, F_SETFL, fcntl, O_NONBLOCK, putPointer, RLIMIT_NOFILE, setrlimit } from './libc.js';

const POSIX_SPAWN_SETSIGDEF = 0x04;
const SIG_IGN = 1;
// Of glibc on 64-bit systems, with room to spare.
const ATTRIBUTES_SIZE = 512;
const ACTIONS_SIZE = 128;
const SIGSET_SIZE = 128;
const SIGACTION_SIZE = 256;
const POINTER_SIZE = 8;
/** Numbers of all signals but the real-time ones, signal(7): those Node.js leaves as it found them. */
export const STANDARD_SIGNALS: readonly number[] = Array.from({ length: 31 }, (_, i) => i + 1);
/** It wants to be told of its own two. */
const OF_GLIBC: readonly number[] = [32, 33];

export interface SpawnOptions {
  readonly path: string;
  /** From argv[0] on. */
  readonly words: readonly Uint8Array[];
  /** `NAME=value`. */
  readonly env: readonly Uint8Array[];
  /** Descriptors that become 0, 1 and 2, and block from now on. */
  readonly streams: readonly number[];
  /** Numbers of signals; the others have their default action. */
  readonly ignored: readonly number[];
  /** Soft limit; this process's without. */
  readonly openFiles?: number;
}

/** @returns the pid @throws SystemError */
export function spawnProcess({ path, words, env, streams, ignored, openFiles }: SpawnOptions): number {
  const libc = loadLibrary(null);
  const pointers = (names: readonly Uint8Array[]): { list: Uint8Array; kept: Uint8Array[] } => {
    const kept = names.map(cString);
    const list = allocate((kept.length + 1) * POINTER_SIZE);
    for (const [i, name] of kept.entries()) putPointer(new DataView(list.buffer), i * POINTER_SIZE, addressOf(name));
    return { list, kept };
  };
  const [argv, envp, name] = [pointers(words), pointers(env), cString(path)];
  const [attributes, actions, pid] = [allocate(ATTRIBUTES_SIZE), allocate(ACTIONS_SIZE), allocate(4)];
  libc.func('posix_spawnattr_init', 'int', ['pointer'])(addressOf(attributes));
  libc.func('posix_spawn_file_actions_init', 'int', ['pointer'])(addressOf(actions));
  const addDup2 = libc.func('posix_spawn_file_actions_adddup2', 'int', ['pointer', 'int', 'int']);
  for (const [target, fd] of streams.entries()) {
    addDup2(addressOf(actions), fd, target);
    block(fd);
  }
  const defaults = allocate(SIGSET_SIZE);
  for (const signal of [...STANDARD_SIGNALS, ...OF_GLIBC]) {
    if (!ignored.includes(signal)) defaults[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7);
  }
  libc.func('posix_spawnattr_setsigdefault', 'int', ['pointer', 'pointer'])(addressOf(attributes), addressOf(defaults));
  libc.func('posix_spawnattr_setflags', 'int', ['pointer', 'int'])(addressOf(attributes), POSIX_SPAWN_SETSIGDEF);
  const spawn = libc.func('posix_spawn', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'pointer', 'pointer']);
  // The child has them from this process, for which they hold as long as this call.
  const putBack = [...ignored.map(ignore), ...(openFiles === undefined ? [] : [limitOpenFiles(openFiles)])];
  const error = spawn(
    ...[addressOf(pid), addressOf(name), addressOf(actions)],
    ...[addressOf(attributes), addressOf(argv.list), addressOf(envp.list)],
  );
  for (const restore of putBack) restore();
  libc.func('posix_spawn_file_actions_destroy', 'int', ['pointer'])(addressOf(actions));
  libc.func('posix_spawnattr_destroy', 'int', ['pointer'])(addressOf(attributes));
  // Named again so that they outlive the call.
  for (const memory of [name, defaults, ...argv.kept, ...envp.kept]) memory.fill(0);
  if (error !== 0) throw new SystemError(error, 'posix_spawn');
  return new DataView(pid.buffer).getInt32(0, true);
}

/** A pipe does not block whoever shares it once Node.js has made it its `process.stdout`, and programs expect that. */
function block(fd: number): void {
  const flags = fcntl(fd, F_GETFL, 0);
  if (flags >= 0 && flags & O_NONBLOCK) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/** @returns what puts the signal's action back */
function ignore(signal: number): () => void {
  const sigaction = loadLibrary(null).func('sigaction', 'int', ['int', 'pointer', 'pointer']);
  const [action, before] = [allocate(SIGACTION_SIZE), allocate(SIGACTION_SIZE)];
  putPointer(new DataView(action.buffer), 0, SIG_IGN);
  const known = sigaction(signal, addressOf(action), addressOf(before)) === 0;
  // Named again so that it outlives the call.
  action.fill(0);
  return () => {
    if (known) sigaction(signal, addressOf(before), 0);
  };
}

/** @returns what puts the limit back */
function limitOpenFiles(soft: number): () => void {
  const getrlimit = loadLibrary(null).func('getrlimit', 'int', ['int', 'pointer']);
  const [limits, before] = [allocate(16), allocate(16)];
  getrlimit(RLIMIT_NOFILE, addressOf(before));
  limits.set(before);
  putPointer(new DataView(limits.buffer), 0, soft);
  const changed = setrlimit(RLIMIT_NOFILE, addressOf(limits)) === 0;
  limits.fill(0);
  return () => {
    if (changed) setrlimit(RLIMIT_NOFILE, addressOf(before));
  };
}
