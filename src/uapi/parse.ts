/**
 * The body of a UAPI `set=1` request, read from bytes as they come in, up to its blank line
 * (https://www.wireguard.com/xplatform/). Nothing is carried out here: the result is one
 * {@link DeviceChange} when every line is good, else an errno and a text for the log.
 *
 * Secrets are decoded from the bytes they came in, never pass through a string, and are wiped by
 * {@link SetParser.wipe}. The caller wipes its chunks.
 */
import type { AllowedIpChange, DeviceChange, PeerChange } from '../core/change.js';
import { parseDecimal } from './address.js';
import { UAPI_INVALID, UAPI_PROTOCOL, UAPI_TOO_BIG } from './errno.js';
import { ByteSlab } from './slab.js';
import { parseAllowedIp, parseEndpoint, parseKey, type ResolveScope } from './values.js';

export interface ParseLimits {
  /** Bytes of one request, from the line after `set=1` to its blank line. */
  readonly maxRequestBytes: number;
  readonly maxPeers: number;
  readonly maxAllowedIps: number;
}

/** 128 MiB is the contract; the two others keep the parsed form of a hostile 128 MiB below a gigabyte. */
export const DEFAULT_PARSE_LIMITS: ParseLimits = {
  maxRequestBytes: 128 * 1024 * 1024,
  maxPeers: 1_000_000,
  maxAllowedIps: 2_000_000,
};

export type SetResult = { readonly change: DeviceChange } | { readonly errno: number; readonly message: string };

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type PeerDraft = Mutable<Omit<PeerChange, 'allowedIps'>> & { allowedIps?: AllowedIpChange[] };
type DeviceDraft = Mutable<Omit<DeviceChange, 'peers'>> & { peers?: PeerDraft[] };

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const EQUALS = 0x3d;
/** Longer than any good line; only a number with a great many leading zeros would be longer. */
const MAX_LINE_BYTES = 1024;

const DEVICE_KEYS = ['private_key', 'listen_port', 'fwmark', 'replace_peers'] as const;
const PEER_KEYS = [
  'preshared_key',
  'endpoint',
  'persistent_keepalive_interval',
  'replace_allowed_ips',
  'allowed_ip',
  'update_only',
  'remove',
  'protocol_version',
] as const;
type Key = (typeof DEVICE_KEYS)[number] | (typeof PEER_KEYS)[number] | 'public_key';

/** Keys by their length, so that a line is compared with one or two of them. */
const KEYS_BY_LENGTH: { name: Key; bytes: Uint8Array }[][] = [];
for (const name of [...DEVICE_KEYS, ...PEER_KEYS, 'public_key'] as const) {
  KEYS_BY_LENGTH[name.length] ??= [];
  KEYS_BY_LENGTH[name.length]!.push({ name, bytes: Uint8Array.from(name, (c) => c.charCodeAt(0)) });
}
const PEER_KEY_SET: ReadonlySet<string> = new Set(PEER_KEYS);
const TRUE = Uint8Array.from('true', (c) => c.charCodeAt(0));

export class SetParser {
  readonly #limits: ParseLimits;
  readonly #resolveScope: ResolveScope;
  readonly #secrets = new ByteSlab();
  #public = new ByteSlab();
  readonly #line = new Uint8Array(MAX_LINE_BYTES);
  #lineLength = 0;
  /** The line being read is over its cap already, and an error. */
  #overlong = false;
  #bytes = 0;
  #allowedIps = 0;
  #draft: DeviceDraft = {};
  #peer: PeerDraft | undefined;
  #error: { errno: number; message: string } | undefined;
  #tooBig = false;

  constructor(limits: ParseLimits = DEFAULT_PARSE_LIMITS, resolveScope: ResolveScope = () => undefined) {
    this.#limits = limits;
    this.#resolveScope = resolveScope;
  }

  /** The request is over its cap: nothing more of it will be read, and there is no telling where it ends. */
  get tooBig(): boolean {
    return this.#tooBig;
  }

