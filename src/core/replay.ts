/**
 * Sliding window against replay (RFC 6479): a bitmap of 8,192 bits, of which one word is always being
 * cleared, so counters up to 8,128 behind the greatest are told apart. Counters are 64 bits, as two u32.
 */
const BITS = 8192;
const WORD_BITS = 32;
const WORDS = BITS / WORD_BITS;
/** RFC 6479 spends one word; the kernel's words have 64 bits, and so do its 8,128 usable ones. */
const WINDOW_SIZE = BITS - 64;

export class ReplayWindow {
  readonly #bitmap: Int32Array = new Int32Array(WORDS);
  /** The greatest counter marked. */
  #lo = 0;
  #hi = 0;
  #any = false;

  /** Would this counter be accepted? Changes nothing. */
  check(lo: number, hi: number): boolean {
    if (!this.#any || hi > this.#hi || (hi === this.#hi && lo > this.#lo)) return true;
    if (this.#behind(lo, hi) > WINDOW_SIZE) return false;
    return (this.#bitmap[(lo >>> 5) & (WORDS - 1)]! & (1 << (lo & 31))) === 0;
  }

  /** Marks an authentic message's counter. @returns false when it was marked before, or is too old */
  mark(lo: number, hi: number): boolean {
    if (!this.check(lo, hi)) return false;
    if (!this.#any || hi > this.#hi || (hi === this.#hi && lo > this.#lo)) this.#advance(lo, hi);
    this.#bitmap[(lo >>> 5) & (WORDS - 1)]! |= 1 << (lo & 31);
    return true;
  }

  reset(): void {
    this.#bitmap.fill(0);
    this.#lo = 0;
    this.#hi = 0;
    this.#any = false;
  }

  /** How far behind the greatest: exact while it matters. */
  #behind(lo: number, hi: number): number {
    return (this.#hi - hi) * 2 ** 32 + (this.#lo - lo);
  }

  #advance(lo: number, hi: number): void {
    const ahead = -this.#behind(lo, hi);
    if (ahead >= BITS) this.#bitmap.fill(0);
    else {
      const from = this.#lo >>> 5;
      const words = ((lo >>> 5) - from) & (2 ** 27 - 1);
      for (let i = 1; i <= words && i <= WORDS; i++) this.#bitmap[(from + i) & (WORDS - 1)] = 0;
    }
    this.#lo = lo;
    this.#hi = hi;
    this.#any = true;
  }
}
