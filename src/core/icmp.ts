/**
 * Destination unreachable for a packet that cannot be routed into the tunnel (RFC 792, RFC 4443,
 * and RFC 1122, section 3.2.2, for what never gets an answer).
 *
 * The error's source is the packet's own destination: a local one would be dropped as martian.
 */
import { ICMP_MAX_SIZE } from './constants.js';
import { checksumAdd, checksumFinish } from './ip-header.js';
import { isZero } from './messages.js';

const IPV4_MAX_SIZE = 576;
const ICMP = 1;
const ICMPV6 = 58;
const TTL = 64;
/** Hop-by-hop, routing, fragment, authentication, destination options: headers in front of the payload. */
const EXTENSIONS: readonly number[] = [0, 43, 44, 51, 60];
const FRAGMENT = 44;
/** Its length alone counts in words of 32 bits, less two (RFC 4302, section 2.2). */
const AUTHENTICATION = 51;
/** ICMP's own errors: unreachable, quench, redirect, time exceeded, parameter problem. */
const ICMP_ERRORS: readonly number[] = [3, 4, 5, 11, 12];

/**
 * Builds the error in `out` at `at`, with room for ICMP_MAX_SIZE bytes.
 * @param packet one that `innerLength` accepted, `length` bytes at `offset`
 * @returns its length, 0 when the packet gets no answer
 */
export function buildUnreachable(
  out: Uint8Array,
  at: number,
  packet: Uint8Array,
  offset: number,
  length: number,
): number {
  return packet[offset]! >>> 4 === 4
    ? unreachable4(out, at, packet, offset, length)
    : unreachable6(out, at, packet, offset, length);
}

function unreachable4(out: Uint8Array, at: number, packet: Uint8Array, offset: number, length: number): number {
  const header = (packet[offset]! & 15) * 4;
  if (((packet[offset + 6]! & 0x1f) | packet[offset + 7]!) !== 0) return 0;
  if (!isUnicast4(packet, offset + 12) || !isUnicast4(packet, offset + 16)) return 0;
  if (packet[offset + 9] === ICMP && (length <= header || ICMP_ERRORS.includes(packet[offset + header]!))) return 0;
  const quoted = Math.min(length, IPV4_MAX_SIZE - 28);
  const total = 28 + quoted;
  out.fill(0, at, at + 28);
  out[at] = 0x45;
  put16(out, at + 2, total);
  out[at + 8] = TTL;
  out[at + 9] = ICMP;
  copy(out, at + 12, packet, offset + 16, 4);
  copy(out, at + 16, packet, offset + 12, 4);
  put16(out, at + 10, checksumFinish(checksumAdd(out, at, 20, 0)));
  out[at + 20] = 3;
  // Code 1: host unreachable.
  out[at + 21] = 1;
  copy(out, at + 28, packet, offset, quoted);
  put16(out, at + 22, checksumFinish(checksumAdd(out, at + 20, total - 20, 0)));
  return total;
}

function unreachable6(out: Uint8Array, at: number, packet: Uint8Array, offset: number, length: number): number {
  if (packet[offset + 8] === 0xff || packet[offset + 24] === 0xff) return 0;
  if (isZero(packet, offset + 8, 16) || isZero(packet, offset + 24, 16)) return 0;
  let next = packet[offset + 6]!;
  let payload = offset + 40;
  while (EXTENSIONS.includes(next)) {
    if (payload + 8 > offset + length) return 0;
    if (next === FRAGMENT && ((packet[payload + 2]! << 8) | (packet[payload + 3]! & 0xf8)) !== 0) return 0;
    const units = packet[payload + 1]!;
    const size = next === FRAGMENT ? 8 : next === AUTHENTICATION ? 4 * (units + 2) : 8 * (units + 1);
    next = packet[payload]!;
    payload += size;
  }
  if (next === ICMPV6 && (payload >= offset + length || packet[payload]! < 128)) return 0;
  const quoted = Math.min(length, ICMP_MAX_SIZE - 48);
  out.fill(0, at, at + 48);
  out[at] = 0x60;
  put16(out, at + 4, 8 + quoted);
  out[at + 6] = ICMPV6;
  out[at + 7] = TTL;
  copy(out, at + 8, packet, offset + 24, 16);
  copy(out, at + 24, packet, offset + 8, 16);
  out[at + 40] = 1;
  // Code 3: address unreachable.
  out[at + 41] = 3;
  copy(out, at + 48, packet, offset, quoted);
  const pseudo = checksumAdd(out, at + 8, 32, 8 + quoted + ICMPV6);
  put16(out, at + 42, checksumFinish(checksumAdd(out, at + 40, 8 + quoted, pseudo)));
  return 48 + quoted;
}

/** Not multicast, broadcast, reserved or unspecified. */
function isUnicast4(packet: Uint8Array, at: number): boolean {
  return packet[at]! < 224 && !isZero(packet, at, 4);
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function copy(out: Uint8Array, at: number, from: Uint8Array, offset: number, length: number): void {
  for (let i = 0; i < length; i++) out[at + i] = from[offset + i]!;
}
