/**
 * Wire layout of the four messages (paper, sections 5.4.2 to 5.4.7): byte offsets in field order,
 * integers little-endian. Derived values are left as expressions.
 */
export const MessageType = { initiation: 1, response: 2, cookieReply: 3, data: 4 } as const;

export const KEY_SIZE = 32;
export const TAG_SIZE = 16;
export const MAC_SIZE = 16;
export const TIMESTAMP_SIZE = 12;
export const COOKIE_SIZE = 16;
export const COOKIE_NONCE_SIZE = 24;

/** Handshake initiation. */
export const INITIATION_SENDER = 4;
export const INITIATION_EPHEMERAL = 8;
export const INITIATION_STATIC: number = INITIATION_EPHEMERAL + KEY_SIZE;
export const INITIATION_TIMESTAMP: number = INITIATION_STATIC + KEY_SIZE + TAG_SIZE;
const INITIATION_MACS: number = INITIATION_TIMESTAMP + TIMESTAMP_SIZE + TAG_SIZE;
export const INITIATION_SIZE: number = INITIATION_MACS + 2 * MAC_SIZE;

/** Handshake response. */
export const RESPONSE_SENDER = 4;
export const RESPONSE_RECEIVER = 8;
export const RESPONSE_EPHEMERAL = 12;
export const RESPONSE_EMPTY: number = RESPONSE_EPHEMERAL + KEY_SIZE;
const RESPONSE_MACS: number = RESPONSE_EMPTY + TAG_SIZE;
export const RESPONSE_SIZE: number = RESPONSE_MACS + 2 * MAC_SIZE;

/** Cookie reply. */
export const COOKIE_REPLY_RECEIVER = 4;
export const COOKIE_REPLY_NONCE = 8;
export const COOKIE_REPLY_COOKIE: number = COOKIE_REPLY_NONCE + COOKIE_NONCE_SIZE;
export const COOKIE_REPLY_SIZE: number = COOKIE_REPLY_COOKIE + COOKIE_SIZE + TAG_SIZE;

/** Transport data. */
export const DATA_RECEIVER = 4;
export const DATA_COUNTER = 8;
export const DATA_HEADER_SIZE = 16;
export const DATA_OVERHEAD: number = DATA_HEADER_SIZE + TAG_SIZE;

/** A little-endian u32. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Writes a little-endian u32. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Compares two arrays of the same length in time that does not depend on where they differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** Whether every byte is zero, in constant time. */
export function isZero(bytes: Uint8Array, at = 0, length: number = bytes.length): boolean {
  let bits = 0;
  for (let i = at; i < at + length; i++) bits |= bytes[i]!;
  return bits === 0;
}
