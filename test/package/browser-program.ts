/** Runs in a browser: two devices, a handshake and data both ways, and a file read. Writes what came of it into the page. */
import { createPacketDevice, type PacketDevice, SecretKey } from '../../src/api/core.js';
import { parseQuickConfig } from '../../src/config/index.js';

const keys = [SecretKey.generatePrivateKey(), SecretKey.generatePrivateKey()] as const;
const received: number[][] = [[], []];
const handshakes: string[] = [];

function createSide(self: 0 | 1): PacketDevice {
  const other = self === 0 ? 1 : 0;
  const device = createPacketDevice({
    config: `[Interface]
PrivateKey = ${keys[self].toBase64()}
[Peer]
PublicKey = ${keys[other].publicKey()}
Endpoint = 192.0.2.${other + 1}:1
AllowedIPs = 10.0.0.${other + 1}/32
`,
    onDatagram: (datagram) => devices[other].receiveDatagram(datagram, { address: `192.0.2.${self + 1}`, port: 1 }),
    onPacket: (packet) => received[self]?.push(packet.reduce((sum, byte) => sum + byte, 0)),
  });
  device.on('handshake', ({ publicKey }) => handshakes.push(publicKey));
  return device;
}

const devices = [createSide(0), createSide(1)] as const;

/** An IPv4 packet of 1300 bytes. */
function packet(from: number, to: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(1300).fill(fill);
  bytes.set([0x45, 0, 1300 >> 8, 1300 & 255, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
  return bytes;
}

for (let i = 0; i < 20; i++) {
  devices[0].sendPacket(packet(1, 2, i));
  devices[1].sendPacket(packet(2, 1, i));
}
const { document, navigator } = globalThis as unknown as {
  readonly document: { readonly body: { textContent: string } };
  readonly navigator: { readonly userAgent: string };
};
const expected = Array.from({ length: 20 }, (_, i) => packet(1, 2, i).reduce((sum, byte) => sum + byte, 0));
document.body.textContent = JSON.stringify({
  agent: navigator.userAgent,
  hasProcess: 'process' in globalThis,
  areSame: received.every((sums) => sums.join() === expected.join()),
  handshakes:
    handshakes.sort().join() ===
    keys
      .map((key) => key.publicKey())
      .sort()
      .join(),
  drops: devices.map((device) => device.statusSync().drops),
  address: parseQuickConfig('[Interface]\nAddress = fd00::1/64\n').quick.addresses[0]?.text,
  key: `${keys[0]}`,
});
