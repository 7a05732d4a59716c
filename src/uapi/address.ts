/**
 * IP addresses as text: strict reading from bytes (dotted quad without leading zeros, RFC 4291
 * section 2.2 with an optional dotted tail), and writing in the canonical form of RFC 5952.
 */
const DOT = 0x2e;
const COLON = 0x3a;

/** @returns the value of an ASCII hexadecimal digit, or -1 */
export function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** @returns the decimal number in `text[from..to)`, digits only, or -1 when it is none or above `max` */
export function parseDecimal(text: Uint8Array, from: number, to: number, max: number): number {
  if (from >= to) return -1;
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = text[i]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
    if (value > max) return -1;
  }
  return value;
}

/**
 * @param out receives 4 or 16 bytes from 0 on; may be scribbled on when the answer is 0
 * @returns 4 or 16, or 0 when `text[from..to)` is no address. A scope (`%eth0`) is the caller's to cut off.
 */
export function parseAddress(text: Uint8Array, from: number, to: number, out: Uint8Array): 0 | 4 | 16 {
  for (let i = from; i < to && i < from + 5; i++) {
    if (text[i] === COLON) return parseV6(text, from, to, out) ? 16 : 0;
    if (text[i] === DOT) return parseV4(text, from, to, out, 0) ? 4 : 0;
  }
  return 0;
}

function parseV4(text: Uint8Array, from: number, to: number, out: Uint8Array, at: number): boolean {
  let start = from;
  for (let field = 0; field < 4; field++) {
    let end = start;
    while (end < to && text[end] !== DOT) end++;
    if (field < 3 === (end === to) || end - start > 3) return false;
    if (end - start > 1 && text[start] === 0x30) return false;
    const value = parseDecimal(text, start, end, 255);
    if (value < 0) return false;
    out[at + field] = value;
    start = end + 1;
  }
  return true;
}

function parseV6(text: Uint8Array, from: number, to: number, out: Uint8Array): boolean {
  let at = 0;
  let gap = -1;
  let i = from;
  if (text[i] === COLON) {
    if (text[i + 1] !== COLON || i + 1 >= to) return false;
    gap = 0;
    i += 2;
  }
  while (i < to) {
    if (at === 16) return false;
    let end = i;
    let value = 0;
    while (end < to && hexDigit(text[end]!) >= 0) value = value * 16 + hexDigit(text[end++]!);
    if (end < to && text[end] === DOT) {
      if (at > 12 || !parseV4(text, i, to, out, at)) return false;
      at += 4;
      break;
    }
    if (end === i || end - i > 4) return false;
    out[at++] = value >>> 8;
    out[at++] = value & 0xff;
    i = end;
    if (i === to) break;
    if (text[i++] !== COLON || i === to) return false;
    if (text[i] === COLON) {
      if (gap >= 0) return false;
      gap = at;
      i++;
    }
  }
  if (gap < 0) return at === 16;
  if (at === 16) return false;
  out.copyWithin(16 - (at - gap), gap, at);
  out.fill(0, gap, 16 - (at - gap));
  return true;
}

/** @returns whether these 16 bytes are an IPv4 address in IPv6 clothes (`::ffff:0:0/96`) */
export function isV4Mapped(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}

/** @param address 4 or 16 bytes */
export function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return `${address[0]}.${address[1]}.${address[2]}.${address[3]}`;
  if (isV4Mapped(address)) return `::ffff:${formatAddress(address.subarray(12))}`;
  const [gapStart, gapEnd] = longestZeroRun(address);
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === gapStart) {
      text += '::';
      group = gapEnd - 1;
      continue;
    }
    if (group > 0 && group !== gapEnd) text += ':';
    text += ((address[group * 2]! << 8) | address[group * 2 + 1]!).toString(16);
  }
  return text;
}

/**
 * An address as inet_ntop(3) of glibc writes it, and so every tool on the system: as {@link formatAddress}, and
 * with a dotted tail where only the last four bytes are set and the first of these two pairs is not zero.
 * @param address 4 or 16 bytes
 */
export function displayAddress(address: Uint8Array): string {
  const compatible = address.length === 16 && (address[12] !== 0 || address[13] !== 0);
  if (compatible && address.subarray(0, 12).every((byte) => byte === 0))
    return `::${formatAddress(address.subarray(12))}`;
  return formatAddress(address);
}

/** The first longest run of two or more zero groups, as [start, end), else [-1, -1] (RFC 5952, section 4.2). */
function longestZeroRun(address: Uint8Array): readonly [number, number] {
  let best: readonly [number, number] = [-1, -1];
  let length = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && address[end * 2] === 0 && address[end * 2 + 1] === 0) end++;
    if (end - start > length) {
      length = end - start;
      best = [start, end];
    }
    if (end > start) start = end;
  }
  return best;
}
