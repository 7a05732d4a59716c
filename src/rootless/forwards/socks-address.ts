/** Addresses as SOCKS5 has them on the wire: RFC 1928, section 5. */
import { formatAddress, isV4Mapped, parseAddress } from '../../uapi/address.js';

export const AddressType = { v4: 1, name: 3, v6: 4 } as const;

/** An IPv4 address without IPv6 clothes, and without a scope. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
}

/** @returns type, address and port. What is no address becomes 0.0.0.0. */
export function encodeAddress(address: string, port: number): Buffer {
  const text = new TextEncoder().encode(plainAddress(address));
  const bytes = new Uint8Array(16);
  const size = parseAddress(text, 0, text.length, bytes) || 4;
  return Buffer.from([
    size === 4 ? AddressType.v4 : AddressType.v6,
    ...bytes.subarray(0, size),
    port >> 8,
    port & 0xff,
  ]);
}

/** @returns host, port, and the bytes they took; undefined when `bytes` hold no address */
export function decodeAddress(bytes: Uint8Array): { host: string; port: number; length: number } | undefined {
  const [type] = bytes;
  const isName = type === AddressType.name;
  const at = isName ? 2 : 1;
  const size = isName ? bytes[1] : type === AddressType.v4 ? 4 : type === AddressType.v6 ? 16 : undefined;
  if (size === undefined || size === 0 || bytes.length < at + size + 2) return undefined;
  const address = bytes.subarray(at, at + size);
  const end = at + size;
  const port = (bytes[end]! << 8) | bytes[end + 1]!;
  const plain = size === 16 && isV4Mapped(address) ? address.subarray(12) : address;
  return { host: isName ? Buffer.from(address).toString('latin1') : formatAddress(plain), port, length: end + 2 };
}
