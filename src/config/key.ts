/**
 * Keys in base64 (RFC 4648, section 4), from bytes to bytes, so that no string ever holds a secret one.
 * Neither looks anything up by a byte of a key: time and memory accesses do not depend on it.
 */
export const KEY_BYTES = 32;
/** 43 digits and one `=`. */
export const KEY_TEXT_BYTES = 44;
const EQUALS = 0x3d;

/** 1 where `low <= value <= high`, else 0, without a branch. */
function between(value: number, low: number, high: number): number {
  return ((low - 1 - value) & (value - high - 1)) >>> 31;
}

/** @returns 0 to 63, or -1 for a byte that is no digit */
function digitOf(byte: number): number {
  return (
    -1 +
    between(byte, 0x41, 0x5a) * (byte - 0x40) +
    between(byte, 0x61, 0x7a) * (byte - 0x46) +
    between(byte, 0x30, 0x39) * (byte + 5) +
    between(byte, 0x2b, 0x2b) * 63 +
    between(byte, 0x2f, 0x2f) * 64
  );
}

function byteOf(digit: number): number {
  return (
    between(digit, 0, 25) * (digit + 0x41) +
    between(digit, 26, 51) * (digit + 0x47) +
    between(digit, 52, 61) * (digit - 4) +
    between(digit, 62, 62) * 0x2b +
    between(digit, 63, 63) * 0x2f
  );
}

/**
 * Reads a key as wg(8) writes it: exactly 44 bytes, padded, with no bits left over.
 * @param out receives 32 bytes from 0 on, zeros when the answer is false
 */
export function decodeKey(text: Uint8Array, from: number, to: number, out: Uint8Array): boolean {
  if (to - from !== KEY_TEXT_BYTES || text[to - 1] !== EQUALS) return false;
  let bad = 0;
  for (let group = 0; group < 11; group++) {
    const at = from + group * 4;
    const last = group === 10;
    const d = last ? 0 : digitOf(text[at + 3]!);
    const [a, b, c] = [digitOf(text[at]!), digitOf(text[at + 1]!), digitOf(text[at + 2]!)];
    bad |= a | b | c | d;
    const word = (a << 18) | (b << 12) | (c << 6) | d;
    out[group * 3] = word >>> 16;
    out[group * 3 + 1] = word >>> 8;
    if (!last) out[group * 3 + 2] = word;
    else if ((word & 0xff) !== 0) bad = -1;
  }
  if (bad >= 0) return true;
  out.fill(0, 0, KEY_BYTES);
  return false;
}

/**
 * Writes a key of 32 bytes.
 * @param out receives 44 bytes from `at` on
 */
export function encodeKey(key: Uint8Array, out: Uint8Array, at = 0): void {
  for (let group = 0; group < 11; group++) {
    const word = (key[group * 3]! << 16) | (key[group * 3 + 1]! << 8) | (group === 10 ? 0 : key[group * 3 + 2]!);
    for (let i = 0; i < 4; i++) out[at + group * 4 + i] = byteOf((word >>> (18 - 6 * i)) & 63);
  }
  out[at + KEY_TEXT_BYTES - 1] = EQUALS;
}
