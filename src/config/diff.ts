/**
 * What has to change so that a device has what a configuration has, and nothing more: `wg syncconf`.
 * A peer that is the same on both sides is not touched, so its session goes on.
 */
import type { AllowedIp, DeviceChange, InterfaceStatus, PeerChange, PeerStatus } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { changeOfPeer } from './change.js';
import type { PeerConfig, WireGuardConfig } from './types.js';

export interface CurrentConfig extends InterfaceStatus {
  readonly peers: Iterable<Omit<PeerStatus, 'lastHandshakeTimeMs' | 'rxBytes' | 'txBytes'>>;
}

type CurrentPeer = CurrentConfig['peers'] extends Iterable<infer T> ? T : never;

/** Bytes as the key of a map. Public ones only: strings cannot be wiped. */
const idOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const idOfPrefix = ({ address, cidr }: AllowedIp): string => String.fromCharCode(...address, cidr);
const NO_KEY: Uint8Array = new Uint8Array(32);

/**
 * @param config what the device is to have; what it lacks is reset, as `wg setconf` does
 * @param current what the device has
 * @returns the difference. Keys and addresses in it are those of `config`.
 */
export function diffConfig(config: WireGuardConfig, current: CurrentConfig): DeviceChange {
  const { listenPort = 0, fwmark = 0, privateKey = NO_KEY } = config;
  const present = new Map<string, CurrentPeer>();
  for (const peer of current.peers) present.set(idOf(peer.publicKey), peer);
  const merger = new Merger(present);
  for (const peer of config.peers) merger.add(peer);
  const { peers: wanted, owners } = merger;
  const peers: PeerChange[] = [];
  for (const [id, { publicKey }] of present) if (!wanted.has(id)) peers.push({ publicKey, remove: true });
  for (const [id, peer] of wanted) {
    const before = present.get(id);
    const change = before === undefined ? newPeer(id, peer, owners) : differenceOf(id, peer, before, owners);
    if (change !== undefined) peers.push(change);
  }
  return {
    ...(!sameKey(privateKey, current.privateKey ?? NO_KEY) && { privateKey }),
    ...(listenPort !== current.listenPort && { listenPort }),
    ...(fwmark !== current.fwmark && { fwmark }),
    ...(peers.length > 0 && { peers }),
  };
}

/** A peer as all its sections together want it. */
interface Wanted {
  publicKey: Uint8Array;
  presharedKey: Uint8Array;
  endpoint: Endpoint | undefined;
  persistentKeepaliveInterval: number;
  prefixes: Map<string, AllowedIp>;
}

/** What the sections of a file come to when they are carried out one after the other. */
class Merger {
  readonly peers: Map<string, Wanted> = new Map();
  /** For each prefix the peer that has it in the end: the last one that claims it. */
  readonly owners: Map<string, string> = new Map();
  readonly #present: ReadonlyMap<string, CurrentPeer>;

  constructor(present: ReadonlyMap<string, CurrentPeer>) {
    this.#present = present;
  }

  add(peer: PeerConfig): void {
    const id = idOf(peer.publicKey);
    const merged = this.peers.get(id) ?? this.#first(id, peer);
    const change = changeOfPeer(peer);
    merged.presharedKey = change.presharedKey ?? merged.presharedKey;
    merged.endpoint = change.endpoint ?? merged.endpoint;
    merged.persistentKeepaliveInterval = change.persistentKeepaliveInterval ?? merged.persistentKeepaliveInterval;
    if (change.replaceAllowedIps) {
      for (const prefix of merged.prefixes.keys()) this.#release(prefix, id);
      merged.prefixes.clear();
    }
    for (const ip of change.allowedIps ?? []) {
      const prefix = idOfPrefix(ip);
      if (ip.remove) {
        this.#release(prefix, id);
        merged.prefixes.delete(prefix);
      } else {
        this.owners.set(prefix, id);
        merged.prefixes.set(prefix, ip);
      }
    }
  }

