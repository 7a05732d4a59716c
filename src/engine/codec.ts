/**
 * Changes and peers as bytes, for the way between the threads. Such a message is handed over, not copied:
 * nobody else has the secrets in it, and its reader wipes them. It is read as it is carried out, so that
 * no more than a step of a large change is done between two packets.
 *
 * Integers are little-endian. A `?` is there if its flag says so.
 *
 *     change   u8 flags, privateKey? 32, listenPort? u16, fwmark? u32, peers u32, prefixes u32, the peers
 *     peer     u8 flags, publicKey 32, presharedKey? 32, endpoint?, keepalive? u16, prefixes u32, the prefixes
 *     statuses u32, each of them: u8 1 and the status, or u8 0 where only more prefixes of the last peer follow;
 *              prefixes u32, the prefixes
 *     status   publicKey 32, presharedKey 32, u8 1 and endpoint or u8 0, keepalive u16, last handshake f64,
 *              received f64, sent f64
 *     endpoint u8 4 or 16, the address, port u16, scope u32
 *     prefix   u8 4 or 16 (20 or 32 to take it away), u8 length, the address
 */
import type {
  AllowedIp,
  AllowedIpChange,
  DeviceChange,
  PeerChange,
  PeerHead,
  PeerStatus,
  StreamedChange,
  StreamedPeerChange,
  StreamedPeerStatus,
} from '../core/change.js';
import type { Device } from '../core/device.js';
import type { Endpoint } from '../core/endpoint.js';

