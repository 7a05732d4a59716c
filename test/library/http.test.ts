/** HTTP, HTTPS, WebSocket and fetch through a tunnel, with the clients and servers that programs use. See tunnel.ts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createSecureServer, get as getSecurely } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Agent } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import { asOrdinaryUser } from '../rootless/user.js';
import { CLIENT, openTunnel, SERVER, type Tunnel } from './tunnel.js';

const BODY = randomBytes(10 << 20);
const answer: RequestListener = async (request, response) => {
  if (request.url === '/body') response.end(BODY);
  else if (request.method === 'POST') {
    response.end(
      createHash('sha256')
        .update(await buffer(request))
        .digest('hex'),
    );
  } else response.end(`${request.method} ${request.url} from ${request.socket.remoteAddress}`);
};

/** A certificate for tunnel.test, of the program that users have. */
function certificate(): { key: string; cert: string } {
  const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const pem = execFileSync(
    'openssl',
    [
      ...words,
      '-subj',
      '/CN=tunnel.test',
      '-addext',
      'subjectAltName=DNS:tunnel.test,IP:10.77.0.1',
      '-keyout',
      '-',
      '-out',
      '-',
    ],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const part = (name: string): string => new RegExp(`-----BEGIN ${name}-----[^]*?-----END ${name}-----`).exec(pem)![0];
  return { key: part('PRIVATE KEY'), cert: part('CERTIFICATE') };
}

asOrdinaryUser(import.meta.filename, () => {
  describe('HTTP through a tunnel', { timeout: 180_000 }, () => {
    let tunnel: Tunnel;
    let port = 0;
    let securePort = 0;
    const { key, cert } = certificate();
    const http = createServer(answer);
    const https = createSecureServer({ key, cert }, answer);

    /** A server of node:http answers what a server inside the tunnel accepts. */
    async function attach(inner: Server): Promise<number> {
      const outer = await tunnel.server.listen();
      outer.on('connection', (socket) => inner.emit('connection', socket));
      return (outer.address() as AddressInfo).port;
    }
    before(async () => {
      tunnel = await openTunnel();
      port = await attach(http);
      securePort = await attach(https);
    });
    after(() => tunnel.close());

    it('http.Agent: requests in turn on one connection, and 10 MB whole', async () => {
      const own = { localAddress: '127.0.0.1', agent: tunnel.client.createHttpAgent() };
      const [refused] = (await once(get({ host: SERVER.v4, port, ...own }), 'error')) as [NodeJS.ErrnoException];
      assert.match(`${refused.code}`, /^E/);
      const agent = tunnel.client.createHttpAgent({ keepAlive: true, maxSockets: 1 });
      const ports = new Set<number | undefined>();
      for (let i = 0; i < 5; i++) {
        const [response] = (await once(get({ host: SERVER.v4, port, path: `/${i}`, agent }), 'response')) as [
          IncomingMessage,
        ];
        ports.add(response.socket.localPort);
        assert.equal(await text(response), `GET /${i} from ::ffff:${CLIENT.v4}`);
      }
      assert.equal(ports.size, 1);
      const [response] = (await once(get(`http://[${SERVER.v6}]:${port}/body`, { agent }), 'response')) as [
        IncomingMessage,
      ];
      assert.ok((await buffer(response)).equals(BODY));
      agent.destroy();
      const [error] = (await once(get({ host: SERVER.v4, port: 1, agent }), 'error')) as [NodeJS.ErrnoException];
      assert.equal(error.code, 'ECONNREFUSED');
    });

    it('https.Agent: the certificate is checked against the name of the request', async () => {
      const options = { host: SERVER.v4, port: securePort, ca: cert };
      const agent = tunnel.client.createHttpsAgent();
      const [response] = (await once(getSecurely({ ...options, servername: 'tunnel.test', agent }), 'response')) as [
        IncomingMessage,
      ];
      assert.match(await text(response), /^GET \/ from/);
      const [error] = (await once(getSecurely({ ...options, servername: 'other.test', agent }), 'error')) as [
        NodeJS.ErrnoException,
      ];
      assert.equal(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
      const [again] = (await once(getSecurely({ ...options, servername: 'tunnel.test', agent }), 'response')) as [
        IncomingMessage,
      ];
      assert.equal((again.socket as TLSSocket).isSessionReused(), true);
      await text(again);
      // Thrown by node:tls, when it is connected.
      const [wrong] = (await once(getSecurely({ ...options, minVersion: 'none' as never, agent }), 'error')) as [Error];
      assert.match(`${wrong}`, /minVersion|TLS protocol version/i);
      agent.destroy();
    });

    it('fetch, by a dispatcher: GET, POST, 8 at once, https', async () => {
      const dispatcher = tunnel.client.createDispatcher(Agent, { tls: { ca: cert } });
      const call = async (url: string, init: RequestInit = {}): Promise<Response> =>
        fetch(url, { ...init, dispatcher } as unknown as RequestInit);
      assert.equal(await (await call(`http://${SERVER.v4}:${port}/x`)).text(), `GET /x from ::ffff:${CLIENT.v4}`);
      const posted = await call(`http://[${SERVER.v6}]:${port}/`, { method: 'POST', body: BODY });
      assert.equal(await posted.text(), createHash('sha256').update(BODY).digest('hex'));
      const bodies = await Promise.all(
        Array.from({ length: 8 }, async () => (await call(`http://${SERVER.v4}:${port}/body`)).arrayBuffer()),
      );
      assert.ok(bodies.every((body) => Buffer.from(body).equals(BODY)));
      assert.match(await (await call(`https://${SERVER.v4}:${securePort}/`)).text(), /^GET/);
      await assert.rejects(call(`http://${SERVER.v4}:65000/`), (error) => {
        return ((error as Error).cause as NodeJS.ErrnoException).code === 'ECONNREFUSED';
      });
      await dispatcher.close();
    });

    it('WebSocket: messages both ways, and an orderly close', async () => {
      const server = new WebSocketServer({ server: http });
      server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
      const agent = tunnel.client.createHttpAgent();
      const socket = new WebSocket(`ws://${SERVER.v4}:${port}/`, { agent });
      await once(socket, 'open');
      for (const size of [1, 1000, 1 << 20]) {
        const sent = randomBytes(size);
        const answered = once(socket, 'message');
        socket.send(sent);
        const [data] = (await answered) as [Buffer];
        assert.ok(data.equals(sent));
      }
      socket.close(1000, 'done');
      const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
      assert.deepEqual([code, `${reason}`], [1000, 'done']);
      server.close();
      agent.destroy();
    });
  });
});
