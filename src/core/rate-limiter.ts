/**
 * A token bucket for each source of handshakes, IPv4 by /32 and IPv6 by /64: RATE_PER_SECOND with a
 * burst of RATE_BURST. Of a bounded number of sources; new ones are refused while the table is full.
 *
 * A bucket is kept as the one time at which it will be full (the "virtual scheduling" form of ITU-T
 * I.371's rate algorithm). What is not used until then may be forgotten: hence two tables, of which
 * the older one goes when the younger is that old.
 */
import { RATE_BURST, RATE_PER_SECOND, RATE_TABLE_SIZE } from './constants.js';
import { HashTable } from './hash-table.js';
import { readWord } from './ip-header.js';

const TOKEN_MS: number = 1000 / RATE_PER_SECOND;
const FULL_MS: number = RATE_BURST * TOKEN_MS;
/** Times are kept as 32-bit numbers of milliseconds. */
const MAX_TIME: number = 2 ** 30;

export class RateLimiter {
  readonly #random: (out: Uint8Array) => void;
  #young: HashTable;
  #old: HashTable;
  /** The time that counts as 0, and when the younger table was begun. */
  #epochMs = 0;
  #begunMs = 0;

  constructor(random: (out: Uint8Array) => void) {
    this.#random = random;
    this.#young = this.#table();
    this.#old = this.#table();
  }

  /** @param bytes the address at `offset`: 4 bytes, or 16 of which 8 count */
  allow(bytes: Uint8Array, offset: number, family: 4 | 6, now: number): boolean {
    this.collect(now);
    if (now - this.#begunMs >= FULL_MS) {
      this.#old = this.#young;
      this.#young = this.#table();
      this.#begunMs = now;
    }
    for (const { key } of [this.#young, this.#old]) {
      key[0] = family;
      key[1] = readWord(bytes, offset);
      key[2] = family === 4 ? 0 : readWord(bytes, offset + 4);
    }
    const time = Math.floor(now - this.#epochMs);
    const known = this.#young.find();
    const full = Math.max(known >= 0 ? known : this.#old.find(), time);
    if (full + TOKEN_MS > time + FULL_MS) return false;
    if (known < 0 && this.#young.size + this.#old.size >= RATE_TABLE_SIZE) return false;
    this.#young.set(full + TOKEN_MS);
    return true;
  }

  /** Gives the memory back when nobody was limited for a while. */
  collect(now: number): void {
    if (now - this.#begunMs < 1000 && now - this.#epochMs < MAX_TIME) return;
    this.#epochMs = now;
    this.#begunMs = now;
    if (this.#young.size + this.#old.size === 0) return;
    this.#young = this.#table();
    this.#old = this.#table();
  }

  #table(): HashTable {
    return new HashTable(3, 1, this.#random);
  }
}
