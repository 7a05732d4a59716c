/** The headers of a super-packet, made of its first packet's, and made into them again. */
import type { Arena } from './arena.js';
import { Gso, IPPROTO_TCP, IPPROTO_UDP, Ipv4, Ipv6, NEEDS_CSUM, Tcp, TcpFlag, Udp, writeVirtio } from './virtio.js';

/**
 * Turns the first packet's headers into the super-packet's, and writes the virtio header in front of it.
 * @param at of the first packet: IPv4 without options or IPv6 without extension headers, then TCP or UDP
 * @param last of the last packet: what its FIN and PSH flags say holds for the whole
 * @param header bytes of IP and L4 header
 * @param payload bytes, of each packet but the last
 * @param length bytes, headers and all payloads
 */
export function makeSuper(
  arena: Arena,
  at: number,
  last: number,
  header: number,
  payload: number,
  length: number,
): void {
  const { bytes, view } = arena;
  const l4 = l4Offset(arena, at);
  const isTcp = header > l4 + Udp.size;
  setLengths(arena, at, header, length);
  const field = isTcp ? Tcp.checksum : Udp.checksum;
  // Folded, not complemented: the kernel adds the rest, or knows that it need not.
  view.setUint16(at + l4 + field, addPseudo(arena, at, l4, 0, isTcp, length));
  if (isTcp) bytes[at + l4 + Tcp.flags]! |= bytes[last + l4 + Tcp.flags]! & (TcpFlag.fin | TcpFlag.psh);
  const type = !isTcp ? Gso.udp : l4 === Ipv4.size ? Gso.tcp4 : Gso.tcp6;
  writeVirtio(view, at, NEEDS_CSUM, type, header, payload, l4, field);
}

/**
 * Undoes {@link makeSuper}: the first packet of several has neither FIN nor PSH, and its checksums were right.
 * @param length bytes of the first packet
 */
export function restoreFirst(arena: Arena, at: number, header: number, length: number): void {
  const { bytes, view } = arena;
  const l4 = l4Offset(arena, at);
  const isTcp = header > l4 + Udp.size;
  setLengths(arena, at, header, length);
  const field = at + l4 + (isTcp ? Tcp.checksum : Udp.checksum);
  if (isTcp) bytes[at + l4 + Tcp.flags]! &= ~(TcpFlag.fin | TcpFlag.psh);
  view.setUint16(field, 0);
  const checksum = ~addPseudo(arena, at, l4, length - l4, isTcp, length) & 0xffff;
  view.setUint16(field, checksum === 0 && !isTcp ? 0xffff : checksum);
}

function l4Offset(arena: Arena, at: number): number {
  return arena.bytes[at]! >>> 4 === 4 ? Ipv4.size : Ipv6.size;
}

/** The folded sum of the pseudo-header and the first `more` bytes from the L4 header on. */
function addPseudo(arena: Arena, at: number, l4: number, more: number, isTcp: boolean, length: number): number {
  const addresses = l4 === Ipv4.size ? Ipv4.source : Ipv6.source;
  const protocol = isTcp ? IPPROTO_TCP : IPPROTO_UDP;
  return arena.sum(at + addresses, l4 - addresses + more, protocol + length - l4);
}

/** Sets the lengths in the IP and UDP headers, and the IPv4 header checksum. */
function setLengths(arena: Arena, at: number, header: number, length: number): void {
  const { view } = arena;
  const l4 = l4Offset(arena, at);
  if (l4 === Ipv4.size) {
    view.setUint16(at + Ipv4.totalLength, length);
    view.setUint16(at + Ipv4.checksum, 0);
    view.setUint16(at + Ipv4.checksum, ~arena.sum(at, Ipv4.size, 0));
  } else view.setUint16(at + Ipv6.payloadLength, length - Ipv6.size);
  if (header === l4 + Udp.size) view.setUint16(at + l4 + Udp.length, length - l4);
}
