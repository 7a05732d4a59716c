/**
 * All peers of a device: records, keys and counters in flat tables, by a row number each.
 */
import type { EndpointTable } from './endpoint.js';
import { KeyTable } from './key-table.js';
import { KEY_SIZE, TIMESTAMP_SIZE } from './messages.js';
import { Peer } from './peer.js';
import type { Suite } from './suite.js';

/** Columns of {@link Peers.stats}. */
export const RX_BYTES = 0;
export const TX_BYTES = 1;
/** Wall time in milliseconds, 0 for never. */
export const LAST_HANDSHAKE = 2;
const STATS = 3;

/** Row: preshared key, then the greatest timestamp received. */
const SECRETS = KEY_SIZE + TIMESTAMP_SIZE;

export class Peers {
  first: Peer | undefined;
  #last: Peer | undefined;
  count = 0;
  readonly #keys: KeyTable;
  readonly #rows: (Peer | undefined)[] = [];
  readonly #endpoints: EndpointTable;
  #stats = new Float64Array(0);
  #secrets = new Uint8Array(0);

  constructor(suite: Suite, endpoints: EndpointTable) {
    const seed = new Uint8Array(4);
    suite.random(seed);
    this.#keys = new KeyTable(new DataView(seed.buffer).getUint32(0));
    this.#endpoints = endpoints;
  }

  at(index: number): Peer | undefined {
    return this.#rows[index];
  }

  find(publicKey: Uint8Array): Peer | undefined {
    return this.#rows[this.#keys.find(publicKey)];
  }

  /** A copy of the peer's public key. */
  publicKey(index: number): Uint8Array {
    return this.#keys.key(index);
  }

  /** Views, valid until a peer is added: do not keep them. */
  presharedKey(index: number): Uint8Array {
    return this.#secrets.subarray(index * SECRETS, index * SECRETS + KEY_SIZE);
  }

  lastTimestamp(index: number): Uint8Array {
    return this.#secrets.subarray(index * SECRETS + KEY_SIZE, (index + 1) * SECRETS);
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
    const index = this.#keys.add(publicKey);
    this.#reserve(index + 1);
    this.#stats.fill(0, index * STATS, (index + 1) * STATS);
    this.#secrets.fill(0, index * SECRETS, (index + 1) * SECRETS);
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
    this.#keys.remove(peer.index);
    this.#secrets.fill(0, peer.index * SECRETS, (peer.index + 1) * SECRETS);
    this.#endpoints.release(peer.endpoint);
    this.#rows[peer.index] = undefined;
    if (peer.previous) peer.previous.next = peer.next;
    else this.first = peer.next;
    if (peer.next) peer.next.previous = peer.previous;
    else this.#last = peer.previous;
    // `next` stays: a reader who stopped at this peer finds on from here.
    peer.previous = undefined;
    peer.removed = true;
    this.count--;
    if (this.count === 0) this.#rows.length = 0;
  }

  #reserve(rows: number): void {
    if (rows * STATS <= this.#stats.length) return;
    const capacity = Math.max(4, Math.ceil(rows * 1.5));
    const stats = new Float64Array(capacity * STATS);
    stats.set(this.#stats);
    this.#stats = stats;
    const secrets = new Uint8Array(capacity * SECRETS);
    secrets.set(this.#secrets);
    this.#secrets.fill(0);
    this.#secrets = secrets;
  }
}
