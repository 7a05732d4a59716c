/** A wg-quick(8) file as the options of a device. */

import {
  type PeerConfig as FilePeer,
  parseQuickConfig,
  type QuickConfig,
  type TextValue,
  type WgQuickConfig,
} from '../config/index.js';
import { formatAddress, parseAddress } from '../uapi/address.js';
import { invalid, TypetunError } from './errors.js';
import { SecretKey } from './keys.js';
import type { DeviceConfig, PeerConfig } from './types.js';

/** A configuration: an object, or the text of a wg-quick(8) file. Keys in a string cannot be wiped; bytes can. */
export type ConfigInput = DeviceConfig | string | Uint8Array;

/** Options of devices that a file can say as well. */
export interface FileOptions {
  readonly config?: ConfigInput | undefined;
  readonly addresses?: readonly string[] | undefined;
  /** Bytes. */
  readonly mtu?: number | undefined;
  readonly dns?: { readonly servers: readonly string[]; readonly search?: readonly string[] | undefined } | undefined;
}

export type Settled<Options extends FileOptions> = Omit<Options, 'config'> & {
  readonly config: DeviceConfig;
  /** Zeroes the keys that were read from a file. */
  wipe(): void;
};

/** What of a file a kind of device can do nothing with, by the names in the file; with its line, where that is known. */
export type Unsupported = (quick: QuickConfig) => Readonly<Record<string, { readonly line?: number } | undefined>>;

export const HOOKS: Unsupported = ({ preUp, postUp, preDown, postDown }) => ({
  PreUp: preUp[0],
  PostUp: postUp[0],
  PreDown: preDown[0],
  PostDown: postDown[0],
});

/**
 * Reads the file, if `config` is one. What the options say themselves goes before what it says.
 * @throws ConfigError for a file with a mistake, TypetunError `ERR_UNSUPPORTED` for one that asks for what cannot be had
 */
export function withFile<Options extends FileOptions>(options: Options, unsupported: Unsupported): Settled<Options> {
  if (options === null || typeof options !== 'object') throw invalid('options', 'an object', options);
  const { config = {} } = options;
  if (typeof config !== 'string' && !(config instanceof Uint8Array)) return { ...options, config, wipe: () => {} };
  const file = parseQuickConfig(config);
  try {
    refuse(unsupported(file.quick));
    const { addresses = file.quick.addresses.map(textOf), mtu = file.quick.mtu } = options;
    const { servers, searchDomains } = file.quick.dns;
    const { dns = { servers: servers.map(textOf), search: searchDomains.map(textOf) } } = options;
    const keys = new Keys();
    return { ...options, addresses, mtu, dns, config: configOf(file, keys), wipe: () => keys.wipe() };
  } finally {
    file.wipe();
  }
}

function textOf({ text }: TextValue): string {
  return text;
}

class Keys {
  readonly #keys: SecretKey[] = [];

  add(bytes: Uint8Array): SecretKey {
    const key = new SecretKey(bytes);
    this.#keys.push(key);
    return key;
  }

  wipe(): void {
    for (const key of this.#keys) key.wipe();
  }
}

function refuse(unsupported: ReturnType<Unsupported>): void {
  for (const [key, value] of Object.entries(unsupported)) {
    if (value === undefined) continue;
    const why = 'this kind of device cannot do that: take it out, or use wg-quick';
    const where = value.line === undefined ? '' : `line ${value.line}: `;
    throw new TypetunError('ERR_UNSUPPORTED', `${where}${key}: ${why}`);
  }
}

function configOf({ privateKey, listenPort, fwmark, peers }: WgQuickConfig, keys: Keys): DeviceConfig {
  return {
    ...(privateKey && { privateKey: keys.add(privateKey) }),
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
    peers: peers.map((peer) => peerOf(peer, keys)),
  };
}

function peerOf(peer: FilePeer, keys: Keys): PeerConfig {
  const { publicKey, presharedKey, endpoint, persistentKeepaliveInterval, allowedIps = [] } = peer;
  return {
    publicKey: publicKey.slice(),
    ...(presharedKey && { presharedKey: keys.add(presharedKey) }),
    ...(endpoint && { endpoint: join(endpoint.host, endpoint.port) }),
    ...(persistentKeepaliveInterval !== undefined && { persistentKeepaliveInterval }),
    replaceAllowedIps: true,
    allowedIps: allowedIps.map(({ address, cidr }) => `${formatAddress(address)}/${cidr}`),
  };
}

/** `192.0.2.1:5`, `[2001:db8::1]:5` */
export function join(address: string, port: number | string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const encoder = new TextEncoder();

/** @throws TypetunError for what is not an address with or without a prefix length */
export function checkAddresses(addresses: readonly string[]): void {
  if (!Array.isArray(addresses)) throw invalid('addresses', 'an array', addresses);
  for (const [i, address] of addresses.entries()) {
    const [host = '', cidr = '0', ...more] = String(address).split('/');
    const bytes = encoder.encode(host);
    const bits = parseAddress(bytes, 0, bytes.length, new Uint8Array(16)) * 8;
    if (bits > 0 && more.length === 0 && /^\d{1,3}$/.test(cidr) && Number(cidr) <= bits) continue;
    throw invalid(`addresses[${i}]`, 'an address as 10.0.0.1/24 or fd00::1/64', address);
  }
}
