/**
 * The values of a configuration, read from bytes as wg(8) reads them, in files and on its command line.
 * Each throws a {@link ConfigError} without a line number.
 */
import type { AllowedIpChange } from '../core/change.js';
import { hexDigit, parseAddress, parseDecimal } from '../uapi/address.js';
import { type ByteSlab, secretView } from '../uapi/slab.js';
import { ConfigError, HIDDEN, refuse } from './errors.js';
import { decodeKey, KEY_BYTES } from './key.js';

const COMMA = 0x2c;
const SLASH = 0x2f;
const COLON = 0x3a;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const PLUS = 0x2b;
const MINUS = 0x2d;
const ZERO = 0x30;
const SPACE = 0x20;

/** White space of C's isspace(3): space, \t, \n, \v, \f, \r. */
export function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 9 && byte <= 13);
}

/** @returns whether `text[from..to)` is `word` (lower case), in any case */
function isWord(text: Uint8Array, from: number, to: number, word: string): boolean {
  if (to - from !== word.length) return false;
  for (let i = 0; i < word.length; i++) if ((text[from + i]! | 0x20) !== word.charCodeAt(i)) return false;
  return true;
}

/**
 * @param secret the text is not shown when it is wrong, nor are the bytes when they are printed
 * @returns 32 bytes from `slab`
 */
export function readKey(text: Uint8Array, from: number, to: number, slab: ByteSlab, secret: boolean): Uint8Array {
  const key = slab.take(KEY_BYTES);
  if (decodeKey(text, from, to, key)) return secret ? secretView(key) : key;
  const shown = secret ? HIDDEN : text.slice(from, to);
  throw new ConfigError('ERR_CONFIG_KEY', 'Key is not the correct length or format', shown);
}

/** `off` in any case, a decimal number, or a hexadecimal one with `0x`: 32 bits. */
export function readFwmark(text: Uint8Array, from: number, to: number): number {
  if (isWord(text, from, to, 'off')) return 0;
  const value =
    text[from] === ZERO && text[from + 1] === 0x78 && to - from > 2
      ? parseHex(text, from + 2, to)
      : parseDecimal(text, from, to, 0xffffffff);
  if (value >= 0) return value;
  return refuse('ERR_CONFIG_FWMARK', 'Fwmark is neither 0/off nor 0-0xffffffff', text.subarray(from, to));
}

function parseHex(text: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = hexDigit(text[i]!);
    value = value * 16 + digit;
    if (digit < 0 || value > 0xffffffff) return -1;
  }
  return value;
}

/** `off` in any case, or seconds from 0 to 65535. */
export function readKeepalive(text: Uint8Array, from: number, to: number): number {
  const value = isWord(text, from, to, 'off') ? 0 : parseDecimal(text, from, to, 65535);
  if (value >= 0) return value;
  const problem = 'Persistent keepalive interval is neither 0/off nor 1-65535';
  return refuse('ERR_CONFIG_KEEPALIVE', problem, text.subarray(from, to));
}

/**
 * @param resolveService answers for a text that is no number: the port, or what is wrong with it
 * @returns 0 to 65535
 */
export function readPort(
  text: Uint8Array,
  from: number,
  to: number,
  resolveService?: (service: string) => number | string,
): number {
  const quoted = text.subarray(from, to);
  if (from === to) throw new ConfigError('ERR_CONFIG_PORT', 'Unable to parse empty port');
  const port = parsePort(text, from, to);
  if (port >= 0 && port <= 65535) return port;
  if (port > 65535) return refuse('ERR_CONFIG_PORT', 'Port is not 0-65535', quoted);
  const found = resolveService?.(decode(quoted)) ?? 'Port is neither a number nor a known service';
  if (typeof found === 'number') return found;
  return refuse('ERR_CONFIG_PORT', found, quoted);
}

/**
 * A port as getaddrinfo(3) reads a number: white space and one `+` may stand before it, zeros too.
 * @returns the number, above 65535 as well (as Infinity from 2^53 on), or -1 when it is none
 */
export function parsePort(text: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && isSpace(text[at]!)) at++;
  if (at < to && text[at] === PLUS) at++;
  const value = parseDecimal(text, at, to, Number.MAX_SAFE_INTEGER);
  if (value >= 0 || at === to) return value;
  for (let i = at; i < to; i++) if (text[i]! < ZERO || text[i]! > 0x39) return -1;
  return Number.POSITIVE_INFINITY;
}

