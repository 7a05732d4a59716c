/**
 * `typetun` without root: an HTTP server and its client, each inside a tunnel of its own, in one process.
 *
 *   npm ci && npm run build && node dist/examples/rootless.js
 *
 * It needs user namespaces and access to /dev/net/tun, and says which of them is missing.
 */
import { createServer, get } from 'node:http';
import { text } from 'node:stream/consumers';
import { createRootlessDevice, SecretKey, TypetunError } from 'typetun';

const keys = { server: SecretKey.generatePrivateKey(), client: SecretKey.generatePrivateKey() };

try {
  await using server = await createRootlessDevice({
    addresses: ['10.0.0.1/24'],
    config: { privateKey: keys.server, peers: [{ publicKey: keys.client.publicKey(), allowedIps: ['10.0.0.2'] }] },
  });
  const { listenPort } = await server.status();
  // The other one from a file, as it would come from a provider.
  await using client = await createRootlessDevice({
    config: `[Interface]
PrivateKey = ${keys.client.toBase64()}
Address = 10.0.0.2/24
[Peer]
PublicKey = ${keys.server.publicKey()}
Endpoint = 127.0.0.1:${listenPort}
AllowedIPs = 10.0.0.1/32
`,
  });
  server.on('handshake', () => console.log('server: a session is up'));

  // A server of node:http behind a listener inside the tunnel.
  const http = createServer((request, response) => response.end(`hello ${request.socket.remoteAddress}`));
  const listener = await server.listen({ host: '10.0.0.1', port: 80, noDelay: true });
  listener.on('connection', (socket) => http.emit('connection', socket));

  // Any client that takes a socket, an agent or a dispatcher.
  const socket = await client.connect({ host: '10.0.0.1', port: 80 });
  console.log(`connected from ${socket.localAddress} to ${socket.remoteAddress}:${socket.remotePort}`);
  socket.destroy();
  const agent = client.createHttpAgent();
  const said = await new Promise<string>((resolve, reject) => {
    get('http://10.0.0.1/', { agent }, (response) => resolve(text(response))).on('error', reject);
  });
  console.log(`the server says: ${said}`);
} catch (error) {
  if (!(error instanceof TypetunError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
