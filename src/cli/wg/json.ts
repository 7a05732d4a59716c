/**
 * `wg show --json`: not the stock tool's. The schema, version 1, one line:
 *
 *     { "version": 1, "interfaces": [ {
 *         "name": string,
 *         "publicKey": base64 | null,
 *         "privateKey": base64 | "(hidden)" | null,
 *         "listenPort": number,                     0 when there is none
 *         "fwmark": number,                         0 is off
 *         "peers": [ {
 *             "publicKey": base64,
 *             "presharedKey": base64 | "(hidden)" | null,
 *             "endpoint": "192.0.2.1:51820" | null,
 *             "allowedIps": [ "10.0.0.0/8" ],
 *             "latestHandshake": number | null,     seconds since 1970
 *             "rxBytes": number, "txBytes": number, integers of 64 bits
 *             "persistentKeepalive": number         seconds, 0 is off
 *         } ]
 *     } ] }
 *
 * Keys are shown with `WG_HIDE_KEYS=never` only, as in the text for people. Members may be added; a change of one
 * that is there raises the version.
 */
import { displayEndpoint } from '../../config/print.js';
import { type ByteText, isSet } from '../../config/text.js';
import { publicKeyOf } from '../../crypto/public-key.js';
import { displayAddress } from '../../uapi/address.js';
import type { UapiDevice, UapiPeer } from '../../uapi/client.js';

/** @param showKeys private and preshared ones */
export function writeJson(
  text: ByteText,
  devices: readonly (readonly [name: string, device: UapiDevice])[],
  showKeys: boolean,
): void {
  text.add('{"version":1,"interfaces":[');
  for (const [i, [name, device]] of devices.entries()) {
    text.add(`${i > 0 ? ',' : ''}{"name":${JSON.stringify(name)},"publicKey":`);
    addKey(text, device.privateKey && publicKeyOf(device.privateKey), true);
    text.add(',"privateKey":');
    addKey(text, device.privateKey, showKeys);
    text.add(`,"listenPort":${device.listenPort},"fwmark":${device.fwmark},"peers":[`);
    for (const [j, peer] of device.peers.entries()) {
      text.add(j > 0 ? ',' : '');
      writePeer(text, peer, showKeys);
    }
    text.add(']}');
  }
  text.add(']}\n');
}

function writePeer(text: ByteText, peer: UapiPeer, showKeys: boolean): void {
  text.add('{"publicKey":');
  addKey(text, peer.publicKey, true);
  text.add(',"presharedKey":');
  addKey(text, isSet(peer.presharedKey) ? peer.presharedKey : undefined, showKeys);
  const endpoint = peer.endpoint === undefined ? null : displayEndpoint(peer.endpoint);
  const ips = peer.allowedIps.map(({ address, cidr }) => `${displayAddress(address)}/${cidr}`);
  text.add(`,"endpoint":${JSON.stringify(endpoint)},"allowedIps":${JSON.stringify(ips)}`);
  // Numbers of 64 bits: JSON has them, JavaScript's own writer does not.
  text.add(`,"latestHandshake":${peer.lastHandshake.seconds || 'null'},"rxBytes":${peer.rxBytes}`);
  text.add(`,"txBytes":${peer.txBytes},"persistentKeepalive":${peer.persistentKeepaliveInterval}}`);
}

function addKey(text: ByteText, key: Uint8Array | undefined, show: boolean): void {
  if (key === undefined) text.add('null');
  else if (show) text.add('"').addKey(key).add('"');
  else text.add('"(hidden)"');
}
