/**
 * TAI64N timestamps (paper, section 5.1; cr.yp.to/libtai/tai64.html), whitened to 2^24 ns.
 *
 * They follow boot time from the greatest wall-clock offset seen: a clock set back later does not
 * lock us out of peers that remember our last timestamp.
 */
const NS_PER_TICK = 2 ** 24;
const TICKS_PER_MS = 1e6 / NS_PER_TICK;
/** 2^62, and the ten seconds TAI was ahead in 1970, as two u32. */
const TAI_HIGH = 0x40000000;
const TAI_LOW = 10;

export class Tai64n {
  readonly #wallTimeMs: () => number;
  #offsetMs = Number.NEGATIVE_INFINITY;

  constructor(wallTimeMs: () => number) {
    this.#wallTimeMs = wallTimeMs;
  }

  /**
   * Writes a timestamp after `lastTick` into the 12 bytes of `out`.
   * @param now milliseconds of boot time
   * @returns its tick
   */
  write(out: Uint8Array, lastTick: number, now: number): number {
    this.#offsetMs = Math.max(this.#offsetMs, this.#wallTimeMs() - now);
    const tick = Math.max(Math.floor((this.#offsetMs + now) * TICKS_PER_MS), lastTick + 1);
    // A tick is 2^24 ns: split into seconds and nanoseconds without losing bits.
    const seconds = Math.floor((tick * (NS_PER_TICK / 2 ** 9)) / (1e9 / 2 ** 9));
    const nanos = (tick * NS_PER_TICK - seconds * 1e9) & ~(NS_PER_TICK - 1);
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    const low = seconds + TAI_LOW;
    view.setUint32(0, TAI_HIGH + Math.floor(low / 2 ** 32));
    view.setUint32(4, low >>> 0);
    view.setUint32(8, nanos < 0 ? 0 : nanos);
    return tick;
  }
}
