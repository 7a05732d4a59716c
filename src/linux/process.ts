import { addressOf, allocate, loadLibrary } from './ffi.js';
import { check, setrlimit } from './libc.js';

const RLIMIT_CORE = 4;

/**
 * No core dump of this process is ever written: it would hold keys. Soft and hard limit 0, setrlimit(2).
 * @throws SystemError
 */
export function disableCoreDumps(): void {
  const limits = allocate(16);
  check(setrlimit(RLIMIT_CORE, addressOf(limits)), 'setrlimit');
  // Named again so that it outlives the call.
  limits.fill(0);
}

const PR_SET_DUMPABLE = 4;

/**
 * As {@link disableCoreDumps}, for this process alone and not for the commands it starts; and no process of
 * the same user may look into its memory: prctl(2).
 * @throws SystemError
 */
export function forbidDumps(): void {
  const prctl = loadLibrary(null).func('prctl', 'int', ['int', 'ulong', 'ulong', 'ulong', 'ulong']);
  check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 'prctl');
}

/** Numbers of capabilities(7). */
export const Capability = { kill: 5, netBindService: 10, netAdmin: 12, sysAdmin: 21 } as const;

const CAPABILITY_VERSION_3 = 0x20080522;

/**
 * Keeps the calling thread, and those it starts from now on, from every capability but these, as far as it has them:
 * capget(2).
 * @throws SystemError
 */
export function keepCapabilities(...kept: readonly number[]): void {
  const libc = loadLibrary(null);
  const header = allocate(8);
  new DataView(header.buffer).setUint32(0, CAPABILITY_VERSION_3, true);
  // Effective, permitted and inheritable, for numbers below 32; the same again for those above.
  const sets = allocate(24);
  const view = new DataView(sets.buffer);
  check(libc.func('capget', 'int', ['pointer', 'pointer'])(addressOf(header), addressOf(sets)), 'capget');
  const bits = kept.reduce((sum, bit) => sum | (1 << bit), 0) & view.getUint32(4, true);
  sets.fill(0);
  for (const at of [0, 4]) view.setUint32(at, bits >>> 0, true);
  check(libc.func('capset', 'int', ['pointer', 'pointer'])(addressOf(header), addressOf(sets)), 'capset');
  header.fill(0);
}

/** `struct sched_attr` in its first version: size, policy, flags, nice, priority; runtime, deadline, period. */
const SCHED_ATTR_SIZE = 48;
const SCHED_POLICY = 4;
const SCHED_RUNTIME = 24;
const SCHED_OTHER = 0;
/** Numbers of the calls: the C library has functions for them from glibc 2.41 on only. */
const SCHED_CALLS: Partial<Record<string, { readonly set: number; readonly get: number }>> = {
  x64: { set: 314, get: 315 },
  arm64: { set: 274, get: 275 },
};

/**
 * Gives the calling thread time slices of so many nanoseconds instead of the system's few milliseconds: sched_setattr(2).
 * A thread that wakes up takes the processor at once from one with longer slices; its share of the time stays the same.
 * Where another policy is set, nothing changes.
 * @returns the slice that the kernel tells afterwards: 0 before Linux 6.12, which does not have it, and where it refused
 */
export function shortenTimeSlices(nanoseconds: number): number {
  const numbers = SCHED_CALLS[process.arch];
  if (!numbers) return 0;
  const syscall = loadLibrary(null).func('syscall', 'long', ['long', 'int', 'pointer', 'uint', 'uint']);
  const attributes = allocate(SCHED_ATTR_SIZE);
  const view = new DataView(attributes.buffer);
  const address = addressOf(attributes);
  const get = (): boolean => syscall(numbers.get, 0, address, SCHED_ATTR_SIZE, 0) === 0;
  if (!get() || view.getUint32(SCHED_POLICY, true) !== SCHED_OTHER) return 0;
  view.setUint32(SCHED_RUNTIME, nanoseconds, true);
  view.setUint32(SCHED_RUNTIME + 4, 0, true);
  if (syscall(numbers.set, 0, address, 0, 0) !== 0 || !get()) return 0;
  return view.getUint32(SCHED_RUNTIME, true);
}
