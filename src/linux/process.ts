import { addressOf, allocate } from './ffi.js';
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
