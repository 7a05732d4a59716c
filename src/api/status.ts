/** From the core's state and events to what a user sees. */
import type { PeerStatus as CorePeerStatus, DropCounts, InterfaceStatus } from '../core/change.js';
import type { DeviceEvent } from '../core/device.js';
import { formatAddress } from '../uapi/address.js';
import { formatEndpoint, type ScopeName } from '../uapi/format.js';
import { keyText, SecretKey } from './keys.js';
import type { DeviceEvents, DeviceStatus, PeerStatus } from './types.js';

/** Takes the key out of it, and wipes it there. */
export function deviceStatus(
  { privateKey, listenPort, fwmark, drops }: InterfaceStatus & { readonly drops: DropCounts },
  peers: readonly PeerStatus[],
): DeviceStatus {
  const key = privateKey && new SecretKey(privateKey);
  privateKey?.fill(0);
  return { ...(key && { privateKey: key, publicKey: key.publicKey() }), listenPort, fwmark, peers, drops };
}

/** Takes the preshared key out of it, and wipes it there. */
export function peerStatus(peer: CorePeerStatus, scopeName?: ScopeName): PeerStatus {
  const { publicKey, presharedKey, endpoint, allowedIps, ...rest } = peer;
  const psk = presharedKey.some((byte) => byte !== 0) && new SecretKey(presharedKey);
  presharedKey.fill(0);
  return {
    publicKey: keyText(publicKey),
    ...(psk && { presharedKey: psk }),
    ...(endpoint && { endpoint: formatEndpoint(endpoint, scopeName) }),
    allowedIps: allowedIps.map(({ address, cidr }) => `${formatAddress(address)}/${cidr}`),
    ...rest,
    protocolVersion: 1,
  };
}

type Emit = <Name extends keyof DeviceEvents>(name: Name, ...args: DeviceEvents[Name]) => void;

/** Emits an event of the core as the event of a device that it is. */
export function tellEvent(event: DeviceEvent, emit: Emit, scopeName?: ScopeName): void {
  switch (event.type) {
    case 'handshake-complete':
      return emit('handshake', { publicKey: keyText(event.peer) });
    case 'handshake-gave-up':
      return emit('peerSilent', { publicKey: keyText(event.peer), flushedPackets: event.flushed });
    case 'endpoint-changed':
      if (event.endpoint === undefined) return;
      return emit('endpointChanged', {
        publicKey: keyText(event.peer),
        endpoint: formatEndpoint(event.endpoint, scopeName),
      });
    case 'prefix-moved': {
      const allowedIp = `${formatAddress(event.prefix.address)}/${event.prefix.cidr}`;
      return emit('allowedIpMoved', { allowedIp, from: keyText(event.from), to: keyText(event.to) });
    }
  }
}
