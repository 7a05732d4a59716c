/**
 * The virtio_net_hdr in front of each packet of a TUN with IFF_VNET_HDR: ten bytes, little-endian
 * (Virtual I/O Device 1.2, section 5.1.6; linux/virtio_net.h).
 *
 *   u8 flags, u8 gso_type, u16 hdr_len, u16 gso_size, u16 csum_start, u16 csum_offset
 */

export const VIRTIO_HEADER_SIZE = 10;

/** Bit of `flags`: the checksum field holds the folded pseudo-header sum, and the rest is to be added. */
export const NEEDS_CSUM = 1;

/** `gso_type`. */
export const Gso = { none: 0, tcp4: 1, tcp6: 4, udp: 5, ecn: 0x80 } as const;

export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

/** Offsets in the IPv4 header (RFC 791); it has 20 bytes and options. */
export const Ipv4 = {
  tos: 1,
  totalLength: 2,
  id: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  size: 20,
} as const;

/** Offsets in the IPv6 header (RFC 8200). */
export const Ipv6 = { payloadLength: 4, nextHeader: 6, hopLimit: 7, source: 8, size: 40 } as const;

/** Offsets in the TCP header (RFC 9293). */
export const Tcp = {
  sequence: 4,
  acknowledgment: 8,
  dataOffset: 12,
  flags: 13,
  checksum: 16,
  urgent: 18,
  size: 20,
} as const;

export const TcpFlag = { fin: 1, psh: 8, ack: 16, ece: 64, cwr: 128 } as const;

/** Offsets in the UDP header (RFC 768). */
export const Udp = { length: 4, checksum: 6, size: 8 } as const;

/** An empty virtio header in front of a packet: nothing was left undone. */
export function clearVirtio(view: DataView, packet: number): void {
  const at = packet - VIRTIO_HEADER_SIZE;
  view.setInt32(at, 0);
  view.setInt32(at + 4, 0);
  view.setInt16(at + 8, 0);
}

/** The virtio header of a super-packet. Sizes and places in bytes, from the start of the packet. */
export function writeVirtio(
  view: DataView,
  packet: number,
  flags: number,
  gsoType: number,
  headerLength: number,
  gsoSize: number,
  checksumStart: number,
  checksumOffset: number,
): void {
  const at = packet - VIRTIO_HEADER_SIZE;
  view.setUint8(at, flags);
  view.setUint8(at + 1, gsoType);
  view.setUint16(at + 2, headerLength, true);
  view.setUint16(at + 4, gsoSize, true);
  view.setUint16(at + 6, checksumStart, true);
  view.setUint16(at + 8, checksumOffset, true);
}
