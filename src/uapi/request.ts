/** A UAPI `set=1` request, written piece by piece, so that a change of any size needs little memory. */
import type { DeviceChange, PeerChange } from '../core/change.js';
import { formatAddress } from './address.js';
import { AnswerWriter, formatEndpoint, type ScopeName } from './format.js';

/**
 * @param flush is handed bytes that it must have used when it is done: they hold keys, and are zeroed then
 */
export async function writeSetRequest(
  change: DeviceChange,
  flush: (bytes: Uint8Array) => Promise<void>,
  scopeName?: ScopeName,
): Promise<void> {
  const writer = new AnswerWriter();
  const makeRoom = async (): Promise<void> => {
    await flush(writer.bytes());
    writer.clear();
  };
  try {
    writer.line('set', 1);
    if (change.privateKey !== undefined) writer.hexLine('private_key', change.privateKey);
    if (change.listenPort !== undefined) writer.line('listen_port', change.listenPort);
    if (change.fwmark !== undefined) writer.line('fwmark', change.fwmark);
    if (change.replacePeers) writer.line('replace_peers', 'true');
    for (const peer of change.peers ?? []) {
      if (!writer.hasRoom()) await makeRoom();
      writePeerHead(writer, peer, scopeName);
      for (const { address, cidr, remove } of peer.allowedIps ?? []) {
        if (!writer.hasRoom()) await makeRoom();
        writer.line('allowed_ip', `${remove ? '-' : ''}${formatAddress(address)}/${cidr}`);
      }
    }
    writer.end();
    await flush(writer.bytes());
  } finally {
    writer.clear();
  }
}

function writePeerHead(writer: AnswerWriter, peer: PeerChange, scopeName: ScopeName | undefined): void {
  writer.hexLine('public_key', peer.publicKey);
  if (peer.remove) writer.line('remove', 'true');
  if (peer.updateOnly) writer.line('update_only', 'true');
  if (peer.presharedKey !== undefined) writer.hexLine('preshared_key', peer.presharedKey);
  if (peer.endpoint !== undefined) writer.line('endpoint', formatEndpoint(peer.endpoint, scopeName));
  if (peer.persistentKeepaliveInterval !== undefined) {
    writer.line('persistent_keepalive_interval', peer.persistentKeepaliveInterval);
  }
  if (peer.replaceAllowedIps) writer.line('replace_allowed_ips', 'true');
}
