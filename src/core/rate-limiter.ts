/**
 * A token bucket for each source of handshakes, IPv4 by /32 and IPv6 by /64: RATE_PER_SECOND with a
 * burst of RATE_BURST. Of a bounded number of sources; new ones are refused while the table is full.
 */
import { RATE_BURST, RATE_PER_SECOND, RATE_TABLE_SIZE } from './constants.js';
import { mix } from './hash.js';

/** Places looked at for one source. Only a table nearly full refuses a new one. */
const PROBES = 32;
/** After this a bucket is full again, and its place free for others. */
const IDLE_MS: number = (RATE_BURST * 1000) / RATE_PER_SECOND;

export class RateLimiter {
  readonly #seed: number;
  /** Place i: two words of address at 2i, one of family at i; taken on first use. */
  #addresses: Int32Array | undefined;
  #families: Uint8Array = new Uint8Array(0);
  #tokens: Float64Array = new Float64Array(0);
  #times: Float64Array = new Float64Array(0);
  #lastMs = 0;

  constructor(random: (out: Uint8Array) => void) {
    const seed = new Uint8Array(4);
    random(seed);
    this.#seed = new DataView(seed.buffer).getInt32(0);
  }

  /** @param bytes the address at `offset`: 4 bytes, or 16 of which 8 count */
  allow(bytes: Uint8Array, offset: number, family: 4 | 6, now: number): boolean {
    const addresses = this.#table();
    this.#lastMs = now;
    const high = word(bytes, offset);
    const low = family === 4 ? 0 : word(bytes, offset + 4);
    const home = mix(mix(mix(this.#seed, family), high), low);
    let place = -1;
    for (let i = 0; i < PROBES; i++) {
      const at = (home + i) & (RATE_TABLE_SIZE - 1);
      const idle = now - this.#times[at]! >= IDLE_MS;
      if (this.#families[at] === family && addresses[2 * at] === high && addresses[2 * at + 1] === low) {
        if (!idle) return this.#spend(at, now);
        place = at;
        break;
      }
      if (place < 0 && (this.#families[at] === 0 || idle)) place = at;
    }
    if (place < 0) return false;
    this.#families[place] = family;
    addresses[2 * place] = high;
    addresses[2 * place + 1] = low;
    this.#tokens[place] = RATE_BURST - 1;
    this.#times[place] = now;
    return true;
  }

  /** Gives the memory back when nobody was limited for a while. */
  collect(now: number): void {
    if (!this.#addresses || now - this.#lastMs < 1000) return;
    this.#addresses = undefined;
    this.#families = new Uint8Array(0);
    this.#tokens = new Float64Array(0);
    this.#times = new Float64Array(0);
  }

  #spend(at: number, now: number): boolean {
    const gained = ((now - this.#times[at]!) * RATE_PER_SECOND) / 1000;
    const tokens = Math.min(RATE_BURST, this.#tokens[at]! + gained);
    this.#times[at] = now;
    this.#tokens[at] = tokens >= 1 ? tokens - 1 : tokens;
    return tokens >= 1;
  }

  #table(): Int32Array {
    if (!this.#addresses) {
      this.#addresses = new Int32Array(2 * RATE_TABLE_SIZE);
      this.#families = new Uint8Array(RATE_TABLE_SIZE);
      this.#tokens = new Float64Array(RATE_TABLE_SIZE);
      this.#times = new Float64Array(RATE_TABLE_SIZE).fill(Number.NEGATIVE_INFINITY);
    }
    return this.#addresses;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
