/**
 * Cryptokey routing (paper, section 2): one table for each family, from prefix to peer, read as a
 * routing table on the way out and as an access list on the way in.
 *
 * A look-up asks a hash table for each prefix length in use, longest first: few in practice, 33 or 129
 * at most. In a large table it is waiting for memory that takes the time, and of that a trie's walk has
 * more, each step of which depends on the one before (bench/tables.ts).
 *
 * The prefixes of a peer are a linked list of rows, in the order the peer got them; so removing or
 * listing a peer costs its own prefixes alone. Rows have no gaps: the last one moves into a hole.
 */
import type { AllowedIp } from './change.js';
import { HashTable } from './hash-table.js';
import { readWord } from './ip-header.js';

// Words of a row; the key comes last: prefix length and address.
const OWNER = 0;
const PREVIOUS = 1;
const NEXT = 2;
const KEY = 3;

const NONE = -1;
const SMALLEST = 16;

export class AllowedIps {
  readonly #bits: 32 | 128;
  /** Words of a key, and of a row. */
  readonly #words: number;
  readonly #row: number;
  /** From key to row and owner. */
  readonly #table: HashTable;
  #rows: Int32Array;
  /** By peer: its first and last row, each plus one. */
  #lists: Int32Array = new Int32Array(0);
  /** How many prefixes have each length, and the lengths in use, longest first. */
  readonly #counts: Int32Array = new Int32Array(129);
  #lengths: number[] = [];

  constructor(bits: 32 | 128, random: (out: Uint8Array) => void) {
    this.#bits = bits;
    this.#words = 1 + bits / 32;
    this.#row = KEY + this.#words;
    this.#table = new HashTable(this.#words, 2, random);
    this.#rows = new Int32Array(SMALLEST * this.#row);
  }

  get size(): number {
    return this.#table.size;
  }

  get memoryBytes(): number {
    return this.#table.memoryBytes + this.#rows.byteLength + this.#lists.byteLength;
  }

  /** @returns the owner of the longest prefix that holds the address at `bytes[offset]`, or -1 */
  lookup(bytes: Uint8Array, offset: number): number {
    const long = this.#bits === 128;
    const a = readWord(bytes, offset);
    const b = long ? readWord(bytes, offset + 4) : 0;
    const c = long ? readWord(bytes, offset + 8) : 0;
    const d = long ? readWord(bytes, offset + 12) : 0;
    for (const n of this.#lengths) {
      const owner = this.#table.findWords(n, a & mask(n), b & mask(n - 32), c & mask(n - 64), d & mask(n - 96));
      if (owner >= 0) return owner;
    }
    return NONE;
  }

