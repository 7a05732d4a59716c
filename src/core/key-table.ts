/**
 * Public keys and the small row numbers they are known by; rows are reused. Flat arrays.
 */
import { mix } from './hash.js';

const WORDS = 8;
const EMPTY = -1;
const SMALLEST = 16;

export class KeyTable {
  readonly #seed: number;
  /** By row. */
  #keys = new Int32Array(SMALLEST * WORDS);
  readonly #free: number[] = [];
  #rows = 0;
  /** Row numbers by hash: open addressing, backward-shift deletion. */
  #slots: Int32Array = new Int32Array(SMALLEST * 2).fill(EMPTY);
  readonly #probe: Int32Array = new Int32Array(WORDS);
  readonly #probeBytes: Uint8Array = new Uint8Array(this.#probe.buffer);

  /** @param seed random, against keys chosen to collide */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** @returns the row of a 32-byte key, or -1 */
  find(key: Uint8Array): number {
    this.#probeBytes.set(key);
    const mask = this.#slots.length - 1;
    for (let at = this.#hash(this.#probe, 0) & mask; ; at = (at + 1) & mask) {
      const row = this.#slots[at]!;
      if (row === EMPTY || this.#isAt(row)) return row;
    }
  }

  /** @param key not in the table yet */
  add(key: Uint8Array): number {
    const row = this.#free.pop() ?? this.#rows++;
    if ((row + 1) * WORDS > this.#keys.length) {
      const keys = new Int32Array(Math.ceil((row + 1) * 1.5) * WORDS);
      keys.set(this.#keys);
      this.#keys = keys;
    }
    new Uint8Array(this.#keys.buffer).set(key, row * WORDS * 4);
    if ((this.#rows - this.#free.length) * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    else this.#insert(row);
    return row;
  }

  remove(row: number): void {
    const mask = this.#slots.length - 1;
    let hole = this.#hash(this.#keys, row * WORDS) & mask;
    while (this.#slots[hole] !== row) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; this.#slots[at] !== EMPTY; at = (at + 1) & mask) {
      const home = this.#hash(this.#keys, this.#slots[at]! * WORDS) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        this.#slots[hole] = this.#slots[at]!;
        hole = at;
      }
    }
    this.#slots[hole] = EMPTY;
    this.#free.push(row);
    if (this.#free.length === this.#rows) {
      this.#free.length = 0;
      this.#rows = 0;
      this.#keys = new Int32Array(SMALLEST * WORDS);
      this.#slots = new Int32Array(SMALLEST * 2).fill(EMPTY);
    }
  }

  /** A copy of the key. */
  key(row: number): Uint8Array {
    return new Uint8Array(this.#keys.buffer).slice(row * WORDS * 4, (row + 1) * WORDS * 4);
  }

  #isAt(row: number): boolean {
    for (let i = 0; i < WORDS; i++) if (this.#keys[row * WORDS + i] !== this.#probe[i]) return false;
    return true;
  }

  #hash(words: Int32Array, at: number): number {
    let hash = this.#seed;
    for (let i = 0; i < WORDS; i++) hash = mix(hash, words[at + i]!);
    return hash;
  }

  #insert(row: number): void {
    const mask = this.#slots.length - 1;
    let at = this.#hash(this.#keys, row * WORDS) & mask;
    while (this.#slots[at] !== EMPTY) at = (at + 1) & mask;
    this.#slots[at] = row;
  }

  #rehash(capacity: number): void {
    const freed = new Set(this.#free);
    this.#slots = new Int32Array(capacity).fill(EMPTY);
    for (let row = 0; row < this.#rows; row++) if (!freed.has(row)) this.#insert(row);
  }
}
