/** Writing a configuration as `wg showconf` does. */
import type { AllowedIp } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { displayAddress } from '../uapi/address.js';
import { ByteText, isSet } from './text.js';
import type { EndpointText } from './values.js';

export interface PrintablePeer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; all zeros is none. */
  readonly presharedKey?: Uint8Array;
  readonly allowedIps?: readonly AllowedIp[];
  /** As text, as it was read, or to be written as numbers. */
  readonly endpoint?: string | EndpointText | Endpoint;
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

/**
 * @param interfaceLines whole lines, each ended by a newline, that are to stand first in `[Interface]`: wg-quick's
 * @returns the file, UTF-8, without a blank line at its end; it holds the private key, so wipe it after use
 */
export function printConfig(config: PrintableConfig, interfaceLines = ''): Uint8Array {
  const text = new ByteText().add(`[Interface]\n${interfaceLines}`);
  if (config.listenPort) text.add(`ListenPort = ${config.listenPort}\n`);
  if (config.fwmark) text.add(`FwMark = 0x${config.fwmark.toString(16)}\n`);
  if (config.privateKey !== undefined) text.add('PrivateKey = ').addKey(config.privateKey).add('\n');
  for (const peer of config.peers) printPeer(text, peer);
  return text.bytes();
}

function printPeer(text: ByteText, peer: PrintablePeer): void {
  text.add('\n[Peer]\nPublicKey = ').addKey(peer.publicKey).add('\n');
  if (isSet(peer.presharedKey)) text.add('PresharedKey = ').addKey(peer.presharedKey).add('\n');
  for (const [i, { address, cidr }] of (peer.allowedIps ?? []).entries()) {
    text.add(`${i === 0 ? 'AllowedIPs = ' : ', '}${displayAddress(address)}/${cidr}`);
  }
  if (peer.allowedIps?.length) text.add('\n');
  if (peer.endpoint !== undefined) text.add(`Endpoint = ${displayEndpoint(peer.endpoint)}\n`);
  if (peer.persistentKeepaliveInterval) text.add(`PersistentKeepalive = ${peer.persistentKeepaliveInterval}\n`);
}

/**
 * @param endpoint text, which stays as it is, or numbers
 * @returns `192.0.2.1:5` or `[fe80::1%eth0]:5`
 */
export function displayEndpoint(endpoint: string | EndpointText | (Endpoint & { readonly scope?: string })): string {
  if (typeof endpoint === 'string') return endpoint;
  if ('host' in endpoint) {
    const { host, port } = endpoint;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }
  const address = displayAddress(endpoint.address);
  if (endpoint.address.length === 4) return `${address}:${endpoint.port}`;
  const scope = endpoint.scope ?? (endpoint.scopeId || '');
  return `[${address}${scope === '' ? '' : `%${scope}`}]:${endpoint.port}`;
}
