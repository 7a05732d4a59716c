import { addressOf, allocate } from './ffi.js';
import { clockGetTime } from './libc.js';

const CLOCK_BOOTTIME = 7;
const memory = allocate(16);
const view = new DataView(memory.buffer);
const address = addressOf(memory);

/** Milliseconds since boot, time suspended included: clock_gettime(2), CLOCK_BOOTTIME. */
export function bootTimeMs(): number {
  clockGetTime(CLOCK_BOOTTIME, address);
  return view.getUint32(0, true) * 1000 + view.getUint32(4, true) * 2 ** 32 * 1000 + view.getUint32(8, true) / 1e6;
}
