/**
 * Receiver indices: random 32-bit numbers, each standing for something of ours. Open addressing with
 * linear probing and backward-shift deletion, so that nothing is left behind by what was freed.
 */
const EMPTY = -1;
const SMALLEST = 64;

export class IndexTable {
  readonly #random: (out: Uint8Array) => void;
  readonly #word: Uint32Array = new Uint32Array(1);
  #indices: Uint32Array = new Uint32Array(SMALLEST);
  #values: Int32Array = new Int32Array(SMALLEST).fill(EMPTY);
  size = 0;

  constructor(random: (out: Uint8Array) => void) {
    this.#random = random;
  }

  /** @returns a fresh index for `value` (not negative) */
  allocate(value: number): number {
    if (this.size * 2 >= this.#values.length) this.#resize(this.#values.length * 2);
    const bytes = new Uint8Array(this.#word.buffer);
    do this.#random(bytes);
    while (this.#find(this.#word[0]!) >= 0);
    const index = this.#word[0]!;
    this.#insert(index, value);
    this.size++;
    return index;
  }

  /** @returns the value, or -1 */
  lookup(index: number): number {
    const values = this.#values;
    const mask = values.length - 1;
    for (let at = index & mask; ; at = (at + 1) & mask) {
      const value = values[at]!;
      if (value === EMPTY || this.#indices[at] === index) return value;
    }
  }

  /** Gives a known index another value. */
  replace(index: number, value: number): void {
    const at = this.#find(index);
    if (at >= 0) this.#values[at] = value;
  }

  free(index: number): void {
    let hole = this.#find(index);
    if (hole < 0) return;
    const mask = this.#values.length - 1;
    for (let at = (hole + 1) & mask; this.#values[at] !== EMPTY; at = (at + 1) & mask) {
      const home = this.#indices[at]! & mask;
      // What would not be found any more from its home moves into the hole.
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        this.#indices[hole] = this.#indices[at]!;
        this.#values[hole] = this.#values[at]!;
        hole = at;
      }
    }
    this.#values[hole] = EMPTY;
    this.size--;
    if (this.size * 8 < this.#values.length && this.#values.length > SMALLEST) this.#resize(this.#values.length / 2);
  }

  #find(index: number): number {
    const mask = this.#values.length - 1;
    for (let at = index & mask; this.#values[at] !== EMPTY; at = (at + 1) & mask) {
      if (this.#indices[at] === index) return at;
    }
    return -1;
  }

  #insert(index: number, value: number): void {
    const mask = this.#values.length - 1;
    let at = index & mask;
    while (this.#values[at] !== EMPTY) at = (at + 1) & mask;
    this.#indices[at] = index;
    this.#values[at] = value;
  }

  #resize(capacity: number): void {
    const indices = this.#indices;
    const values = this.#values;
    this.#indices = new Uint32Array(capacity);
    this.#values = new Int32Array(capacity).fill(EMPTY);
    for (let at = 0; at < values.length; at++) {
      if (values[at] !== EMPTY) this.#insert(indices[at]!, values[at]!);
    }
  }
}
