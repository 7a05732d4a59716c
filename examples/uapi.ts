/**
 * `typetun/uapi`: every userspace WireGuard of this machine, whoever made it (wireguard-go as well), and one of them
 * changed. Reading the sockets takes root.
 *
 *   npm ci && npm run build && sudo node dist/examples/uapi.js
 *   sudo node dist/examples/uapi.js wg0 5
 */
import { getDevice, listDevices, setDevice, UapiClientError } from 'typetun/uapi';

const [name, keepalive] = process.argv.slice(2);
const signal = AbortSignal.timeout(5_000);

try {
  if (name !== undefined && keepalive !== undefined) {
    const device = await getDevice(name, { signal });
    // All peers, or none if anything is wrong.
    const peers = device.peers.map(({ publicKey }) => ({
      publicKey,
      updateOnly: true,
      persistentKeepaliveInterval: Number(keepalive),
    }));
    await setDevice(name, { peers }, { signal });
    device.wipe();
  }
  for (const each of await listDevices({ signal })) {
    const device = await getDevice(each, { signal });
    console.log(`${each}: port ${device.listenPort}, ${device.peers.length} peers`);
    for (const { publicKey, persistentKeepaliveInterval, rxBytes, txBytes } of device.peers) {
      const key = Buffer.from(publicKey).toString('base64');
      console.log(`  ${key} received ${rxBytes}, sent ${txBytes}, keepalive ${persistentKeepaliveInterval}`);
    }
    // It holds keys.
    device.wipe();
  }
} catch (error) {
  if (!(error instanceof UapiClientError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
