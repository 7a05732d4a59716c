/** Receiver indices: random 32-bit numbers, each standing for something of ours. */
import { HashTable } from './hash-table.js';

export class IndexTable {
  readonly #random: (out: Uint8Array) => void;
  readonly #table: HashTable;
  readonly #bytes: Uint8Array;

  constructor(random: (out: Uint8Array) => void) {
    this.#random = random;
    this.#table = new HashTable(1, 1, random);
    this.#bytes = new Uint8Array(this.#table.key.buffer);
  }

  get size(): number {
    return this.#table.size;
  }

  /** @returns a fresh index for `value` (not negative) */
  allocate(value: number): number {
    do this.#random(this.#bytes);
    while (this.#table.find() >= 0);
    this.#table.set(value);
    return this.#table.key[0]! >>> 0;
  }

  /** @returns the value, or -1 */
  lookup(index: number): number {
    this.#table.key[0] = index;
    return this.#table.find();
  }

  /** Gives an index in use another value. */
  replace(index: number, value: number): void {
    if (this.lookup(index) >= 0) this.#table.set(value);
  }

  free(index: number): void {
    this.#table.key[0] = index;
    this.#table.remove();
  }
}
