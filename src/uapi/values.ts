/** The values of a UAPI line: keys, endpoints and prefixes, read from bytes. */
import type { AllowedIpChange } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { hexDigit, isV4Mapped, parseAddress, parseDecimal } from './address.js';
import type { ByteSlab } from './slab.js';

/** @returns the index of an interface name (or of a number, as text), or `undefined` when there is none */
export type ResolveScope = (name: string) => number | undefined;

const MINUS = 0x2d;
const SLASH = 0x2f;
const COLON = 0x3a;
const PERCENT = 0x25;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const scratch = new Uint8Array(16);

/** @returns 32 bytes from `slab` for 64 hexadecimal digits, or `undefined` */
export function parseKey(text: Uint8Array, from: number, to: number, slab: ByteSlab): Uint8Array | undefined {
  if (to - from !== 64) return undefined;
  const key = slab.take(32);
  let bad = 0;
  for (let i = 0; i < 32; i++) {
    const high = hexDigit(text[from + i * 2]!);
    const low = hexDigit(text[from + i * 2 + 1]!);
    bad |= high | low;
    key[i] = (high << 4) | low;
  }
  if (bad >= 0) return key;
  key.fill(0);
  return undefined;
}

/** `1.2.3.4:5`, `[2001:db8::1]:5` or `[fe80::1%eth0]:5`. An IPv4-mapped address becomes the IPv4 address it is. */
export function parseEndpoint(
  text: Uint8Array,
  from: number,
  to: number,
  slab: ByteSlab,
  resolveScope: ResolveScope,
): Endpoint | undefined {
  let colon = to - 1;
  while (colon >= from && text[colon] !== COLON) colon--;
  if (colon < from) return undefined;
  const port = parseDecimal(text, colon + 1, to, 65535);
  const bracketed = text[from] === OPEN;
  if (port < 0 || (bracketed && text[colon - 1] !== CLOSE)) return undefined;
  const start = bracketed ? from + 1 : from;
  const end = bracketed ? colon - 1 : colon;
  let percent = start;
  while (percent < end && text[percent] !== PERCENT) percent++;
  const length = parseAddress(text, start, percent, scratch);
  if (length !== (bracketed ? 16 : 4) || (percent < end && length === 4)) return undefined;
  if (length === 16 && percent === end && isV4Mapped(scratch)) {
    return { address: copyOf(scratch.subarray(12, 16), slab), port };
  }
  const address = copyOf(scratch.subarray(0, length), slab);
  if (percent === end) return { address, port };
  const scopeId = parseScope(text, percent + 1, end, resolveScope);
  return scopeId === undefined ? undefined : { address, port, scopeId };
}

function parseScope(text: Uint8Array, from: number, to: number, resolve: ResolveScope): number | undefined {
  const index = parseDecimal(text, from, to, 0xffffffff);
  if (index >= 0) return index;
  if (from >= to || to - from > 15) return undefined;
  let name = '';
  for (let i = from; i < to; i++) {
    if (text[i]! <= 0x20 || text[i]! >= 0x7f || text[i] === SLASH) return undefined;
    name += String.fromCharCode(text[i]!);
  }
  return resolve(name);
}

/** `10.0.0.0/8` or `-2001:db8::/32`; host bits are cleared, as everybody does. */
export function parseAllowedIp(
  text: Uint8Array,
  from: number,
  to: number,
  slab: ByteSlab,
): AllowedIpChange | undefined {
  const remove = from < to && text[from] === MINUS;
  const start = remove ? from + 1 : from;
  let slash = to - 1;
  while (slash >= start && text[slash] !== SLASH) slash--;
  if (slash < start || to - slash > 4 || (to - slash > 2 && text[slash + 1] === 0x30)) return undefined;
  const length = parseAddress(text, start, slash, scratch);
  if (length === 0) return undefined;
  const cidr = parseDecimal(text, slash + 1, to, length * 8);
  if (cidr < 0) return undefined;
  const address = copyOf(scratch.subarray(0, length), slab);
  for (let bit = cidr; bit < length * 8; bit = (bit | 7) + 1) address[bit >> 3]! &= 0xff00 >> (bit & 7);
  return remove ? { address, cidr, remove } : { address, cidr };
}

function copyOf(bytes: Uint8Array, slab: ByteSlab): Uint8Array {
  const copy = slab.take(bytes.length);
  copy.set(bytes);
  return copy;
}
