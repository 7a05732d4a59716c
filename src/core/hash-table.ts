/**
 * A hash table from keys of a few words to small numbers, in flat arrays: receiver indices, public
 * keys, prefixes and the sources of handshakes are all found by it.
 *
 * Open addressing with linear probing and backward-shift deletion, so that nothing is left behind by
 * what was removed. A byte of the hash, its tag, is kept apart from each slot: what is not there is
 * mostly found out from tags alone, which the cache holds longer than the slots. Cut into shards that
 * grow and shrink one at a time, so that no insertion has more than a small part of a large table to
 * move. The hash is seeded, against keys chosen to collide.
 */
const SHARD_BITS = 6;
const SHARDS: number = 2 ** SHARD_BITS;
const SHARD_SHIFT: number = 32 - SHARD_BITS;
/** The lower bits of a hash are a slot's number, the upper ones its shard's; these are its tag. */
const TAG_SHIFT: number = SHARD_SHIFT - 8;
const SMALLEST = 8;
const EMPTY = 0;
const NO_TAGS: Uint8Array = new Uint8Array(1);
const NO_SLOTS: Int32Array = new Int32Array(0);

export class HashTable {
  readonly #keyWords: number;
  readonly #stride: number;
  readonly #seed: Int32Array = new Int32Array(1);
  /** By shard: tags (their number a power of two), and slots: the key's words, then the values. */
  readonly #tags: Uint8Array[] = new Array<Uint8Array>(SHARDS).fill(NO_TAGS);
  readonly #slots: Int32Array[] = new Array<Int32Array>(SHARDS).fill(NO_SLOTS);
  readonly #used: Int32Array = new Int32Array(SHARDS);
  /** The key that is meant: written by the caller before each call. */
  readonly key: Int32Array;
  size = 0;

