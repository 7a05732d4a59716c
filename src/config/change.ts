/** From a configuration to what a device is to be told. */
import type { DeviceChange, PeerChange } from '../core/change.js';
import type { PeerConfig, WireGuardConfig } from './types.js';

const NO_KEY: Uint8Array = new Uint8Array(32);

/** As `wg addconf`: what the configuration has is set, and the rest stays. */
export function changeToAdd(config: WireGuardConfig): DeviceChange {
  const { privateKey, listenPort, fwmark } = config;
  return {
    ...(privateKey !== undefined && { privateKey }),
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
    peers: config.peers.map(changeOfPeer),
  };
}

/** As `wg setconf`: the device has what the configuration has, and nothing else. */
export function changeToSet(config: WireGuardConfig): DeviceChange {
  const { privateKey = NO_KEY, listenPort = 0, fwmark = 0 } = config;
  return { privateKey, listenPort, fwmark, replacePeers: true, peers: config.peers.map(changeOfPeer) };
}

/** @throws TypeError when its endpoint is a name that nobody has resolved */
export function changeOfPeer(peer: PeerConfig): PeerChange {
  const { publicKey, presharedKey, endpoint, persistentKeepaliveInterval, allowedIps } = peer;
  if (peer.remove) return { publicKey, remove: true };
  if (endpoint !== undefined && endpoint.resolved === undefined) {
    throw new TypeError(`The endpoint ${endpoint.text} is not resolved`);
  }
  return {
    publicKey,
    ...(presharedKey !== undefined && { presharedKey }),
    ...(endpoint?.resolved !== undefined && { endpoint: endpoint.resolved }),
    ...(persistentKeepaliveInterval !== undefined && { persistentKeepaliveInterval }),
    ...(allowedIps !== undefined && { replaceAllowedIps: !peer.incremental, allowedIps }),
  };
}