  /**
   * Reads on.
   * @returns the place in `chunk` behind the blank line that ends the request, or -1: there must be more
   */
  push(chunk: Uint8Array, from: number): number {
    let start = from;
    while (start < chunk.length) {
      let end = chunk.indexOf(NEWLINE, start);
      if (end < 0) end = chunk.length;
      this.#bytes += end - start + 1;
      if (this.#bytes > this.#limits.maxRequestBytes) {
        this.#tooBig = true;
        this.#fail(UAPI_TOO_BIG, `request is over ${this.#limits.maxRequestBytes} bytes`);
        return -1;
      }
      if (end === chunk.length) {
        this.#bytes--;
        this.#keep(chunk, start, end);
        return -1;
      }
      if (this.#takeLine(chunk, start, end)) return end + 1;
      start = end + 1;
    }
    return -1;
  }

  /** What the request asks for. Call it when {@link push} found its end. */
  finish(): SetResult {
    return this.#error ?? { change: this.#draft as DeviceChange };
  }

  /** The request stopped before its blank line. */
  truncated(): SetResult {
    return this.#error ?? { errno: UAPI_PROTOCOL, message: 'set: the request ends without an empty line' };
  }

  /** Zeroes every secret that was read. The change is worthless from then on. */
  wipe(): void {
    this.#secrets.wipe();
    this.#line.fill(0);
    this.#draft = {};
    this.#peer = undefined;
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    if (this.#lineLength + end - start > MAX_LINE_BYTES) {
      this.#overlong = true;
      this.#lineLength = MAX_LINE_BYTES;
      return;
    }
    this.#line.set(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end), this.#lineLength);
    this.#lineLength += end - start;
  }

  /** @returns whether it was the blank line */
  #takeLine(chunk: Uint8Array, start: number, end: number): boolean {
    let text = chunk;
    let from = start;
    let to = end;
    if (this.#lineLength > 0) {
      this.#keep(chunk, start, end);
      text = this.#line;
      from = 0;
      to = this.#lineLength;
      this.#lineLength = 0;
    }
    if (to > from && text[to - 1] === RETURN) to--;
    if (to === from) return true;
    const overlong = this.#overlong || to - from > MAX_LINE_BYTES;
    this.#overlong = false;
    if (this.#error === undefined) {
      if (overlong) this.#fail(UAPI_INVALID, `set: a line is over ${MAX_LINE_BYTES} bytes`);
      else this.#readLine(text, from, to);
    }
    if (text === this.#line) this.#line.fill(0);
    return false;
  }

  #readLine(text: Uint8Array, from: number, to: number): void {
    let equals = from;
    while (equals < to && text[equals] !== EQUALS) equals++;
    if (equals === to) return this.#fail(UAPI_PROTOCOL, 'set: a line is not key=value');
    const key = lookUpKey(text, from, equals);
    if (key === 'public_key') return this.#startPeer(text, equals + 1, to);
    if (key === undefined) return this.#fail(UAPI_INVALID, `set: unknown key${quoteKey(text, from, equals)}`);
    if (PEER_KEY_SET.has(key) !== (this.#peer !== undefined)) {
      const where = this.#peer === undefined ? 'stands before any public_key' : 'stands inside a peer';
      return this.#fail(UAPI_INVALID, `set: ${key} ${where}`);
    }
    const good =
      this.#peer === undefined
        ? this.#deviceLine(this.#draft, key, text, equals + 1, to)
        : this.#peerLine(this.#peer, key, text, equals + 1, to);
    if (!good && this.#error === undefined) this.#fail(UAPI_INVALID, `set: ${key} has a bad value`);
  }

  #startPeer(text: Uint8Array, from: number, to: number): void {
    const publicKey = parseKey(text, from, to, this.#public);
    if (publicKey === undefined) return this.#fail(UAPI_INVALID, 'set: public_key has a bad value');
    this.#draft.peers ??= [];
    if (this.#draft.peers.length >= this.#limits.maxPeers) {
      return this.#fail(UAPI_TOO_BIG, `set: more than ${this.#limits.maxPeers} peers in one request`);
    }
    this.#peer = { publicKey };
    this.#draft.peers.push(this.#peer);
  }

  #deviceLine(draft: DeviceDraft, key: Key, text: Uint8Array, from: number, to: number): boolean {
    switch (key) {
      case 'private_key':
        return assign(draft, 'privateKey', parseKey(text, from, to, this.#secrets));
      case 'listen_port':
        return assign(draft, 'listenPort', number(text, from, to, 0xffff));
      case 'fwmark':
        return assign(draft, 'fwmark', number(text, from, to, 0xffffffff));
      default:
        return assign(draft, 'replacePeers', flag(text, from, to));
    }
  }

  #peerLine(peer: PeerDraft, key: Key, text: Uint8Array, from: number, to: number): boolean {
    switch (key) {
      case 'preshared_key':
        return assign(peer, 'presharedKey', parseKey(text, from, to, this.#secrets));
      case 'endpoint':
        return assign(peer, 'endpoint', parseEndpoint(text, from, to, this.#public, this.#resolveScope));
      case 'persistent_keepalive_interval':
        return assign(peer, 'persistentKeepaliveInterval', number(text, from, to, 0xffff));
      case 'allowed_ip':
        return this.#allowedIp(peer, text, from, to);
      case 'replace_allowed_ips':
        // Lines count in their order: what was allowed above this line is replaced too.
        if (peer.allowedIps !== undefined) peer.allowedIps = [];
        return assign(peer, 'replaceAllowedIps', flag(text, from, to));
      case 'update_only':
        return assign(peer, 'updateOnly', flag(text, from, to));
      case 'remove':
        return assign(peer, 'remove', flag(text, from, to));
      default:
        return to - from === 1 && text[from] === 0x31;
    }
  }

  #allowedIp(peer: PeerDraft, text: Uint8Array, from: number, to: number): boolean {
    if (++this.#allowedIps > this.#limits.maxAllowedIps) {
      this.#fail(UAPI_TOO_BIG, `set: more than ${this.#limits.maxAllowedIps} allowed IPs in one request`);
      return false;
    }
    const change = parseAllowedIp(text, from, to, this.#public);
    if (change === undefined) return false;
    peer.allowedIps ??= [];
    peer.allowedIps.push(change);
    return true;
  }

  #fail(errno: number, message: string): void {
    this.#error ??= { errno, message };
    // Nothing of this request will be used; a long rest of it must not hold on to what was read so far.
    this.wipe();
    this.#public = new ByteSlab();
  }
}

function lookUpKey(text: Uint8Array, from: number, to: number): Key | undefined {
  for (const { name, bytes } of KEYS_BY_LENGTH[to - from] ?? []) if (equal(text, from, bytes)) return name;
  return undefined;
}

function equal(text: Uint8Array, from: number, bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (text[from + i] !== bytes[i]) return false;
  return true;
}

/** An unknown key for the log, if it looks like one: a misplaced secret does not. */
function quoteKey(text: Uint8Array, from: number, to: number): string {
  if (to === from || to - from > 31) return '';
  let name = '';
  for (let i = from; i < to; i++) {
    const byte = text[i]!;
    if (byte !== 0x5f && (byte < 0x61 || byte > 0x7a)) return '';
    name += String.fromCharCode(byte);
  }
  return ` ${name}`;
}

function number(text: Uint8Array, from: number, to: number, max: number): number | undefined {
  const value = parseDecimal(text, from, to, max);
  return value < 0 ? undefined : value;
}

function flag(text: Uint8Array, from: number, to: number): true | undefined {
  return to - from === TRUE.length && equal(text, from, TRUE) ? true : undefined;
}

function assign<T, K extends keyof T>(target: T, key: K, value: T[K] | undefined): boolean {
  if (value === undefined) return false;
  target[key] = value;
  return true;
}
