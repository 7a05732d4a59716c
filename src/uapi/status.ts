/**
 * The answer to a UAPI `get=1`, read as it comes in, line by line: of any implementation, so unknown keys are
 * passed over, and what is not `key=value` or has an impossible value is an error.
 */
import type { AllowedIp } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { parseAddress, parseDecimal } from './address.js';
import { ByteSlab, secretView } from './slab.js';
import { parseKey, type ResolveScope } from './values.js';

export interface UapiEndpoint extends Endpoint {
  /** The interface of a link-local address, as the answer names it. */
  readonly scope?: string;
}

export interface UapiInterface {
  /** 32 bytes that print as `[SecretKey]`, or absent when there is no key. */
  readonly privateKey?: Uint8Array;
  /** 0 when there is none. */
  readonly listenPort: number;
  /** 32 bits; 0 is off. */
  readonly fwmark: number;
}

export interface UapiPeer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes that print as `[SecretKey]`, zeros when there is none. */
  readonly presharedKey: Uint8Array;
  readonly endpoint?: UapiEndpoint;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval: number;
  /** Wall time since 1970; both 0 when there was none. */
  readonly lastHandshake: { readonly seconds: bigint; readonly nanoseconds: number };
  /** 64 bits, as the device counts them. */
  readonly rxBytes: bigint;
  readonly txBytes: bigint;
  readonly allowedIps: readonly AllowedIp[];
}

/** Receives what an answer holds, each peer once it is complete. Keys are views that {@link StatusReader.wipe} zeroes. */
export interface StatusVisitor {
  /** Called before the first peer. */
  interface(status: UapiInterface): void;
  peer(peer: UapiPeer): void;
}

/** Something in the answer is not what the UAPI allows. */
export class BadAnswer extends Error {}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type PeerDraft = Mutable<Omit<UapiPeer, 'allowedIps'>> & { allowedIps: AllowedIp[] };

const NEWLINE = 0x0a;
const EQUALS = 0x3d;
const SLASH = 0x2f;
const COLON = 0x3a;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const PERCENT = 0x25;
/** Longer than any line of an answer. */
const MAX_LINE_BYTES = 4096;
/** A million peers with a few prefixes each. */
const MAX_ANSWER_BYTES = 1024 * 1024 * 1024;
const MAX_KEY_BYTES = 64;
const MAX_UINT64 = 0xffffffffffffffffn;
const MAX_INT64 = 0x7fffffffffffffffn;
const scratch = new Uint8Array(16);

export class StatusReader {
  readonly #visitor: StatusVisitor;
  readonly #resolveScope: ResolveScope;
  readonly #slab = new ByteSlab();
  readonly #line = new Uint8Array(MAX_LINE_BYTES);
  #lineLength = 0;
  #bytes = 0;
  #interface: Mutable<UapiInterface> = { listenPort: 0, fwmark: 0 };
  #peer: PeerDraft | undefined;
  #errno: number | undefined;

  constructor(visitor: StatusVisitor, resolveScope: ResolveScope = () => undefined) {
    this.#visitor = visitor;
    this.#resolveScope = resolveScope;
  }

  /**
   * Reads on.
   * @returns the errno (0 or positive) once the blank line was read, else undefined
   * @throws BadAnswer
   */
  push(chunk: Uint8Array): number | undefined {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_ANSWER_BYTES) throw new BadAnswer('the answer is too long');
    for (let start = 0; start < chunk.length; ) {
      let end = chunk.indexOf(NEWLINE, start);
      const whole = end >= 0;
      if (!whole) end = chunk.length;
      if (this.#lineLength + end - start > MAX_LINE_BYTES) throw new BadAnswer('a line is too long');
      this.#line.set(chunk.subarray(start, end), this.#lineLength);
      this.#lineLength += end - start;
      start = end + 1;
      if (!whole) break;
      const length = this.#lineLength;
      this.#lineLength = 0;
      if (length === 0) return this.#finish();
      this.#take(length);
    }
    return undefined;
  }

  /** Zeroes every key and address that was handed out, and what was read. */
  wipe(): void {
    this.#slab.wipe();
    this.#line.fill(0);
  }

  #finish(): number {
    if (this.#errno === undefined) throw new BadAnswer('the answer has no errno');
    this.#endPeer();
    return this.#errno;
  }

  /** The interface is complete at its first peer, a peer at the next one. */
  #endPeer(): void {
    if (this.#peer === undefined) this.#visitor.interface(this.#interface);
    else this.#visitor.peer(this.#peer);
  }

