/**
 * The slow and readable side: packets built from a description, taken apart into one, and segmented by
 * building each segment from scratch. Shares nothing with src/offload. Values from the RFCs' header diagrams.
 */

/** A packet, described. Numbers are the header fields of the same name. */
export interface Packet {
  readonly version: 4 | 6;
  /** 4 or 16 bytes each. */
  readonly source: readonly number[];
  readonly destination: readonly number[];
  readonly tos: number;
  readonly ttl: number;
  /** IPv6 flow label, 20 bits. */
  readonly flowLabel: number;
  /** IPv4 identification, and the word of flags and fragment offset (0x4000 is DF). */
  readonly id: number;
  readonly fragment: number;
  /** IPv4 options or IPv6 extension headers, whole; `extension` is the first one's protocol number. */
  readonly extra: readonly number[];
  readonly extension: number;
  /** 6, 17, or another one, whose payload follows the IP header at once. */
  readonly protocol: number;
  readonly ports: readonly [number, number];
  readonly sequence: number;
  readonly acknowledgment: number;
  /** The low 12 bits of the TCP word with data offset and flags. */
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  /** TCP options, a multiple of four bytes. */
  readonly options: readonly number[];
  readonly payload: Uint8Array;
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;
export const ECE = 64;
export const CWR = 128;

/** RFC 1071: the one's complement sum of 16-bit words, folded. */
export function onesSum(bytes: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

const be16 = (value: number): number[] => [(value >>> 8) & 0xff, value & 0xff];
const be32 = (value: number): number[] => [...be16(value >>> 16), ...be16(value & 0xffff)];

function pseudoHeader(packet: Packet, l4Length: number): number[] {
  return [...packet.source, ...packet.destination, ...be32(l4Length), 0, 0, 0, packet.protocol];
}

function l4Header(packet: Packet, checksum: number): number[] {
  const [from, to] = packet.ports;
  if (packet.protocol === 17)
    return [...be16(from), ...be16(to), ...be16(8 + packet.payload.length), ...be16(checksum)];
  if (packet.protocol !== 6) return [];
  const word = ((5 + packet.options.length / 4) << 12) | packet.flags;
  return [
    ...[...be16(from), ...be16(to), ...be32(packet.sequence), ...be32(packet.acknowledgment)],
    ...[...be16(word), ...be16(packet.window), ...be16(checksum), ...be16(packet.urgent), ...packet.options],
  ];
}

function ipHeader(packet: Packet, l4Length: number): number[] {
  const { extra, source, destination } = packet;
  if (packet.version === 6) {
    const first = 0x60000000 + packet.tos * 2 ** 20 + packet.flowLabel;
    const next = extra.length > 0 ? packet.extension : packet.protocol;
    return [...be32(first), ...be16(extra.length + l4Length), next, packet.ttl, ...source, ...destination, ...extra];
  }
  const size = 20 + extra.length;
  const header = (checksum: number): number[] => [
    ...[0x40 + size / 4, packet.tos, ...be16(size + l4Length), ...be16(packet.id), ...be16(packet.fragment)],
    ...[packet.ttl, packet.protocol, ...be16(checksum), ...source, ...destination, ...extra],
  ];
  return header(0xffff - onesSum(header(0)));
}

function assemble(packet: Packet, checksum: number): Uint8Array {
  const l4 = l4Header(packet, checksum);
  return Uint8Array.from([...ipHeader(packet, l4.length + packet.payload.length), ...l4, ...packet.payload]);
}

/** The packet with all checksums right. */
export function build(packet: Packet): Uint8Array {
  const l4 = l4Header(packet, 0);
  const sum = onesSum([...pseudoHeader(packet, l4.length + packet.payload.length), ...l4, ...packet.payload]);
  return assemble(packet, sum === 0xffff && packet.protocol === 17 ? 0xffff : 0xffff - sum);
}

/** The packet as the kernel hands it over: its checksum field holds the pseudo-header's sum. */
export function buildUnfinished(packet: Packet): Uint8Array {
  const length = l4Header(packet, 0).length + packet.payload.length;
  return assemble(packet, onesSum(pseudoHeader(packet, length)));
}

/** A virtio_net_hdr, with the fields' names. */
export interface Virtio {
  readonly flags: number;
  readonly gsoType: number;
  readonly headerLength: number;
  readonly gsoSize: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

export function buildVirtio(virtio: Virtio): Uint8Array {
  const fields = [virtio.headerLength, virtio.gsoSize, virtio.checksumStart, virtio.checksumOffset];
  return Uint8Array.from([virtio.flags, virtio.gsoType, ...fields.flatMap((field) => be16(field).reverse())]);
}

export function parseVirtio(bytes: Uint8Array): Virtio {
  const le16 = (at: number): number => bytes[at]! + 256 * bytes[at + 1]!;
  const [headerLength, gsoSize, checksumStart, checksumOffset] = [le16(2), le16(4), le16(6), le16(8)];
  return { flags: bytes[0]!, gsoType: bytes[1]!, headerLength, gsoSize, checksumStart, checksumOffset };
}

/** The virtio header that belongs to an unfinished packet of segments of `gsoSize` bytes; 0: not to be cut. */
export function virtioFor(packet: Packet, gsoSize: number): Virtio {
  const checksumStart = (packet.version === 4 ? 20 : 40) + packet.extra.length;
  const gsoType = packet.protocol === 17 ? 5 : packet.version === 4 ? 1 : 4;
  return {
    flags: 1,
    gsoType: gsoSize === 0 ? 0 : gsoType,
    headerLength: gsoSize === 0 ? 0 : checksumStart + l4Header(packet, 0).length,
    gsoSize,
    checksumStart,
    checksumOffset: packet.protocol === 17 ? 6 : 16,
  };
}

/** The packets that `packet` is cut into: payloads of `gsoSize` bytes, and a last one of the rest. */
export function segments(packet: Packet, gsoSize: number): Packet[] {
  const made: Packet[] = [];
  const { payload } = packet;
  for (let at = 0; at === 0 || at < payload.length; at += gsoSize) {
    const isFirst = at === 0;
    const isLast = at + gsoSize >= payload.length;
    const cleared = (isLast ? 0 : FIN | PSH) | (isFirst ? 0 : CWR);
    made.push({
      ...packet,
      id: (packet.id + made.length) % 0x10000,
      sequence: (packet.sequence + at) % 2 ** 32,
      flags: packet.flags & ~cleared,
      payload: payload.slice(at, at + gsoSize),
    });
  }
  return made;
}

/** Takes a whole TCP or UDP packet apart; without options or extension headers in its IP header. */
export function parse(bytes: Uint8Array): Packet {
  const read = (at: number, size: number): number =>
    bytes.slice(at, at + size).reduce((value, b) => value * 256 + b, 0);
  const version = read(0, 1) >> 4 === 4 ? 4 : 6;
  const isIpv4 = version === 4;
  const l4 = isIpv4 ? 20 : 40;
  const protocol = isIpv4 ? read(9, 1) : read(6, 1);
  const header = protocol === 6 ? (read(l4 + 12, 1) >> 4) * 4 : 8;
  const isTcp = protocol === 6;
  return {
    version,
    source: [...(isIpv4 ? bytes.slice(12, 16) : bytes.slice(8, 24))],
    destination: [...(isIpv4 ? bytes.slice(16, 20) : bytes.slice(24, 40))],
    tos: isIpv4 ? read(1, 1) : (read(0, 2) >> 4) & 0xff,
    ttl: isIpv4 ? read(8, 1) : read(7, 1),
    flowLabel: isIpv4 ? 0 : read(1, 3) & 0xfffff,
    id: isIpv4 ? read(4, 2) : 0,
    fragment: isIpv4 ? read(6, 2) : 0,
    extra: [],
    extension: 0,
    protocol,
    ports: [read(l4, 2), read(l4 + 2, 2)],
    sequence: isTcp ? read(l4 + 4, 4) : 0,
    acknowledgment: isTcp ? read(l4 + 8, 4) : 0,
    flags: isTcp ? read(l4 + 12, 2) & 0xfff : 0,
    window: isTcp ? read(l4 + 14, 2) : 0,
    urgent: isTcp ? read(l4 + 18, 2) : 0,
    options: isTcp ? [...bytes.slice(l4 + 20, l4 + header)] : [],
    payload: bytes.slice(l4 + header),
  };
}
