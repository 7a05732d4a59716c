import { addressOf, allocate } from './ffi.js';
import { setrlimit } from './libc.js';

const RLIMIT_CORE = 4;

/** No core dump of this process is ever written: it would hold keys. setrlimit(2) */
export function disableCoreDumps(): void {
  setrlimit(RLIMIT_CORE, addressOf(allocate(16)));
}
