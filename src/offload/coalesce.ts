/**
 * Inbound: packets that belong together become one super-packet for the TUN.
 *
 * Consecutive segments of one TCP stream, or equal datagrams of one UDP flow, differ in little: length,
 * IPv4 identification, sequence number, checksum. The kernel takes a run of them as one packet (what its
 * own receive offload would make), which costs it and us one pass in place of dozens. What is gathered can
 * be segmented back into exactly the packets that came; everything else passes singly and unharmed.
 *
 * The order within a flow is kept: a group is written when its first packet's turn comes, a packet joins
 * only the latest group of its flow, and a packet whose flow cannot be told closes all groups.
 */
import type { Arena } from './arena.js';
import { ALONE, ANY_FLOW, classify, endsGroup, hashFlow, NO_FLOW, sameFlow, verify } from './flow.js';
import type { Groups } from './groups.js';
import { makeSuper, restoreFirst } from './super-packet.js';
import { clearVirtio, Ipv4, Ipv6, Tcp, TcpFlag, Udp, VIRTIO_HEADER_SIZE } from './virtio.js';

/** Columns with the packets; a `PacketBatch` has them. */
interface Rows {
  /** Rows in use. */
  readonly count: number;
  /** Where the packet is. At least {@link VIRTIO_HEADER_SIZE} bytes in front of it are free. */
  readonly offset: Int32Array;
  /** Its bytes; negative: the row ended, and is skipped. */
  readonly length: Int32Array;
}

/** Packets in one super-packet at most: what Linux takes of UDP segments (UDP_MAX_SEGMENTS), on old kernels too. */
const MAX_PACKETS = 64;
/** The IPv4 total length field's limit; IPv6 could have 40 more. */
const MAX_BYTES = 65535;

/** In the word of data offset, flags and window, read little-endian. */
const ENDS_GROUP: number = (TcpFlag.fin | TcpFlag.psh) << 8;

/** Slots of the flow table: a power of two. A flow that takes another's slot closes its group. */
const FLOWS = 256;

/** States of a group. */
const OPEN = 0;
/** Open, and the first packet's checksums have been found right. */
const VERIFIED = 1;
const CLOSED = 2;

export class Coalescer {
  /** Whether TCP and UDP packets are gathered. To be set by who knows what the TUN takes. */
  tcp: boolean;
  udp: boolean;

  readonly #arena: Arena;
  readonly #capacity: number;
  /** Of each group. */
  readonly #state: Uint8Array;
  readonly #packets: Int32Array;
  readonly #firstRow: Int32Array;
  readonly #lastRow: Int32Array;
  /** Bytes: IP and L4 header; payload of each packet but the last; the super-packet. */
  readonly #header: Int32Array;
  readonly #payload: Int32Array;
  readonly #bytes: Int32Array;
  /** Of each row: the next one in its group. */
  readonly #next: Int32Array;
  /** The flow table: the latest group of a flow, by hash. */
  readonly #table: Int32Array = new Int32Array(FLOWS);
  #groups = 0;
  /** The group that was joined or started last. */
  #current = -1;

  /** @param capacity rows of the largest batch */
  constructor(arena: Arena, capacity: number, tcp: boolean, udp: boolean) {
    this.#arena = arena;
    this.#capacity = capacity;
    this.tcp = tcp;
    this.udp = udp;
    this.#state = new Uint8Array(capacity);
    this.#packets = new Int32Array(capacity);
    this.#firstRow = new Int32Array(capacity);
    this.#lastRow = new Int32Array(capacity);
    this.#header = new Int32Array(capacity);
    this.#payload = new Int32Array(capacity);
    this.#bytes = new Int32Array(capacity);
    this.#next = new Int32Array(capacity);
  }

