/**
 * The answer to a UAPI `get=1`, written as bytes in the order that wireguard-go uses. The answer is
 * made piece by piece in one reused buffer, because a device may have 100,000 peers and one peer
 * 100,000 prefixes.
 */
import type { InterfaceStatus, PeerStatus } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { formatAddress } from './address.js';

/** @returns the interface's name, or `undefined` when it has none (any more) */
export type ScopeName = (index: number) => string | undefined;

const HEX = Uint8Array.from('0123456789abcdef', (c) => c.charCodeAt(0));
/** Room that one step needs at most: the head of a peer (about 420 bytes), or the head of the answer. */
const STEP_BYTES = 1024;
const NEWLINE = 0x0a;

/** Lines in a buffer that never grows; whoever writes asks {@link hasRoom} first. */
export class AnswerWriter {
  readonly #buffer: Uint8Array;
  #length = 0;

  /** @param capacity bytes, at least 2048 */
  constructor(capacity = 65536) {
    this.#buffer = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** @returns whether one more step fits; if not, send {@link bytes} and {@link clear} */
  hasRoom(): boolean {
    return this.#length + STEP_BYTES <= this.#buffer.length;
  }

  /** What was written. A view, good until {@link clear}. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Zeroes and empties the buffer: keys were in it. */
  clear(): void {
    this.#buffer.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /** @param value ASCII */
  line(key: string, value: string | number): void {
    this.#text(key);
    this.#buffer[this.#length++] = 0x3d;
    this.#text(String(value));
    this.#buffer[this.#length++] = NEWLINE;
  }

  hexLine(key: string, bytes: Uint8Array): void {
    this.#text(key);
    this.#buffer[this.#length++] = 0x3d;
    for (let i = 0; i < bytes.length; i++) {
      this.#buffer[this.#length++] = HEX[bytes[i]! >>> 4]!;
      this.#buffer[this.#length++] = HEX[bytes[i]! & 15]!;
    }
    this.#buffer[this.#length++] = NEWLINE;
  }

  /** The last line of every answer, and the blank line behind it. */
  errno(errno: number): void {
    this.line('errno', errno);
    this.end();
  }

  /** The blank line that ends a request or an answer. */
  end(): void {
    this.#buffer[this.#length++] = NEWLINE;
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#buffer[this.#length++] = text.charCodeAt(i);
  }
}

/** Everything that is not a peer. What is zero is left out, as in wireguard-go. */
export function writeInterface(writer: AnswerWriter, status: InterfaceStatus): void {
  if (status.privateKey?.some((byte) => byte !== 0)) writer.hexLine('private_key', status.privateKey);
  if (status.listenPort !== 0) writer.line('listen_port', status.listenPort);
  if (status.fwmark !== 0) writer.line('fwmark', status.fwmark);
}

/**
 * Writes as much of a peer as there is room for.
 * @param next 0 to begin, afterwards what the last call returned
 * @returns where to go on once the writer was emptied, or -1 when the peer is complete
 */
export function writePeer(writer: AnswerWriter, peer: PeerStatus, next: number, scopeName?: ScopeName): number {
  if (!writer.hasRoom()) return next;
  if (next === 0) writePeerHead(writer, peer, scopeName);
  for (let i = Math.max(next - 1, 0); i < peer.allowedIps.length; i++) {
    if (!writer.hasRoom()) return i + 1;
    const { address, cidr } = peer.allowedIps[i]!;
    writer.line('allowed_ip', `${formatAddress(address)}/${cidr}`);
  }
  return -1;
}

function writePeerHead(writer: AnswerWriter, peer: PeerStatus, scopeName?: ScopeName): void {
  const seconds = Math.floor(peer.lastHandshakeTimeMs / 1000);
  writer.hexLine('public_key', peer.publicKey);
  writer.hexLine('preshared_key', peer.presharedKey);
  writer.line('protocol_version', 1);
  if (peer.endpoint !== undefined) writer.line('endpoint', formatEndpoint(peer.endpoint, scopeName));
  writer.line('last_handshake_time_sec', seconds);
  writer.line('last_handshake_time_nsec', Math.floor((peer.lastHandshakeTimeMs - seconds * 1000) * 1e6));
  writer.line('tx_bytes', peer.txBytes);
  writer.line('rx_bytes', peer.rxBytes);
  writer.line('persistent_keepalive_interval', peer.persistentKeepaliveInterval);
}

/** `1.2.3.4:5` or `[fe80::1%eth0]:5`; an interface without a name stands as its number. */
export function formatEndpoint(endpoint: Endpoint, scopeName?: ScopeName): string {
  const address = formatAddress(endpoint.address);
  if (endpoint.address.length === 4) return `${address}:${endpoint.port}`;
  const scope = endpoint.scopeId ?? 0;
  return `[${address}${scope === 0 ? '' : `%${scopeName?.(scope) ?? scope}`}]:${endpoint.port}`;
}