  /**
   * Gives a prefix to a peer, whoever had it. Host bits are ignored.
   * @returns the previous owner of exactly this prefix, or -1
   */
  set(address: Uint8Array, cidr: number, peer: number): number {
    this.#load(address, cidr);
    let row = this.#table.find();
    const previous = row < 0 ? NONE : this.#rows[row * this.#row + OWNER]!;
    if (previous === peer) return peer;
    if (row < 0) {
      row = this.size;
      if ((row + 1) * this.#row > this.#rows.length) this.#resize(Math.ceil((row + 1) * 1.5));
      this.#rows.set(this.#table.key, row * this.#row + KEY);
      this.#count(cidr, 1);
    } else this.#unlink(row);
    this.#table.set(row, peer);
    this.#link(row, peer);
    return previous;
  }

  /** Takes a prefix from a peer. @returns false when it was not this peer's */
  remove(address: Uint8Array, cidr: number, peer: number): boolean {
    this.#load(address, cidr);
    if (this.#table.find(1) !== peer) return false;
    this.#clear(this.#table.find());
    return true;
  }

  /** Takes a peer's first prefix from it. @returns false when it had none */
  removeFirst(peer: number): boolean {
    if (!this.peerHas(peer)) return false;
    this.#clear(this.#lists[2 * peer]! - 1);
    return true;
  }

  peerHas(peer: number): boolean {
    return 2 * peer < this.#lists.length && this.#lists[2 * peer] !== 0;
  }

  /**
   * The peer's prefixes, in the order it got them. Each is good until the next one is asked for. Changes may come in
   * between: what they touch is told as it was or as it is, or not at all.
   */
  *ofPeer(peer: number): Generator<AllowedIp> {
    if (!this.peerHas(peer)) return;
    const address = new Uint8Array(this.#bits / 8);
    const view = new DataView(address.buffer);
    const prefix = { address, cidr: 0 };
    for (let row = this.#lists[2 * peer]! - 1; row !== NONE; row = this.#rows[row * this.#row + NEXT]!) {
      const key = row * this.#row + KEY;
      for (let i = 1; i < this.#words; i++) view.setInt32(4 * (i - 1), this.#rows[key + i]!);
      prefix.cidr = this.#rows[key]!;
      yield prefix;
      if (row >= this.size || this.#rows[row * this.#row + OWNER] !== peer) return;
    }
  }

  /** Makes a prefix the table's key. */
  #load(address: Uint8Array, cidr: number): void {
    const { key } = this.#table;
    key[0] = cidr;
    for (let i = 1; i < this.#words; i++) key[i] = readWord(address, 4 * (i - 1)) & mask(cidr - 32 * (i - 1));
  }

  #count(cidr: number, by: number): void {
    const before = this.#counts[cidr]!;
    this.#counts[cidr] = before + by;
    if (before !== 0 && before + by !== 0) return;
    this.#lengths = [...this.#counts.keys()].filter((length) => this.#counts[length] !== 0).reverse();
  }

  #link(row: number, peer: number): void {
    if (2 * peer >= this.#lists.length) {
      const lists = new Int32Array(Math.max(8, Math.ceil((peer + 1) * 1.5)) * 2);
      lists.set(this.#lists);
      this.#lists = lists;
    }
    const last = this.#lists[2 * peer + 1]! - 1;
    this.#rows[row * this.#row + OWNER] = peer;
    this.#join(peer, last, row);
    this.#join(peer, row, NONE);
  }

  #unlink(row: number): void {
    const at = row * this.#row;
    this.#join(this.#rows[at + OWNER]!, this.#rows[at + PREVIOUS]!, this.#rows[at + NEXT]!);
  }

  /** Makes two rows neighbours in a peer's list; NONE stands for its ends. */
  #join(peer: number, row: number, next: number): void {
    if (row === NONE) this.#lists[2 * peer] = next + 1;
    else this.#rows[row * this.#row + NEXT] = next;
    if (next === NONE) this.#lists[2 * peer + 1] = row + 1;
    else this.#rows[next * this.#row + PREVIOUS] = row;
  }

  #clear(row: number): void {
    this.#unlink(row);
    const width = this.#row;
    this.#take(row);
    this.#count(this.#table.key[0]!, -1);
    this.#table.remove();
    const last = this.size;
    if (row !== last) {
      this.#rows.copyWithin(row * width, last * width, (last + 1) * width);
      this.#take(row);
      const at = row * width;
      const owner = this.#rows[at + OWNER]!;
      this.#table.set(row, owner);
      this.#join(owner, this.#rows[at + PREVIOUS]!, row);
      this.#join(owner, row, this.#rows[at + NEXT]!);
    }
    if (last === 0) this.#lists = new Int32Array(0);
    if (last * 4 * width < this.#rows.length && this.#rows.length > SMALLEST * width) {
      this.#resize(Math.max(SMALLEST, Math.ceil(last * 1.5)));
    }
  }

  /** Makes a row's key the table's. */
  #take(row: number): void {
    for (let i = 0; i < this.#words; i++) this.#table.key[i] = this.#rows[row * this.#row + KEY + i]!;
  }

  #resize(capacity: number): void {
    const rows = new Int32Array(capacity * this.#row);
    rows.set(this.#rows.subarray(0, rows.length));
    this.#rows = rows;
    this.#lists = this.#lists.slice(0, this.#lists.findLastIndex((row) => row !== 0) + 1);
  }
}

/** The first bits of a word: all of them from 32 on, none up to 0. */
function mask(bits: number): number {
  return bits >= 32 ? -1 : bits <= 0 ? 0 : -1 << (32 - bits);
}
