/** Writing a configuration as `wg showconf` does. */
import type { AllowedIp } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { displayAddress } from '../uapi/address.js';
import { encodeKey, KEY_TEXT_BYTES } from './key.js';

export interface PrintablePeer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; all zeros is none. */
  readonly presharedKey?: Uint8Array;
  readonly allowedIps?: readonly AllowedIp[];
  /** As text, or to be written as numbers. */
  readonly endpoint?: string | Endpoint;
  /** Seconds; 0 is off and not written. */
  readonly persistentKeepaliveInterval?: number;
}

export interface PrintableConfig {
  /** 32 bytes. */
  readonly privateKey?: Uint8Array;
  /** 0 is not written. */
  readonly listenPort?: number;
  /** 0 is not written. */
  readonly fwmark?: number;
  readonly peers: Iterable<PrintablePeer>;
}

/** Bytes that grow. What was outgrown is zeroed: keys are in it. */
class Text {
  #bytes = new Uint8Array(4096);
  #length = 0;

  add(ascii: string): void {
    this.#reserve(ascii.length * 3);
    this.#length += new TextEncoder().encodeInto(ascii, this.#bytes.subarray(this.#length)).written;
  }

  key(name: string, key: Uint8Array): void {
    this.add(`${name} = `);
    this.#reserve(KEY_TEXT_BYTES);
    encodeKey(key, this.#bytes, this.#length);
    this.#length += KEY_TEXT_BYTES;
    this.add('\n');
  }

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const more = new Uint8Array((this.#length + bytes) * 2);
    more.set(this.#bytes);
    this.#bytes.fill(0);
    this.#bytes = more;
  }
}

const isSet = (key: Uint8Array | undefined): key is Uint8Array => key?.some((byte) => byte !== 0) ?? false;

/**
 * @param interfaceLines whole lines, each ended by a newline, that are to stand first in `[Interface]`: wg-quick's
 * @returns the file, UTF-8; it holds the private key, so wipe it after use
 */
export function printConfig(config: PrintableConfig, interfaceLines = ''): Uint8Array {
  const text = new Text();
  text.add(`[Interface]\n${interfaceLines}`);
  if (config.listenPort) text.add(`ListenPort = ${config.listenPort}\n`);
  if (config.fwmark) text.add(`FwMark = 0x${config.fwmark.toString(16)}\n`);
  if (isSet(config.privateKey)) text.key('PrivateKey', config.privateKey);
  for (const peer of config.peers) {
    text.add('\n[Peer]\n');
    text.key('PublicKey', peer.publicKey);
    if (isSet(peer.presharedKey)) text.key('PresharedKey', peer.presharedKey);
    printAllowedIps(text, peer.allowedIps ?? []);
    if (peer.endpoint !== undefined) text.add(`Endpoint = ${endpointText(peer.endpoint)}\n`);
    if (peer.persistentKeepaliveInterval) text.add(`PersistentKeepalive = ${peer.persistentKeepaliveInterval}\n`);
  }
  return text.take();
}

function printAllowedIps(text: Text, ips: readonly AllowedIp[]): void {
  for (const [i, { address, cidr }] of ips.entries()) {
    text.add(`${i === 0 ? 'AllowedIPs = ' : ', '}${displayAddress(address)}/${cidr}`);
  }
  if (ips.length > 0) text.add('\n');
}

function endpointText(endpoint: string | Endpoint): string {
  if (typeof endpoint === 'string') return endpoint;
  const address = displayAddress(endpoint.address);
  if (endpoint.address.length === 4) return `${address}:${endpoint.port}`;
  return `[${address}${endpoint.scopeId ? `%${endpoint.scopeId}` : ''}]:${endpoint.port}`;
}
