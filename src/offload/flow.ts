/** Which flow an inner packet belongs to, and whether it is of the kind that can be gathered with others. */
import type { Arena } from './arena.js';
import { IPPROTO_TCP, IPPROTO_UDP, Ipv4, Ipv6, Tcp, TcpFlag, Udp } from './virtio.js';

/** A packet that is neither TCP nor UDP, nor a wrapping of them: its order to others does not matter. */
export const NO_FLOW = 0;
/** A packet of a flow, to be passed alone, after what came before it in its flow. */
export const ALONE = -1;
/** A packet that may belong to any flow: a fragment, one with options or extension headers, rubbish. */
export const ANY_FLOW = -2;

/** Protocols behind which TCP or UDP may hide: IPv6 extension headers and AH (IANA). */
const EXTENSIONS: readonly number[] = [0, 43, 44, 51, 60, 135, 139, 140];

/**
 * @param tcp whether TCP packets may join others
 * @param udp whether UDP packets may
 * @returns the length of the IP and L4 headers of a packet that may join others, or one of the above
 */
export function classify(arena: Arena, at: number, length: number, tcp: boolean, udp: boolean): number {
  if (length < Ipv4.size + Udp.size) return ANY_FLOW;
  const { bytes, view } = arena;
  const start = bytes[at]!;
  let protocol: number;
  let l4: number;
  if (start === 0x45) {
    // Without options, and neither a fragment nor the reserved bit; DF may be set.
    if (view.getUint16(at + Ipv4.totalLength) !== length) return ANY_FLOW;
    if ((view.getUint16(at + Ipv4.fragment) & 0xbfff) !== 0) return ANY_FLOW;
    protocol = bytes[at + Ipv4.protocol]!;
    l4 = Ipv4.size;
  } else if (start >>> 4 === 6 && length >= Ipv6.size + Udp.size) {
    if (view.getUint16(at + Ipv6.payloadLength) + Ipv6.size !== length) return ANY_FLOW;
    protocol = bytes[at + Ipv6.nextHeader]!;
    l4 = Ipv6.size;
  } else return ANY_FLOW;
  if (protocol === IPPROTO_TCP) return classifyTcp(view, at, length, l4, tcp);
  if (protocol !== IPPROTO_UDP) return EXTENSIONS.includes(protocol) ? ANY_FLOW : NO_FLOW;
  const whole = view.getUint16(at + l4 + Udp.length) === length - l4 && length > l4 + Udp.size;
  // Without a checksum (RFC 768) there is nothing to verify, and nothing to restore.
  return udp && whole && view.getUint16(at + l4 + Udp.checksum) !== 0 ? l4 + Udp.size : ALONE;
}

function classifyTcp(view: DataView, at: number, length: number, l4: number, wanted: boolean): number {
  if (length < l4 + Tcp.size) return ANY_FLOW;
  const word = view.getUint16(at + l4 + Tcp.dataOffset);
  const header = l4 + (word >>> 12) * 4;
  if (header < l4 + Tcp.size || header > length) return ANY_FLOW;
  // Data with ACK, and ECE, FIN or PSH at most; reserved bits (and AE) clear.
  const plain = (word & 0xfff & ~(TcpFlag.fin | TcpFlag.psh | TcpFlag.ece)) === TcpFlag.ack;
  return wanted && plain && header < length ? header : ALONE;
}

/** Whether two packets that belong to flows belong to the same: version, protocol, addresses, ports. */
export function sameFlow(arena: Arena, a: number, b: number): boolean {
  const { bytes, view } = arena;
  if (((bytes[a]! ^ bytes[b]!) & 0xf0) !== 0) return false;
  if (bytes[b]! >>> 4 === 4) {
    return (
      view.getInt32(a + Ipv4.size, true) === view.getInt32(b + Ipv4.size, true) &&
      view.getInt32(a + Ipv4.destination, true) === view.getInt32(b + Ipv4.destination, true) &&
      view.getInt32(a + Ipv4.source, true) === view.getInt32(b + Ipv4.source, true) &&
      bytes[a + Ipv4.protocol] === bytes[b + Ipv4.protocol]
    );
  }
  if (bytes[a + Ipv6.nextHeader] !== bytes[b + Ipv6.nextHeader]) return false;
  // Ports first, then the addresses from their ends: where flows differ.
  for (let i = Ipv6.size; i >= Ipv6.source; i -= 4) {
    if (view.getInt32(a + i, true) !== view.getInt32(b + i, true)) return false;
  }
  return true;
}

/** A hash of the flow's addresses and ports. @returns 16 bits */
export function hashFlow(arena: Arena, at: number): number {
  const { bytes, view } = arena;
  const isIpv4 = bytes[at]! >>> 4 === 4;
  const end = isIpv4 ? Ipv4.size : Ipv6.size;
  let mixed = view.getInt32(at + end);
  for (let i = isIpv4 ? Ipv4.source : Ipv6.source; i < end; i += 4) {
    mixed = Math.imul(mixed, 0x01000193) ^ view.getInt32(at + i);
  }
  // Low bits are taken of it, and what flows differ in must have reached them.
  return Math.imul(mixed ^ (mixed >>> 15), 0x9e3779b1) >>> 16;
}

/**
 * Whether the checksums are right: of the IPv4 header, and of TCP or UDP.
 * @param length as the IP header says
 */
export function verify(arena: Arena, at: number, length: number): boolean {
  const { bytes, sum } = arena;
  // The addresses lie before the L4 header: one sum for both, and the rest of the pseudo-header is numbers.
  if (bytes[at]! >>> 4 === 6) {
    const rest = bytes[at + Ipv6.nextHeader]! + length - Ipv6.size;
    return sum(at + Ipv6.source, length - Ipv6.source, rest) === 0xffff;
  }
  const rest = bytes[at + Ipv4.protocol]! + length - Ipv4.size;
  return sum(at, Ipv4.size, 0) === 0xffff && sum(at + Ipv4.source, length - Ipv4.source, rest) === 0xffff;
}

/** Whether nothing can follow a packet that may join others in its group: FIN or PSH. */
export function endsGroup(arena: Arena, at: number, header: number): boolean {
  const { bytes } = arena;
  const l4 = bytes[at]! >>> 4 === 4 ? Ipv4.size : Ipv6.size;
  if (header === l4 + Udp.size) return false;
  return (bytes[at + l4 + Tcp.flags]! & (TcpFlag.fin | TcpFlag.psh)) !== 0;
}