  /**
   * Gathers the packets of `rows` into `groups`. Headers of packets that begin a super-packet change, and
   * the virtio headers in front of those that begin a group; nothing else does.
   * @param groups of at least the same capacity; what it held is forgotten
   * @throws when there are more rows than the capacity
   */
  run(rows: Rows, groups: Groups): void {
    if (rows.count > this.#capacity) throw new RangeError(`${rows.count} rows, capacity ${this.#capacity}`);
    if (rows.count === 1 && rows.length[0]! >= 0) return this.#single(rows, groups);
    this.#groups = 0;
    this.#closeAll();
    for (let row = 0; row < rows.count; row++) {
      const length = rows.length[row]!;
      if (length >= 0) this.#add(rows, row, rows.offset[row]!, length);
    }
    let vector = 0;
    for (let group = 0; group < this.#groups; group++) {
      groups.first[group] = vector;
      groups.packets[group] = this.#packets[group]!;
      vector = this.#emit(rows, group, groups, vector);
    }
    groups.count = this.#groups;
  }

  /**
   * Takes a super-packet apart again, for a TUN that refused it. Afterwards each I/O vector of the group is
   * a packet of its own, as it came, with an empty virtio header.
   */
  takeApart(groups: Groups, group: number): void {
    const { view } = this.#arena;
    const first = groups.first[group]!;
    const count = groups.packets[group]!;
    if (count < 2) return;
    const header = this.#header[group]!;
    const at = groups.offset[first]! + VIRTIO_HEADER_SIZE;
    restoreFirst(this.#arena, at, header, header + this.#payload[group]!);
    for (let vector = first; vector < first + count; vector++) {
      const packet = vector === first ? at : groups.offset[vector]! - header;
      const length = vector === first ? this.#payload[group]! : groups.length[vector]!;
      clearVirtio(view, packet);
      groups.set(vector, packet - VIRTIO_HEADER_SIZE, VIRTIO_HEADER_SIZE + header + length);
    }
  }

  /** A lone packet, as it came: there is nothing to look for. */
  #single(rows: Rows, groups: Groups): void {
    const at = rows.offset[0]!;
    clearVirtio(this.#arena.view, at);
    groups.set(0, at - VIRTIO_HEADER_SIZE, VIRTIO_HEADER_SIZE + rows.length[0]!);
    groups.first[0] = 0;
    groups.packets[0] = 1;
    groups.count = 1;
  }

  #closeAll(): void {
    this.#table.fill(-1);
    this.#current = -1;
  }

  #add(rows: Rows, row: number, at: number, length: number): void {
    const header = classify(this.#arena, at, length, this.tcp, this.udp);
    if (header === NO_FLOW || header === ANY_FLOW) {
      if (header === ANY_FLOW) this.#closeAll();
      this.#start(row, CLOSED, 0, length);
      return;
    }
    let group = this.#current;
    let slot = -1;
    if (group < 0 || !sameFlow(this.#arena, rows.offset[this.#firstRow[group]!]!, at)) {
      slot = hashFlow(this.#arena, at) & (FLOWS - 1);
      group = this.#table[slot]!;
      if (group >= 0 && !sameFlow(this.#arena, rows.offset[this.#firstRow[group]!]!, at)) group = -1;
    }
    if (header > 0 && group >= 0 && this.#joins(rows, group, at, length, header)) {
      this.#next[this.#lastRow[group]!] = row;
      this.#lastRow[group] = row;
      this.#packets[group]! += 1;
      this.#bytes[group]! += length - header;
      this.#current = group;
      return;
    }
    if (slot < 0) slot = hashFlow(this.#arena, at) & (FLOWS - 1);
    const closed = header === ALONE || endsGroup(this.#arena, at, header);
    this.#current = this.#start(row, closed ? CLOSED : OPEN, header, length);
    this.#table[slot] = this.#current;
  }

  #start(row: number, state: number, header: number, length: number): number {
    const group = this.#groups++;
    this.#state[group] = state;
    this.#packets[group] = 1;
    this.#firstRow[group] = row;
    this.#lastRow[group] = row;
    this.#header[group] = header;
    this.#payload[group] = length - header;
    this.#bytes[group] = length;
    return group;
  }

  /** Whether a packet of the group's flow continues the group; closes it if it is the last, or does not. */
  #joins(rows: Rows, group: number, at: number, length: number, header: number): boolean {
    const state = this.#state[group]!;
    if (state === CLOSED) return false;
    const first = rows.offset[this.#firstRow[group]!]!;
    const payload = length - header;
    const fits =
      header === this.#header[group] &&
      payload <= this.#payload[group]! &&
      this.#bytes[group]! + payload <= MAX_BYTES &&
      this.#packets[group]! < MAX_PACKETS &&
      this.#continues(group, first, at, header) &&
      (state === VERIFIED || verify(this.#arena, first, header + this.#payload[group]!)) &&
      verify(this.#arena, at, length);
    const last = !fits || payload < this.#payload[group]! || endsGroup(this.#arena, at, header);
    this.#state[group] = last ? CLOSED : VERIFIED;
    return fits;
  }

  /** Whether all that segmentation repeats is as in the group's first packet, and what it counts up follows. */
  #continues(group: number, first: number, at: number, header: number): boolean {
    const { bytes, view } = this.#arena;
    let l4: number;
    if (bytes[at]! >>> 4 === 4) {
      l4 = Ipv4.size;
      // TOS; DF; TTL. The identification counts up, but in atomic packets it means nothing (RFC 6864).
      const fragment = view.getUint16(at + Ipv4.fragment);
      const id = (view.getUint16(first + Ipv4.id) + this.#packets[group]!) & 0xffff;
      if (
        bytes[first + Ipv4.tos] !== bytes[at + Ipv4.tos] ||
        view.getUint16(first + Ipv4.fragment) !== fragment ||
        bytes[first + Ipv4.ttl] !== bytes[at + Ipv4.ttl] ||
        (fragment === 0 && view.getUint16(at + Ipv4.id) !== id)
      )
        return false;
    } else {
      l4 = Ipv6.size;
      // Traffic class and flow label; hop limit.
      if (view.getInt32(first, true) !== view.getInt32(at, true)) return false;
      if (bytes[first + Ipv6.hopLimit] !== bytes[at + Ipv6.hopLimit]) return false;
    }
    if (header === l4 + Udp.size) return true;
    const a = first + l4;
    const b = at + l4;
    const sent = this.#bytes[group]! - header;
    if (((view.getInt32(a + Tcp.sequence) + sent) | 0) !== view.getInt32(b + Tcp.sequence)) return false;
    if (view.getInt32(a + Tcp.acknowledgment, true) !== view.getInt32(b + Tcp.acknowledgment, true)) return false;
    // Data offset, flags, window.
    const differs = view.getInt32(a + Tcp.dataOffset, true) ^ view.getInt32(b + Tcp.dataOffset, true);
    if ((differs & ~ENDS_GROUP) !== 0) return false;
    if (view.getUint16(a + Tcp.urgent, true) !== view.getUint16(b + Tcp.urgent, true)) return false;
    for (let i = header - l4 - 4; i >= Tcp.size; i -= 4) {
      if (view.getInt32(a + i, true) !== view.getInt32(b + i, true)) return false;
    }
    return true;
  }

  /** Makes the group's headers and I/O vectors. @returns the next free vector */
  #emit(rows: Rows, group: number, groups: Groups, vector: number): number {
    let row = this.#firstRow[group]!;
    const at = rows.offset[row]!;
    const count = this.#packets[group]!;
    const header = this.#header[group]!;
    groups.set(vector, at - VIRTIO_HEADER_SIZE, VIRTIO_HEADER_SIZE + rows.length[row]!);
    if (count === 1) {
      clearVirtio(this.#arena.view, at);
      return vector + 1;
    }
    const last = rows.offset[this.#lastRow[group]!]!;
    makeSuper(this.#arena, at, last, header, this.#payload[group]!, this.#bytes[group]!);
    for (let i = 1; i < count; i++) {
      row = this.#next[row]!;
      groups.set(vector + i, rows.offset[row]! + header, rows.length[row]! - header);
    }
    return vector + count;
  }
}
