import { addressOf, allocate } from './ffi.js';
import { clockGetTime } from './libc.js';

const CLOCK_BOOTTIME = 7;
const memory = allocate(16);
const view = new DataView(memory.buffer);
const address = addressOf(memory);

/**
 * Whole milliseconds since boot, time suspended included: clock_gettime(2), CLOCK_BOOTTIME. For 24 days they are
 * small integers to V8, which are passed on without being allocated.
 */
export function bootTimeMs(): number {
  clockGetTime(CLOCK_BOOTTIME, address);
  const seconds = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  return seconds * 1000 + Math.floor(view.getUint32(8, true) / 1e6);
}
