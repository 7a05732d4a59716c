/**
 * `typetun/config`: a wg-quick(8) file read, changed, written and compared. Nothing is touched but bytes.
 *
 *   npm ci && npm run build && node dist/examples/config.js
 */
import { ConfigError, changeToAdd, parseQuickConfig, printConfig } from 'typetun/config';

const file = new TextEncoder().encode(`[Interface]
PrivateKey = MKMFaItESy/k/2+ENAu58PAoF7kh1utsK/AJNktLsm0=
Address = 10.0.0.2/24
DNS = 10.0.0.1, example.test

[Peer]
PublicKey = rGGxrlq1f7CooTW0wcu6Lu9pQp8w+bL9THz0ClVa900=
Endpoint = 192.0.2.1:51820
AllowedIPs = 0.0.0.0/0, ::/0
`);

const config = parseQuickConfig(file);
console.log('addresses', config.quick.addresses.map(({ text }) => text).join());
console.log('name servers', config.quick.dns.servers.map(({ text }) => text).join());
console.log('peers', config.peers.length, 'at line', config.peers[0]?.line);

// A peer goes through a NAT: keep it open.
for (const peer of config.peers) peer.persistentKeepaliveInterval = 25;
process.stdout.write(new TextDecoder().decode(printConfig(config)).replace(/(PrivateKey = ).*/, '$1(hidden)'));

// What a device would be told (endpoints with host names have to be looked up first).
for (const peer of config.peers) {
  if (peer.endpoint) peer.endpoint.resolved = { address: Uint8Array.of(192, 0, 2, 1), port: 51820 };
}
console.log('to be told', Object.keys(changeToAdd(config)).join());

// Keys are bytes, and are zeroed when they are no longer needed.
config.wipe();
file.fill(0);

try {
  parseQuickConfig('[Interface]\nListenPort = 70000\n');
} catch (error) {
  if (error instanceof ConfigError) console.log(error.code, 'in line', error.line);
}
