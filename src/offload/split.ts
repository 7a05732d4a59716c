/**
 * Outbound: a TUN read becomes packets that a network would carry.
 *
 * With its offloads on, the TUN hands over unfinished work: a checksum to complete (NEEDS_CSUM), or a
 * super-packet of up to 64 KiB to be cut into segments (TSO, USO), each a packet with a header of its own.
 * A packet that needs no cutting stays where it was read. Payloads of segments are copied once, and
 * summed while they are copied.
 */
import type { Arena } from './arena.js';
import { fold } from './arena.js';
import { Gso, IPPROTO_TCP, IPPROTO_UDP, Ipv4, Ipv6, NEEDS_CSUM, Tcp, TcpFlag, Udp } from './virtio.js';

/** Why a TUN read cannot be split: results of {@link Splitter.begin}. */
export const SplitError = {
  /** The packet's length is not what its IP header says, or there is no such header. */
  length: -1,
  /** `csum_start` or `csum_offset` points nowhere sensible. */
  checksum: -2,
  /** An unknown `gso_type`, one that is not the packet's protocol, or a `gso_size` of 0. */
  gso: -3,
  /** The TCP header's data offset is impossible. */
  tcp: -4,
} as const;

/** Columns to be filled; a `PacketBatch` has them. */
interface Rows {
  /** Where the packet is. */
  readonly offset: Int32Array;
  /** Its bytes. */
  readonly length: Int32Array;
}

const LAST_ONLY: number = TcpFlag.fin | TcpFlag.psh;

/**
 * Splits one TUN read at a time:
 *
 *   let left = splitter.begin(headerAt, at, length);      // negative: drop and count
 *   while (left > 0) left -= splitter.write(rows, row, limit, slotAt, slotStride);
 */
export class Splitter {
  readonly #arena: Arena;
  /** The read packet, and how much of it is IP and L4 header. */
  #at = 0;
  #length = 0;
  #l4 = 0;
  #header = 0;
  #tcp = false;
  #gsoSize = 0;
  /** Segments in all, and the next one to be written. */
  #count = 0;
  #next = 0;
  /** Sums of what all segments have in common: IPv4 header; pseudo-header and L4 header. */
  #ipSum = 0;
  #l4Sum = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Bytes of the longest packet that what {@link Splitter.begin} found is cut into. */
  get segmentLength(): number {
    return this.#count === 1 ? this.#length : this.#header + this.#gsoSize;
  }

