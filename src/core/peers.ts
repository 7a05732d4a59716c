/**
 * All peers of a device: records, keys and counters in flat tables, by a row number each. Row numbers
 * are reused.
 */
import type { EndpointTable } from './endpoint.js';
import { HashTable } from './hash-table.js';
import { KEY_SIZE, TIMESTAMP_SIZE } from './messages.js';
import { Peer } from './peer.js';
import type { Suite } from './suite.js';

/** Columns of {@link Peers.stat}. */
export const RX_BYTES = 0;
export const TX_BYTES = 1;
/** Wall time in milliseconds, 0 for never. */
export const LAST_HANDSHAKE = 2;
const STATS = 3;

/** A row of keys: public key, preshared key, and the greatest timestamp received. */
const PRESHARED_KEY = KEY_SIZE;
const LAST_TIMESTAMP: number = PRESHARED_KEY + KEY_SIZE;
const KEYS: number = LAST_TIMESTAMP + TIMESTAMP_SIZE;

export class Peers {
  first: Peer | undefined;
  #last: Peer | undefined;
  count = 0;
  /** From public key to row. */
  readonly #table: HashTable;
  readonly #tableKey: Uint8Array;
  #rows: (Peer | undefined)[] = [];
  #free: number[] = [];
  readonly #endpoints: EndpointTable;
  #stats = new Float64Array(0);
  #keys = new Uint8Array(0);

  constructor(suite: Suite, endpoints: EndpointTable) {
    this.#table = new HashTable(KEY_SIZE / 4, 1, (out) => suite.random(out));
    this.#tableKey = new Uint8Array(this.#table.key.buffer);
    this.#endpoints = endpoints;
  }

  at(index: number): Peer | undefined {
    return this.#rows[index];
  }

  find(publicKey: Uint8Array): Peer | undefined {
    this.#tableKey.set(publicKey);
    return this.#rows[this.#table.find()];
  }

  /** A copy of the peer's public key. */
  publicKey(index: number): Uint8Array {
    return this.#keys.slice(index * KEYS, index * KEYS + KEY_SIZE);
  }

  /** Views, valid until a peer is added: do not keep them. */
  presharedKey(index: number): Uint8Array {
    return this.#keys.subarray(index * KEYS + PRESHARED_KEY, index * KEYS + LAST_TIMESTAMP);
  }

  lastTimestamp(index: number): Uint8Array {
    return this.#keys.subarray(index * KEYS + LAST_TIMESTAMP, (index + 1) * KEYS);
  }

  stat(index: number, column: number): number {
    return this.#stats[index * STATS + column]!;
  }

  addStat(index: number, column: number, value: number): void {
    this.#stats[index * STATS + column]! += value;
  }

  setStat(index: number, column: number, value: number): void {
    this.#stats[index * STATS + column] = value;
  }

  /** @param publicKey of no peer yet */
  add(publicKey: Uint8Array): Peer {
    const index = this.#free.pop() ?? this.#rows.length;
    if ((index + 1) * STATS > this.#stats.length) this.#resize(Math.ceil((index + 1) * 1.5));
    this.#tableKey.set(publicKey);
    this.#table.set(index);
    this.#stats.fill(0, index * STATS, (index + 1) * STATS);
    this.#keys.fill(0, index * KEYS, (index + 1) * KEYS);
    this.#keys.set(publicKey, index * KEYS);
    const peer = new Peer(index, this.#endpoints.allocate());
    this.#rows[index] = peer;
    peer.previous = this.#last;
    if (this.#last) this.#last.next = peer;
    else this.first = peer;
    this.#last = peer;
    this.count++;
    return peer;
  }

  /** The caller has taken its routes and its session. */
  remove(peer: Peer): void {
    this.#tableKey.set(this.publicKey(peer.index));
    this.#table.remove();
    this.#keys.fill(0, peer.index * KEYS, (peer.index + 1) * KEYS);
    this.#endpoints.release(peer.endpoint);
    this.#rows[peer.index] = undefined;
    this.#free.push(peer.index);
    if (peer.previous) peer.previous.next = peer.next;
    else this.first = peer.next;
    if (peer.next) peer.next.previous = peer.previous;
    else this.#last = peer.previous;
    // `next` stays: a reader who stopped at this peer finds on from here.
    peer.previous = undefined;
    peer.removed = true;
    this.count--;
    if (this.count === 0) this.#resize(0);
  }

  #resize(capacity: number): void {
    if (capacity === 0) {
      this.#rows = [];
      this.#free = [];
    }
    const stats = new Float64Array(capacity * STATS);
    const keys = new Uint8Array(capacity * KEYS);
    if (capacity > 0) {
      stats.set(this.#stats);
      keys.set(this.#keys);
    }
    this.#keys.fill(0);
    this.#stats = stats;
    this.#keys = keys;
  }
}
