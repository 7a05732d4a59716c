/**
 * `typetun/core`: two devices in one process, without Linux, root, sockets or native code, joined by function calls.
 *
 *   npm ci && npm run build && node dist/examples/core.js
 */
import { createPacketDevice, SecretKey } from 'typetun/core';

const alice = SecretKey.generatePrivateKey();
const bob = SecretKey.generatePrivateKey();

// Any transport that carries datagrams will do: UDP, a WebSocket, WebRTC, a queue. Here it is a call.
const atAlice = createPacketDevice({
  config: {
    privateKey: alice,
    peers: [{ publicKey: bob.publicKey(), endpoint: '192.0.2.2:51820', allowedIps: ['10.0.0.2'] }],
  },
  onDatagram: (datagram) => atBob.receiveDatagram(datagram, { address: '192.0.2.1', port: 51820 }),
  onPacket: (packet) => console.log(`alice got ${packet.length} bytes`),
});
const atBob = createPacketDevice({
  config: { privateKey: bob, peers: [{ publicKey: alice.publicKey(), allowedIps: ['10.0.0.1'] }] },
  onDatagram: (datagram) => atAlice.receiveDatagram(datagram, { address: '192.0.2.2', port: 51820 }),
  onPacket: (packet) => console.log(`bob got ${packet.length} bytes from 10.0.0.${packet[15]}`),
});
atAlice.on('handshake', () => console.log('alice: a session is up'));
atBob.on('handshake', () => console.log('bob: a session is up'));

/** An IPv4 packet of 100 bytes. */
function packet(from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(100);
  bytes.set([0x45, 0, 0, 100, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
  return bytes;
}

// The first packet waits for the handshake that it causes; nobody has to ask for one.
atAlice.sendPacket(packet(1, 2));
atBob.sendPacket(packet(2, 1));
// A source that bob did not allow alice is dropped, and counted.
atAlice.sendPacket(packet(9, 2));

const [peer] = atBob.statusSync().peers;
console.log(`bob received ${peer?.rxBytes} bytes from ${peer?.endpoint}, and dropped`, atBob.statusSync().drops);
await atAlice.close();
await atBob.close();
