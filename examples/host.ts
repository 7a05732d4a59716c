/**
 * `typetun` as root: an interface of this host, seen by `wg` as well, until Ctrl-C.
 *
 *   npm ci && npm run build && sudo node dist/examples/host.js wg0
 */
import { once } from 'node:events';
import { createHostDevice, SecretKey, TypetunError } from 'typetun';

const [name = 'wg0', seconds] = process.argv.slice(2);
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
// For a look at it: `host.js wg0 2` ends by itself.
if (seconds !== undefined) setTimeout(() => interrupted.abort(), Number(seconds) * 1000);

try {
  await using device = await createHostDevice({
    name,
    addresses: ['10.66.0.1/24', 'fd66::1/64'],
    config: { privateKey: SecretKey.generatePrivateKey() },
    signal: interrupted.signal,
  });
  device.on('handshake', ({ publicKey }) => console.log(`${publicKey} is there`));
  device.on('endpointChanged', ({ publicKey, endpoint }) => console.log(`${publicKey} is at ${endpoint}`));
  device.on('peerSilent', ({ publicKey }) => console.log(`${publicKey} does not answer`));

  const peer = SecretKey.generatePrivateKey();
  await device.configure({ peers: [{ publicKey: peer.publicKey(), allowedIps: ['10.66.0.2', 'fd66::2'] }] });
  const { publicKey, listenPort, peers } = await device.status();
  console.log(`${device.name} is up: public key ${publicKey}, port ${listenPort}, ${peers.length} peer`);
  await once(device, 'close');
  console.log('closed');
} catch (error) {
  if (!(error instanceof TypetunError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
