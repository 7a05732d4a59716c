/** What `wg show INTERFACE FIELD` writes for scripts: values with tabs between them, a line for each peer. */
import { displayEndpoint } from '../../config/print.js';
import { type ByteText, isSet } from '../../config/text.js';
import { publicKeyOf } from '../../crypto/public-key.js';
import { displayAddress } from '../../uapi/address.js';
import type { UapiDevice, UapiPeer } from '../../uapi/client.js';
import type { SHOW_FIELDS } from './commands.js';

/** @param prefix in front of each line: nothing, or the interface's name and a tab */
type Write = (text: ByteText, device: UapiDevice, prefix: string) => void;

const none = '(none)';
const publicKey = ({ privateKey }: UapiDevice): Uint8Array | undefined => privateKey && publicKeyOf(privateKey);
const fwmark = ({ fwmark: mark }: UapiDevice): string => (mark === 0 ? 'off' : `0x${mark.toString(16)}`);
const endpoint = (peer: UapiPeer): string => (peer.endpoint === undefined ? none : displayEndpoint(peer.endpoint));
const keepalive = (peer: UapiPeer): string => `${peer.persistentKeepaliveInterval || 'off'}`;
const allowedIps = (peer: UapiPeer, between: string): string =>
  peer.allowedIps.map(({ address, cidr }) => `${displayAddress(address)}/${cidr}`).join(between) || none;

function addKeyOrNone(text: ByteText, key: Uint8Array | undefined): ByteText {
  return key === undefined ? text.add(none) : text.addKey(key);
}

const presharedKey = (text: ByteText, peer: UapiPeer): ByteText =>
  addKeyOrNone(text, isSet(peer.presharedKey) ? peer.presharedKey : undefined);

const ofInterface =
  (write: (text: ByteText, device: UapiDevice) => void): Write =>
  (text, device, prefix) => {
    text.add(prefix);
    write(text, device);
    text.add('\n');
  };

const ofPeers =
  (write: (text: ByteText, peer: UapiPeer) => void): Write =>
  (text, device, prefix) => {
    for (const peer of device.peers) {
      text.add(prefix).addKey(peer.publicKey);
      write(text, peer);
      text.add('\n');
    }
  };

export const FIELDS: Readonly<Record<(typeof SHOW_FIELDS)[number], Write>> = {
  'public-key': ofInterface((text, device) => addKeyOrNone(text, publicKey(device))),
  'private-key': ofInterface((text, device) => addKeyOrNone(text, device.privateKey)),
  'listen-port': ofInterface((text, device) => text.add(`${device.listenPort}`)),
  fwmark: ofInterface((text, device) => text.add(fwmark(device))),
  peers: ofPeers(() => {}),
  'preshared-keys': ofPeers((text, peer) => presharedKey(text.add('\t'), peer)),
  endpoints: ofPeers((text, peer) => text.add(`\t${endpoint(peer)}`)),
  'allowed-ips': ofPeers((text, peer) => text.add(`\t${allowedIps(peer, ' ')}`)),
  'latest-handshakes': ofPeers((text, peer) => text.add(`\t${peer.lastHandshake.seconds}`)),
  transfer: ofPeers((text, peer) => text.add(`\t${peer.rxBytes}\t${peer.txBytes}`)),
  'persistent-keepalive': ofPeers((text, peer) => text.add(`\t${keepalive(peer)}`)),
  dump: (text, device, prefix) => {
    addKeyOrNone(text.add(prefix), device.privateKey);
    addKeyOrNone(text.add('\t'), publicKey(device));
    text.add(`\t${device.listenPort}\t${fwmark(device)}\n`);
    for (const peer of device.peers) {
      presharedKey(text.add(prefix).addKey(peer.publicKey).add('\t'), peer);
      text.add(`\t${endpoint(peer)}\t${allowedIps(peer, ',')}\t${peer.lastHandshake.seconds}`);
      text.add(`\t${peer.rxBytes}\t${peer.txBytes}\t${keepalive(peer)}\n`);
    }
  },
};