  /** @param values of a key: one or two */
  constructor(keyWords: number, values: 1 | 2, random: (out: Uint8Array) => void) {
    this.#keyWords = keyWords;
    this.#stride = keyWords + values;
    random(new Uint8Array(this.#seed.buffer));
    this.key = new Int32Array(keyWords);
  }

  get memoryBytes(): number {
    const bytes = (sum: number, array: Uint8Array | Int32Array): number => sum + array.byteLength;
    return this.#slots.reduce<number>(bytes, 0) + this.#tags.reduce<number>(bytes, -SHARDS);
  }

  /** @returns the first or second value of the key, or -1 */
  find(column = 0): number {
    const hash = this.#hash(this.key, 0);
    const shard = hash >>> SHARD_SHIFT;
    const at = this.#locate(shard, hash);
    return this.#tags[shard]![at] === EMPTY ? -1 : this.#slots[shard]![at * this.#stride + this.#keyWords + column]!;
  }

  /**
   * The second value of a key of two words, or of five, that stays in variables: every packet's look-up, faster so
   * than by {@link key} (docs/adr/0012).
   * @returns it, or -1
   */
  findWords(a: number, b: number, c: number, d: number, e: number): number {
    const words = this.#keyWords;
    let hash = mix(mix(this.#seed[0]!, a), b);
    if (words > 2) hash = mix(mix(mix(hash, c), d), e);
    hash = finish(hash);
    const shard = hash >>> SHARD_SHIFT;
    const tags = this.#tags[shard]!;
    const mask = tags.length - 1;
    const tag = tagOf(hash);
    for (let at = hash & mask; tags[at] !== EMPTY; at = (at + 1) & mask) {
      if (tags[at] !== tag) continue;
      const slots = this.#slots[shard]!;
      const slot = at * this.#stride;
      if (slots[slot] !== a || slots[slot + 1] !== b) continue;
      const same = words === 2 || (slots[slot + 2] === c && slots[slot + 3] === d && slots[slot + 4] === e);
      if (same) return slots[slot + words + 1]!;
    }
    return -1;
  }

  /** Inserts the key, or gives it other values (not negative). */
  set(value: number, second = 0): void {
    const hash = this.#hash(this.key, 0);
    const shard = hash >>> SHARD_SHIFT;
    let at = this.#locate(shard, hash);
    if (this.#tags[shard]![at] === EMPTY) {
      const capacity = this.#tags[shard]!.length;
      // Two thirds full at most.
      if ((this.#used[shard]! + 1) * 3 > capacity * 2) {
        this.#resize(shard, Math.max(SMALLEST, capacity * 2));
        at = this.#locate(shard, hash);
      }
      this.#tags[shard]![at] = tagOf(hash);
      this.#slots[shard]!.set(this.key, at * this.#stride);
      this.#used[shard]!++;
      this.size++;
    }
    const first = at * this.#stride + this.#keyWords;
    this.#slots[shard]![first] = value;
    if (this.#keyWords + 1 < this.#stride) this.#slots[shard]![first + 1] = second;
  }

  /** Removes the key, if it is there. */
  remove(): void {
    const hash = this.#hash(this.key, 0);
    const shard = hash >>> SHARD_SHIFT;
    const tags = this.#tags[shard]!;
    const slots = this.#slots[shard]!;
    const stride = this.#stride;
    const mask = tags.length - 1;
    let hole = this.#locate(shard, hash);
    if (tags[hole] === EMPTY) return;
    for (let at = (hole + 1) & mask; tags[at] !== EMPTY; at = (at + 1) & mask) {
      // What would not be found any more from its home moves into the hole.
      if (((at - this.#hash(slots, at * stride)) & mask) < ((at - hole) & mask)) continue;
      tags[hole] = tags[at]!;
      slots.copyWithin(hole * stride, at * stride, (at + 1) * stride);
      hole = at;
    }
    tags[hole] = EMPTY;
    slots.fill(0, hole * stride, (hole + 1) * stride);
    this.size--;
    const used = --this.#used[shard]!;
    if (used === 0) this.#resize(shard, 0);
    else if (used * 8 < tags.length && tags.length > SMALLEST) this.#resize(shard, tags.length / 2);
  }

  #hash(words: Int32Array, at: number): number {
    let hash = this.#seed[0]!;
    for (let i = at; i < at + this.#keyWords; i++) hash = mix(hash, words[i]!);
    return finish(hash);
  }

  /** The number of the key's slot in its shard, or of the empty one where it would be. */
  #locate(shard: number, hash: number): number {
    const { key } = this;
    const words = this.#keyWords;
    const tags = this.#tags[shard]!;
    const mask = tags.length - 1;
    const tag = tagOf(hash);
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      if (tags[at] === EMPTY) return at;
      if (tags[at] !== tag) continue;
      const slots = this.#slots[shard]!;
      const slot = at * this.#stride;
      let same = 0;
      while (same < words && slots[slot + same] === key[same]) same++;
      if (same === words) return at;
    }
  }

  #resize(shard: number, capacity: number): void {
    const oldTags = this.#tags[shard]!;
    const oldSlots = this.#slots[shard]!;
    const stride = this.#stride;
    const tags = capacity === 0 ? NO_TAGS : new Uint8Array(capacity);
    const slots = new Int32Array(capacity * stride);
    for (let from = 0; from < oldTags.length; from++) {
      if (oldTags[from] === EMPTY) continue;
      let at = this.#hash(oldSlots, from * stride) & (capacity - 1);
      while (tags[at] !== EMPTY) at = (at + 1) & (capacity - 1);
      tags[at] = oldTags[from]!;
      for (let i = 0; i < stride; i++) slots[at * stride + i] = oldSlots[from * stride + i]!;
    }
    this.#tags[shard] = tags;
    this.#slots[shard] = slots;
  }
}

function mix(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}

/** @returns a signed number: V8 keeps those of 32 bits off the heap */
function finish(hash: number): number {
  const product = Math.imul(hash, 0x85ebca77);
  return product ^ (product >>> 13);
}

function tagOf(hash: number): number {
  return (hash >>> TAG_SHIFT) & 0xff || 1;
}