  #first(id: string, peer: PeerConfig): Wanted {
    const merged: Wanted = {
      publicKey: peer.publicKey,
      presharedKey: NO_KEY,
      endpoint: undefined,
      persistentKeepaliveInterval: 0,
      prefixes: new Map(),
    };
    this.peers.set(id, merged);
    for (const ip of (peer.incremental && this.#present.get(id)?.allowedIps) || []) {
      const prefix = idOfPrefix(ip);
      merged.prefixes.set(prefix, ip);
      if (!this.owners.has(prefix)) this.owners.set(prefix, id);
    }
    return merged;
  }

  #release(prefix: string, id: string): void {
    if (this.owners.get(prefix) === id) this.owners.delete(prefix);
  }
}

function ownPrefixes(id: string, peer: Wanted, owners: ReadonlyMap<string, string>): AllowedIp[] {
  const own: AllowedIp[] = [];
  for (const [prefix, { address, cidr }] of peer.prefixes) if (owners.get(prefix) === id) own.push({ address, cidr });
  return own;
}

function newPeer(id: string, peer: Wanted, owners: ReadonlyMap<string, string>): PeerChange {
  return {
    publicKey: peer.publicKey,
    presharedKey: peer.presharedKey,
    ...(peer.endpoint !== undefined && { endpoint: peer.endpoint }),
    persistentKeepaliveInterval: peer.persistentKeepaliveInterval,
    replaceAllowedIps: true,
    allowedIps: ownPrefixes(id, peer, owners),
  };
}

function differenceOf(
  id: string,
  peer: Wanted,
  current: CurrentPeer,
  owners: ReadonlyMap<string, string>,
): PeerChange | undefined {
  const { endpoint, presharedKey, persistentKeepaliveInterval } = peer;
  const change = {
    ...(!sameBytes(presharedKey, current.presharedKey) && { presharedKey }),
    ...(endpoint !== undefined && !sameEndpoint(endpoint, current.endpoint) && { endpoint }),
    ...(persistentKeepaliveInterval !== current.persistentKeepaliveInterval && { persistentKeepaliveInterval }),
    ...prefixDifference(id, peer, current, owners),
  };
  return Object.keys(change).length === 0 ? undefined : { publicKey: peer.publicKey, ...change };
}

function prefixDifference(
  id: string,
  peer: Wanted,
  current: CurrentPeer,
  owners: ReadonlyMap<string, string>,
): Pick<PeerChange, 'allowedIps' | 'replaceAllowedIps'> {
  const own = ownPrefixes(id, peer, owners);
  const present = new Set<string>();
  for (const ip of current.allowedIps) {
    const prefix = idOfPrefix(ip);
    present.add(prefix);
    // A prefix that another peer claims leaves this one by itself. One that nobody wants has to be taken: the
    // list as a whole, since not every implementation takes single ones.
    if (!owners.has(prefix)) return { replaceAllowedIps: true, allowedIps: own };
  }
  const missing = own.filter((ip) => !present.has(idOfPrefix(ip)));
  return missing.length === 0 ? {} : { allowedIps: missing };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let unlike = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) unlike |= a[i]! ^ (b[i] ?? 0);
  return unlike === 0;
}

/** A device holds and shows a private key clamped (RFC 7748, section 5); zeros are none. */
function sameKey(file: Uint8Array, device: Uint8Array): boolean {
  if (sameBytes(file, device)) return true;
  if (sameBytes(file, NO_KEY)) return false;
  const clamped = file.slice();
  clamped[0]! &= 248;
  clamped[31] = (clamped[31]! & 127) | 64;
  const same = sameBytes(clamped, device);
  clamped.fill(0);
  return same;
}

function sameEndpoint(a: Endpoint, b: Endpoint | undefined): boolean {
  return (
    b !== undefined && a.port === b.port && (a.scopeId ?? 0) === (b.scopeId ?? 0) && sameBytes(a.address, b.address)
  );
}