const DEVICE = { privateKey: 1, listenPort: 2, fwmark: 4, replacePeers: 8 } as const;
const PEER = { remove: 1, updateOnly: 2, presharedKey: 4, endpoint: 8, keepalive: 16, replaceAllowedIps: 32 } as const;
const TAKE_AWAY = 16;
const KEY_SIZE = 32;
/** Room that one step needs at most: a peer without its prefixes. */
const STEP = 256;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  length = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Makes sure that a step fits. What it leaves behind, it wipes. */
  reserve(): void {
    if (this.length + STEP <= this.#bytes.length) return;
    const old = this.#bytes;
    this.#bytes = new Uint8Array(old.length * 2);
    this.#bytes.set(old);
    old.fill(0);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    this.#view.setUint8(this.length++, value);
  }

  u16(value: number): void {
    this.#view.setUint16(this.length, value, true);
    this.length += 2;
  }

  u32(value: number): void {
    this.setU32(this.length, value);
    this.length += 4;
  }

  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  f64(value: number): void {
    this.#view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  bytes(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) this.#bytes[this.length++] = bytes[i]!;
  }

  endpoint(endpoint: Endpoint): void {
    this.u8(endpoint.address.length);
    this.bytes(endpoint.address);
    this.u16(endpoint.port);
    this.u32(endpoint.scopeId ?? 0);
  }

  prefix(address: Uint8Array, cidr: number, takeAway = false): void {
    this.reserve();
    this.u8(address.length + (takeAway ? TAKE_AWAY : 0));
    this.u8(cidr);
    this.bytes(address);
  }

  /** All that was written; the writer is done. */
  finish(): ArrayBuffer {
    return this.#bytes.buffer;
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(message: ArrayBuffer) {
    this.#bytes = new Uint8Array(message);
    this.#view = new DataView(message);
  }

  u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2, true);
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  f64(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  /** A view of the message. */
  bytes(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  endpoint(): Endpoint {
    const address = this.bytes(this.u8());
    return { address, port: this.u16(), scopeId: this.u32() };
  }

  prefix(): AllowedIpChange {
    const kind = this.u8();
    const remove = kind === TAKE_AWAY + 4 || kind === TAKE_AWAY + 16;
    const cidr = this.u8();
    const address = this.bytes(remove ? kind - TAKE_AWAY : kind);
    return remove ? { address, cidr, remove } : { address, cidr };
  }
}

export function encodeChange(change: DeviceChange): ArrayBuffer {
  const writer = new Writer(4096);
  const { privateKey, listenPort, fwmark, replacePeers, peers = [] } = change;
  writer.u8(
    (privateKey ? DEVICE.privateKey : 0) |
      (listenPort !== undefined ? DEVICE.listenPort : 0) |
      (fwmark !== undefined ? DEVICE.fwmark : 0) |
      (replacePeers ? DEVICE.replacePeers : 0),
  );
  if (privateKey) writer.bytes(privateKey);
  if (listenPort !== undefined) writer.u16(listenPort);
  if (fwmark !== undefined) writer.u32(fwmark);
  writer.u32(peers.length);
  writer.u32(peers.reduce((sum, peer) => sum + (peer.allowedIps?.length ?? 0), 0));
  for (const peer of peers) encodePeer(writer, peer);
  return writer.finish();
}

function encodePeer(writer: Writer, peer: PeerChange): void {
  const { presharedKey, endpoint, persistentKeepaliveInterval: keepalive, allowedIps = [] } = peer;
  writer.reserve();
  writer.u8(
    (peer.remove ? PEER.remove : 0) |
      (peer.updateOnly ? PEER.updateOnly : 0) |
      (presharedKey ? PEER.presharedKey : 0) |
      (endpoint ? PEER.endpoint : 0) |
      (keepalive !== undefined ? PEER.keepalive : 0) |
      (peer.replaceAllowedIps ? PEER.replaceAllowedIps : 0),
  );
  writer.bytes(peer.publicKey);
  if (presharedKey) writer.bytes(presharedKey);
  if (endpoint) writer.endpoint(endpoint);
  if (keepalive !== undefined) writer.u16(keepalive);
  writer.u32(allowedIps.length);
  for (const { address, cidr, remove } of allowedIps) writer.prefix(address, cidr, remove);
}

export interface DecodedChange {
  /** Its keys and addresses are views of the message, its peers are read as they are asked for, once. */
  readonly change: StreamedChange;
  readonly peers: number;
  readonly prefixes: number;
}

export function decodeChange(message: ArrayBuffer): DecodedChange {
  const reader = new Reader(message);
  const flags = reader.u8();
  const change: StreamedChange = {
    ...(flags & DEVICE.privateKey && { privateKey: reader.bytes(KEY_SIZE) }),
    ...(flags & DEVICE.listenPort && { listenPort: reader.u16() }),
    ...(flags & DEVICE.fwmark && { fwmark: reader.u32() }),
    replacePeers: (flags & DEVICE.replacePeers) !== 0,
  };
  const peers = reader.u32();
  const prefixes = reader.u32();
  return { change: { ...change, peers: decodePeers(reader, peers) }, peers, prefixes };
}

function* decodePeers(reader: Reader, count: number): Generator<StreamedPeerChange> {
  for (let i = 0; i < count; i++) {
    const flags = reader.u8();
    // Without a spread: V8 gives few shapes to what is made so, and the core reads it several times as fast.
    const peer: Mutable<StreamedPeerChange> = {
      publicKey: reader.bytes(KEY_SIZE),
      remove: (flags & PEER.remove) !== 0,
      updateOnly: (flags & PEER.updateOnly) !== 0,
      replaceAllowedIps: (flags & PEER.replaceAllowedIps) !== 0,
    };
    if ((flags & PEER.presharedKey) !== 0) peer.presharedKey = reader.bytes(KEY_SIZE);
    if ((flags & PEER.endpoint) !== 0) peer.endpoint = reader.endpoint();
    if ((flags & PEER.keepalive) !== 0) peer.persistentKeepaliveInterval = reader.u16();
    const allowedIps = decodePrefixes(reader, reader.u32());
    peer.allowedIps = allowedIps;
    yield peer;
    // Whatever nobody wanted to know stands before the next peer.
    while (!allowedIps.next().done);
  }
}

function* decodePrefixes(reader: Reader, count: number): Generator<AllowedIpChange> {
  for (let i = 0; i < count; i++) yield reader.prefix();
}

/** Writes the peers of a device into messages of a bounded size; one peer's prefixes may take several. */
export class StatusEncoder {
  readonly #peers: Generator<StreamedPeerStatus>;
  /** What is left of the peer begun last. */
  #prefixes: Iterator<AllowedIp> | undefined;

  constructor(device: Device) {
    this.#peers = device.readPeers();
  }

  /**
   * @param peers in a message at most, and no more once there are `bytes`
   * @returns undefined at the end
   */
  next(peers: number, bytes: number): ArrayBuffer | undefined {
    const writer = new Writer(bytes);
    writer.u32(0);
    let count = 0;
    for (; count < peers && writer.length + 2 * STEP <= bytes; count++) {
      if (this.#prefixes) writer.u8(0);
      else {
        const peer = this.#peers.next().value as StreamedPeerStatus | undefined;
        if (!peer) break;
        writer.u8(1);
        encodeHead(writer, peer);
        this.#prefixes = peer.allowedIps;
      }
      this.#encodePrefixes(writer, bytes);
    }
    if (count === 0) return undefined;
    writer.setU32(0, count);
    return writer.finish();
  }

  #encodePrefixes(writer: Writer, bytes: number): void {
    const at = writer.length;
    writer.u32(0);
    for (let prefixes = 0; writer.length + STEP <= bytes; prefixes++) {
      const next = this.#prefixes!.next();
      if (next.done) {
        this.#prefixes = undefined;
        return;
      }
      writer.prefix(next.value.address, next.value.cidr);
      writer.setU32(at, prefixes + 1);
    }
  }
}

function encodeHead(writer: Writer, peer: PeerHead): void {
  writer.reserve();
  writer.bytes(peer.publicKey);
  writer.bytes(peer.presharedKey);
  peer.presharedKey.fill(0);
  writer.u8(peer.endpoint ? 1 : 0);
  if (peer.endpoint) writer.endpoint(peer.endpoint);
  writer.u16(peer.persistentKeepaliveInterval);
  writer.f64(peer.lastHandshakeTimeMs);
  writer.f64(peer.rxBytes);
  writer.f64(peer.txBytes);
}

/**
 * @param last the peer at the end of the message before: more prefixes of it may follow, and are put to it
 * @returns the peers that begin here; their keys and addresses are views of the message: who wipes them wipes it
 */
export function decodeStatus(message: ArrayBuffer, last?: PeerStatus): PeerStatus[] {
  const reader = new Reader(message);
  const peers: PeerStatus[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    if (reader.u8() === 1) peers.push(decodeHead(reader));
    const allowedIps = (peers.at(-1) ?? last)?.allowedIps as AllowedIp[];
    for (let prefixes = reader.u32(); prefixes > 0; prefixes--) allowedIps.push(reader.prefix());
  }
  return peers;
}

function decodeHead(reader: Reader): PeerStatus {
  const publicKey = reader.bytes(KEY_SIZE);
  const presharedKey = reader.bytes(KEY_SIZE);
  const endpoint = reader.u8() === 1 ? reader.endpoint() : undefined;
  const status = {
    publicKey,
    presharedKey,
    persistentKeepaliveInterval: reader.u16(),
    lastHandshakeTimeMs: reader.f64(),
    rxBytes: reader.f64(),
    txBytes: reader.f64(),
    allowedIps: [],
  };
  return endpoint ? Object.assign(status, { endpoint }) : status;
}