/** Where a peer is, as text: names are for somebody else to resolve. */
export interface EndpointText {
  /** As it was written. */
  readonly text: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: string;
}

/** `host:port`, `[host]:port`, or an IPv6 address, a colon and a port: what comes after the last colon. */
export function splitEndpoint(text: Uint8Array, from: number, to: number): EndpointText {
  const quoted = text.subarray(from, to);
  if (from === to) throw new ConfigError('ERR_CONFIG_ENDPOINT', 'Unable to parse empty endpoint');
  let [start, end, colon] = [from, to, to - 1];
  if (text[from] === OPEN) {
    start = from + 1;
    end = text.indexOf(CLOSE, start);
    if (end < 0 || end >= to) refuse('ERR_CONFIG_ENDPOINT', 'Unable to find matching brace of endpoint', quoted);
    colon = end + 1;
  } else {
    while (colon >= from && text[colon] !== COLON) colon--;
    end = colon;
  }
  if (colon < from || colon + 1 >= to || text[colon] !== COLON) {
    refuse('ERR_CONFIG_ENDPOINT', 'Unable to find port of endpoint', quoted);
  }
  const port = parsePort(text, colon + 1, to);
  if (port > 65535) refuse('ERR_CONFIG_ENDPOINT', 'Port is not 0-65535', quoted);
  const [host, service] = [text.subarray(start, end), text.subarray(colon + 1, to)];
  return { text: decode(quoted), host: decode(host), port: decode(service) };
}

/** What {@link readAllowedIps} found, beside the prefixes. */
export interface AllowedIpsNotes {
  /** An entry had `+` or `-`: the list is to be added to and taken from, not to replace what is there. */
  incremental: boolean;
}

/**
 * A list with commas; `+` and `-` in front of an entry make the list incremental (wireguard-tools of 2025).
 * @param text without white space
 * @param ips receives the prefixes, host bits cleared
 * @param warn told of an entry with host bits
 */
export function readAllowedIps(
  text: Uint8Array,
  from: number,
  to: number,
  slab: ByteSlab,
  ips: AllowedIpChange[],
  warn: (problem: string, entry: Uint8Array) => void,
): AllowedIpsNotes {
  const notes = { incremental: false };
  for (let start = from; start <= to; ) {
    let end = text.indexOf(COMMA, start);
    if (end < 0 || end > to) end = to;
    const sign = start < end ? text[start] : 0;
    const signed = sign === PLUS || sign === MINUS;
    notes.incremental ||= signed;
    const ip = readAllowedIp(text, start, signed, end, slab, warn);
    ips.push(sign === MINUS ? { ...ip, remove: true } : ip);
    start = end + 1;
  }
  return notes;
}

const scratch = new Uint8Array(16);

function readAllowedIp(
  text: Uint8Array,
  from: number,
  signed: boolean,
  to: number,
  slab: ByteSlab,
  warn: (problem: string, entry: Uint8Array) => void,
): AllowedIpChange {
  let slash = from;
  while (slash < to && text[slash] !== SLASH) slash++;
  const length = parseAddress(text, signed ? from + 1 : from, slash, scratch);
  if (length === 0) refuse('ERR_CONFIG_ALLOWED_IP', 'Unable to parse IP address', text.subarray(from, slash));
  const bits = length * 8;
  const cidr = slash === to ? bits : parseDecimal(text, slash + 1, to, bits);
  const entry = text.subarray(from, to);
  if (cidr < 0) refuse('ERR_CONFIG_ALLOWED_IP', 'AllowedIP is not in the correct format', entry);
  const address = slab.take(length);
  address.set(scratch.subarray(0, length));
  let hostBits = 0;
  for (let bit = cidr; bit < bits; bit = (bit | 7) + 1) {
    const mask = (0xff00 >> (bit & 7)) & 0xff;
    hostBits |= address[bit >> 3]! & ~mask;
    address[bit >> 3]! &= mask;
  }
  if (hostBits !== 0) warn('AllowedIP has nonzero host part', entry);
  return { address, cidr };
}

export function decode(text: Uint8Array): string {
  return new TextDecoder().decode(text);
}