  /**
   * Looks at a TUN read.
   * @param headerAt of its virtio header: 10 bytes; they may be overwritten afterwards
   * @param at of the IP packet
   * @param length bytes of the IP packet
   * @returns how many packets it makes, 1 or more, or one of {@link SplitError}
   */
  begin(headerAt: number, at: number, length: number): number {
    const { view } = this.#arena;
    const flags = view.getUint8(headerAt);
    const type = view.getUint8(headerAt + 1) & ~Gso.ecn;
    this.#at = at;
    this.#length = length;
    this.#next = 0;
    this.#count = 1;
    this.#l4 = view.getUint16(headerAt + 6, true);
    const field = this.#l4 + view.getUint16(headerAt + 8, true);
    if ((flags & NEEDS_CSUM) === 0) return type === Gso.none ? 1 : SplitError.gso;
    if (this.#l4 < Ipv4.size || field + 2 > length) return SplitError.checksum;
    if (type !== Gso.none) {
      this.#gsoSize = view.getUint16(headerAt + 4, true);
      const count = this.#measure(type, field - this.#l4);
      if (count !== 1) return count;
    }
    this.#complete(field);
    return 1;
  }

  /** @returns how many segments: 1 when there is nothing to cut */
  #measure(type: number, field: number): number {
    const { bytes, view } = this.#arena;
    const at = this.#at;
    const length = this.#length;
    const l4 = this.#l4;
    const protocol = type === Gso.udp ? IPPROTO_UDP : IPPROTO_TCP;
    this.#tcp = protocol === IPPROTO_TCP;
    if (this.#gsoSize === 0 || (this.#tcp && type !== Gso.tcp4 && type !== Gso.tcp6)) return SplitError.gso;
    const version = bytes[at]! >>> 4;
    if (version === 4 && type !== Gso.tcp6) {
      if (view.getUint16(at + Ipv4.totalLength) !== length) return SplitError.length;
      if (bytes[at + Ipv4.protocol] !== protocol || (view.getUint16(at + Ipv4.fragment) & 0x3fff) !== 0)
        return SplitError.gso;
      if ((bytes[at]! & 15) * 4 !== l4) return SplitError.checksum;
    } else if (version === 6 && type !== Gso.tcp4) {
      if (view.getUint16(at + Ipv6.payloadLength) + Ipv6.size !== length) return SplitError.length;
      // With extension headers in between, csum_start alone says where the L4 header is.
      if (l4 < Ipv6.size || (bytes[at + Ipv6.nextHeader] === protocol) !== (l4 === Ipv6.size))
        return SplitError.checksum;
    } else return SplitError.gso;
    if (field !== (this.#tcp ? Tcp.checksum : Udp.checksum)) return SplitError.checksum;
    const l4Header = this.#tcp ? (bytes[at + l4 + Tcp.dataOffset]! >>> 4) * 4 : Udp.size;
    this.#header = l4 + l4Header;
    if (l4Header < (this.#tcp ? Tcp.size : Udp.size) || this.#header > length) return SplitError.tcp;
    const payload = length - this.#header;
    if (payload <= this.#gsoSize) return 1;
    this.#count = Math.ceil(payload / this.#gsoSize);
    this.#sumCommon(l4Header);
    return this.#count;
  }

  /**
   * What the headers of all segments sum to, without the fields in which they differ. The checksum field
   * brings the sum of the pseudo-header into it, as the kernel made it (with a routing header or source
   * route, the addresses in the packet would be the wrong ones). To add a complement is to subtract.
   */
  #sumCommon(l4Header: number): void {
    const { view, sum } = this.#arena;
    const at = this.#at;
    const l4 = at + this.#l4;
    const l4Length = this.#length - this.#l4;
    const all = sum(l4, l4Header, 0) + (l4Length ^ 0xffff);
    if (this.#tcp) {
      const sequence = view.getInt32(l4 + Tcp.sequence);
      const flags = view.getUint16(l4 + Tcp.dataOffset);
      this.#l4Sum = fold(all + (~sequence >>> 16) + (~sequence & 0xffff) + (flags ^ 0xffff));
    } else this.#l4Sum = fold(all + (view.getUint16(l4 + Udp.length) ^ 0xffff));
    if (this.#isIpv4()) {
      this.#ipSum = fold(
        sum(at, this.#l4, 0) +
          (view.getUint16(at + Ipv4.totalLength) ^ 0xffff) +
          (view.getUint16(at + Ipv4.id) ^ 0xffff) +
          (view.getUint16(at + Ipv4.checksum) ^ 0xffff),
      );
    }
  }

  #isIpv4(): boolean {
    return this.#arena.bytes[this.#at]! >>> 4 === 4;
  }

  /** Completes the checksum of a packet that stays in one piece. */
  #complete(field: number): void {
    const { view, sum } = this.#arena;
    const start = this.#l4;
    const checksum = ~sum(this.#at + start, this.#length - start, 0) & 0xffff;
    // To UDP, 0 is "no checksum" (RFC 768).
    view.setUint16(this.#at + field, checksum === 0 && field - start === Udp.checksum ? 0xffff : checksum);
  }

  /**
   * Writes the next packets of what {@link Splitter.begin} found: the first at `slotAt`, each next one
   * `slotStride` further; a slot is as long as the segment's IP packet (MTU) and does not overlap the read. A packet that
   * needs no cutting stays in its place, and its row says so.
   * @param rows receives the packets' places, from `row` on
   * @param limit how many packets at most
   * @returns how many
   */
  write(rows: Rows, row: number, limit: number, slotAt: number, slotStride: number): number {
    const end = Math.min(this.#count, this.#next + limit);
    const first = this.#next;
    if (this.#count === 1 && first < end) {
      rows.offset[row] = this.#at;
      rows.length[row] = this.#length;
    } else {
      for (let segment = first; segment < end; segment++) {
        const to = slotAt + (segment - first) * slotStride;
        rows.offset[row + segment - first] = to;
        rows.length[row + segment - first] = this.#segment(segment, to);
      }
    }
    this.#next = end;
    return end - first;
  }

  /** @returns its length */
  #segment(segment: number, to: number): number {
    const { view, copySum } = this.#arena;
    const at = this.#at;
    const header = this.#header;
    const done = segment * this.#gsoSize;
    const payload = Math.min(this.#gsoSize, this.#length - header - done);
    const length = header + payload;
    const l4 = to + this.#l4;
    const l4Length = length - this.#l4;
    for (let i = 0; i < header; i += 4) view.setInt32(to + i, view.getInt32(at + i, true), true);
    if (this.#isIpv4()) {
      const id = (view.getUint16(at + Ipv4.id) + segment) & 0xffff;
      view.setUint16(to + Ipv4.totalLength, length);
      view.setUint16(to + Ipv4.id, id);
      view.setUint16(to + Ipv4.checksum, ~fold(this.#ipSum + length + id));
    } else view.setUint16(to + Ipv6.payloadLength, length - Ipv6.size);
    let varying = this.#l4Sum + l4Length;
    if (this.#tcp) {
      const sequence = (view.getInt32(at + this.#l4 + Tcp.sequence) + done) | 0;
      const flags = this.#flags(segment);
      view.setInt32(l4 + Tcp.sequence, sequence);
      view.setUint16(l4 + Tcp.dataOffset, flags);
      varying += (sequence >>> 16) + (sequence & 0xffff) + flags;
      view.setUint16(l4 + Tcp.checksum, ~copySum(to + header, at + header + done, payload, varying));
    } else {
      view.setUint16(l4 + Udp.length, l4Length);
      const checksum = ~copySum(to + header, at + header + done, payload, varying + l4Length) & 0xffff;
      view.setUint16(l4 + Udp.checksum, checksum === 0 ? 0xffff : checksum);
    }
    return length;
  }

  /** Data offset and flags: FIN and PSH belong to the last segment only, CWR to the first (RFC 3168, section 6.1.2). */
  #flags(segment: number): number {
    const flags = this.#arena.view.getUint16(this.#at + this.#l4 + Tcp.dataOffset);
    const kept = segment === this.#count - 1 ? flags : flags & ~LAST_ONLY;
    return segment === 0 ? kept : kept & ~TcpFlag.cwr;
  }
}
