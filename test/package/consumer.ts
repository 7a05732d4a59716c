/** A program of somebody who uses the package. Compiled and run by consumer.test.ts in a project of its own. */
export const PROGRAM = `
import { once } from 'node:events';
import { createHostDevice, SecretKey, TypetunError, type DeviceStatus } from 'typetun';
import { createPacketDevice, type PacketDevice } from 'typetun/core';
import { parseQuickConfig, printConfig, type WgQuickConfig } from 'typetun/config';
import { getDevice, UapiClientError, type UapiDevice } from 'typetun/uapi';

// Two devices, a handshake and a packet.
const keys = [SecretKey.generatePrivateKey(), SecretKey.generatePrivateKey()] as const;
const packets: Uint8Array[] = [];
const devices: PacketDevice[] = [0, 1].map((self) => {
  const other = 1 - self;
  return createPacketDevice({
    config: {
      privateKey: keys[self as 0 | 1],
      peers: [{ publicKey: keys[other as 0 | 1].publicKey(), endpoint: '192.0.2.1:1', allowedIps: ['10.0.0.' + other] }],
    },
    onDatagram: (datagram, to) => devices[other]!.receiveDatagram(datagram, to),
    onPacket: (packet) => packets.push(packet),
  });
});
const packet = new Uint8Array(40);
packet.set([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 0, 10, 0, 0, 1]);
devices[0]!.sendPacket(packet);

// A file, read and written.
const file: WgQuickConfig = parseQuickConfig('[Interface]\\nAddress = 10.0.0.1/24\\nListenPort = 7\\n');
const printed: string = new TextDecoder().decode(printConfig(file));

// A device that is not there.
let code = '';
try {
  await getDevice('no-such-device');
} catch (error) {
  if (error instanceof UapiClientError) code = error.code;
}

// A device of this host, seen by the UAPI.
let port = -1;
let refused = '';
const name = process.argv[2];
if (name !== undefined) {
  await using device = await createHostDevice({ name, config: { privateKey: keys[0], listenPort: 51999 } });
  const seen: UapiDevice = await getDevice(name);
  const status: DeviceStatus = await device.status();
  port = seen.listenPort === status.listenPort ? status.listenPort : -2;
  seen.wipe();
  const closed = once(device, 'close');
  try {
    await device.configure({ listenPort: 99999 });
  } catch (error) {
    if (error instanceof TypetunError) refused = error.code;
  }
  await device.close();
  await closed;
}
console.log(JSON.stringify({
  node: process.versions.node.split('.')[0],
  packets: packets.map((bytes) => bytes.length),
  addresses: file.quick.addresses.map(({ text }) => text),
  printed, code, port, refused,
  key: String(keys[0]),
}));
`;

/** What needs no Node.js, for a compiler that knows only a browser's types. */
export const BROWSER_PROGRAM = `
import { createPacketDevice, SecretKey, type WireGuardDevice } from 'typetun/core';
import { ConfigError, parseConfig } from 'typetun/config';

const device: WireGuardDevice = createPacketDevice({
  config: { privateKey: SecretKey.generatePrivateKey() },
  onDatagram: (datagram, to) => new WebSocket('wss://' + to.address).send(datagram.slice()),
  onPacket: (packet) => document.body.append(String(packet.length)),
});
device.on('handshake', ({ publicKey }) => document.body.append(publicKey.toUpperCase()));
try {
  parseConfig('[Peer]').wipe();
} catch (error) {
  if (error instanceof ConfigError) document.body.append(error.code, String(error.line));
}
// @ts-expect-error: a misspelt property
void device.configure({ listenport: 1 });
await device.close();
`;

/** `fetch` of this Node.js, through a tunnel between two rootless devices. @param undici its package here */
export const fetchProgram = (undici: string): string => `
import { createServer } from 'node:http';
import { createRootlessDevice, SecretKey } from 'typetun';
import { Agent } from '${undici}';

const keys = { server: SecretKey.generatePrivateKey(), client: SecretKey.generatePrivateKey() };
await using server = await createRootlessDevice({
  addresses: ['10.0.0.1/24'],
  config: { privateKey: keys.server, peers: [{ publicKey: keys.client.publicKey(), allowedIps: ['10.0.0.2'] }] },
});
const { listenPort } = await server.status();
await using client = await createRootlessDevice({
  addresses: ['10.0.0.2/24'],
  config: {
    privateKey: keys.client,
    peers: [{ publicKey: keys.server.publicKey(), endpoint: \`127.0.0.1:\${listenPort}\`, allowedIps: ['10.0.0.1'] }],
  },
});
const http = createServer((request, response) => request.pipe(response));
const listener = await server.listen({ port: 80 });
listener.on('connection', (socket) => http.emit('connection', socket));
const dispatcher: Agent = client.createDispatcher(Agent);
const body = 'x'.repeat(1_000_000);
// The compiler's fetch knows one version of undici, and this may be another.
const init: object = { method: 'POST', body, dispatcher };
const response = await fetch('http://10.0.0.1/', init);
const refused = await fetch('http://10.0.0.1:81/', init).catch((error) => error.cause.code);
console.log(process.versions.node.split('.')[0], (await response.text()) === body, refused);
await dispatcher.close();
`;
