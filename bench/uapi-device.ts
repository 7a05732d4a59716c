/** A device without peers, on the UAPI socket that the first argument names, until it is ended. */
import { listenUapi } from '../src/uapi/server.js';

await listenUapi({
  name: process.argv[2]!,
  target: {
    configure: async () => 0,
    report: async () => ({ privateKey: new Uint8Array(32).fill(0x48), listenPort: 5, fwmark: 0 }),
    peers: async function* () {},
  },
  log: () => {},
}).then((server) => {
  process.on('SIGTERM', () => void server.close());
  process.stdout.write('ready\n');
});