  #take(length: number): void {
    const line = this.#line;
    let equals = 0;
    while (equals < length && line[equals] !== EQUALS) equals++;
    if (equals === length) throw new BadAnswer('a line is not key=value');
    if (equals > MAX_KEY_BYTES) return;
    const key = String.fromCharCode(...line.subarray(0, equals));
    const from = equals + 1;
    if (key === 'public_key') {
      this.#endPeer();
      this.#peer = newPeer(this.#key(from, length));
    } else if (key === 'errno') {
      this.#errno = this.#number(from, length, 0x7fffffff);
    } else if (this.#peer === undefined) {
      this.#takeInterface(key, from, length);
    } else {
      this.#takePeer(this.#peer, key, from, length);
    }
  }

  #takeInterface(key: string, from: number, to: number): void {
    if (key === 'private_key') this.#interface.privateKey = secretView(this.#key(from, to));
    else if (key === 'listen_port') this.#interface.listenPort = this.#number(from, to, 0xffff);
    else if (key === 'fwmark') this.#interface.fwmark = this.#number(from, to, 0xffffffff);
  }

  #takePeer(peer: PeerDraft, key: string, from: number, to: number): void {
    switch (key) {
      case 'preshared_key':
        peer.presharedKey = secretView(this.#key(from, to));
        return;
      case 'endpoint':
        peer.endpoint = this.#endpoint(from, to);
        return;
      case 'persistent_keepalive_interval':
        peer.persistentKeepaliveInterval = this.#number(from, to, 0xffff);
        return;
      case 'allowed_ip':
        peer.allowedIps.push(this.#allowedIp(from, to));
        return;
      case 'last_handshake_time_sec':
        peer.lastHandshake = { ...peer.lastHandshake, seconds: this.#bigNumber(from, to, MAX_INT64) };
        return;
      case 'last_handshake_time_nsec':
        peer.lastHandshake = { ...peer.lastHandshake, nanoseconds: this.#number(from, to, 999_999_999) };
        return;
      case 'rx_bytes':
        peer.rxBytes = this.#bigNumber(from, to, MAX_UINT64);
        return;
      case 'tx_bytes':
        peer.txBytes = this.#bigNumber(from, to, MAX_UINT64);
    }
  }

  #key(from: number, to: number): Uint8Array {
    const key = parseKey(this.#line, from, to, this.#slab);
    if (key === undefined) throw new BadAnswer('a key is not 64 hexadecimal digits');
    return key;
  }

  #number(from: number, to: number, max: number): number {
    const value = parseDecimal(this.#line, from, to, max);
    if (value < 0) throw new BadAnswer('a number is none, or too large');
    return value;
  }

  #bigNumber(from: number, to: number, max: bigint): bigint {
    const small = parseDecimal(this.#line, from, to, Number.MAX_SAFE_INTEGER);
    if (small >= 0) return BigInt(small);
    const text = String.fromCharCode(...this.#line.subarray(from, to));
    if (!/^\d{1,32}$/.test(text) || BigInt(text) > max) throw new BadAnswer('a number is none, or too large');
    return BigInt(text);
  }

  #allowedIp(from: number, to: number): AllowedIp {
    let slash = from;
    while (slash < to && this.#line[slash] !== SLASH) slash++;
    const length = parseAddress(this.#line, from, slash, scratch);
    const cidr = length === 0 ? -1 : parseDecimal(this.#line, slash + 1, to, length * 8);
    if (cidr < 0) throw new BadAnswer('an allowed IP is none');
    return { address: this.#copy(length), cidr };
  }

  /** `1.2.3.4:5`, `[2001:db8::1]:5` or `[fe80::1%eth0]:5`. */
  #endpoint(from: number, to: number): UapiEndpoint {
    const line = this.#line;
    const bracketed = line[from] === OPEN;
    let colon = to - 1;
    while (colon > from && line[colon] !== COLON) colon--;
    const port = parseDecimal(line, colon + 1, to, 0xffff);
    const [start, end] = bracketed ? [from + 1, colon - 1] : [from, colon];
    let percent = start;
    while (percent < end && line[percent] !== PERCENT) percent++;
    const length = parseAddress(line, start, percent, scratch);
    if (port < 0 || length !== (bracketed ? 16 : 4) || (bracketed && line[end] !== CLOSE)) {
      throw new BadAnswer('an endpoint is none');
    }
    const address = this.#copy(length);
    if (percent === end) return { address, port };
    const scope = String.fromCharCode(...line.subarray(percent + 1, end));
    const scopeId = /^\d+$/.test(scope) ? Number(scope) : (this.#resolveScope(scope) ?? 0);
    return { address, port, scope, scopeId };
  }

  #copy(length: number): Uint8Array {
    const copy = this.#slab.take(length);
    copy.set(scratch.subarray(0, length));
    return copy;
  }
}

function newPeer(publicKey: Uint8Array): PeerDraft {
  return {
    publicKey,
    presharedKey: secretView(new Uint8Array(32)),
    persistentKeepaliveInterval: 0,
    lastHandshake: { seconds: 0n, nanoseconds: 0 },
    rxBytes: 0n,
    txBytes: 0n,
    allowedIps: [],
  };
}
