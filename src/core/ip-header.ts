/**
 * Reading inner packets where they lie (RFC 791, RFC 8200), and ECN across the tunnel (RFC 6040).
 */

/** 32 bits in network order, as a signed number. */
export function readWord(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/**
 * The packet's length by its own header.
 * @param available bytes that are there
 * @returns -1 when it cannot be an IPv4 or IPv6 packet of at most that size
 */
export function innerLength(bytes: Uint8Array, offset: number, available: number): number {
  if (available < 20) return -1;
  const version = bytes[offset]! >>> 4;
  if (version === 4) {
    const header = (bytes[offset]! & 15) * 4;
    const total = (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
    return header < 20 || total < header || total > available ? -1 : total;
  }
  if (version !== 6 || available < 40) return -1;
  const total = 40 + ((bytes[offset + 4]! << 8) | bytes[offset + 5]!);
  return total > available ? -1 : total;
}

/** Where the source address is, in a packet that {@link innerLength} accepted. */
export function sourceOffset(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! >>> 4 === 4 ? offset + 12 : offset + 8;
}

export function destinationOffset(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! >>> 4 === 4 ? offset + 16 : offset + 24;
}

/** The TOS byte, or the traffic class. */
export function innerTos(bytes: Uint8Array, offset: number): number {
  if (bytes[offset]! >>> 4 === 4) return bytes[offset + 1]!;
  return ((bytes[offset]! << 4) & 0xf0) | (bytes[offset + 1]! >>> 4);
}

/** Changes it; the IPv4 header checksum follows (RFC 1624). */
export function setInnerTos(bytes: Uint8Array, offset: number, tos: number): void {
  if (bytes[offset]! >>> 4 === 6) {
    bytes[offset] = 0x60 | (tos >>> 4);
    bytes[offset + 1] = ((tos << 4) & 0xf0) | (bytes[offset + 1]! & 0x0f);
    return;
  }
  const checksum = (bytes[offset + 10]! << 8) | bytes[offset + 11]!;
  const old = bytes[offset + 1]!;
  // HC' = ~(~HC + ~m + m'): the word is version, header length and TOS; only the TOS differs.
  const next = checksumFinish((~checksum & 0xffff) + (~old & 0xffff) + tos);
  bytes[offset + 1] = tos;
  bytes[offset + 10] = next >>> 8;
  bytes[offset + 11] = next & 0xff;
}

const ECN = 3;
const NOT_ECT = 0;
const ECT1 = 1;
const CE = 3;

/** The outer TOS for an inner one (RFC 6040, section 4.1, normal mode): its ECN field and nothing else. */
export function ecnEncapsulate(inner: number): number {
  return inner & ECN;
}

/**
 * The inner TOS after the tunnel (RFC 6040, section 4.2).
 * @returns -1 when the packet must be dropped: congestion met a packet that cannot carry the news
 */
export function ecnDecapsulate(outer: number, inner: number): number {
  const seen = outer & ECN;
  if ((inner & ECN) === NOT_ECT) return seen === CE ? -1 : inner;
  if (seen === CE) return inner | CE;
  if (seen === ECT1 && (inner & ECN) !== CE) return (inner & ~ECN) | ECT1;
  return inner;
}

/** The Internet checksum's sum (RFC 1071), not folded: 16-bit words of `length` bytes, added to `sum`. */
export function checksumAdd(bytes: Uint8Array, offset: number, length: number, sum: number): number {
  let total = sum;
  for (let i = 0; i + 1 < length; i += 2) total += (bytes[offset + i]! << 8) | bytes[offset + i + 1]!;
  if (length & 1) total += bytes[offset + length - 1]! << 8;
  return total;
}

/** Folds and complements it. */
export function checksumFinish(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
