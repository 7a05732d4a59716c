/** An HTTP proxy: CONNECT, and requests with an absolute URL: RFC 9110, sections 9.3.6 and 7.6.1; RFC 9112, section 3.2.2. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Credentials } from './credentials.js';
import { addressOf, type Listener } from './forward.js';
import { connectFor, MAX_CONNECTIONS, type Network } from './network.js';

/** Of one connection, not of the message. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const NOT_ALLOWED = 'Proxy-Authenticate: Basic realm="typetun"';

/** @param inside where clients get to. @throws an error with the code of listen(2) */
export async function startHttpProxy(
  inside: Network,
  host: string,
  port: number,
  credentials: Credentials | undefined,
): Promise<Listener> {
  // A long upload is one request.
  const server = createServer({ requestTimeout: 0 });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connect', (incoming: IncomingMessage, client: Socket, head: Buffer) => {
    tunnel(inside, credentials, incoming, client, head);
  });
  server.on('request', (incoming, outgoing) => {
    if (!isAllowed(credentials, incoming)) {
      outgoing
        .writeHead(407, { 'Proxy-Authenticate': 'Basic realm="typetun"' })
        .end('a name and a password are needed\n');
    } else forward(inside, incoming, outgoing);
  });
  server.listen(port, host);
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { address: addressOf(server.address() as AddressInfo), close };
}

function isAllowed(credentials: Credentials | undefined, { headers }: IncomingMessage): boolean {
  if (!credentials) return true;
  const [, encoded] = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(headers['proxy-authorization'] ?? '') ?? [];
  return encoded !== undefined && credentials.allows(Buffer.from(encoded, 'base64'));
}

function tunnel(
  inside: Network,
  credentials: Credentials | undefined,
  incoming: IncomingMessage,
  client: Socket,
  head: Buffer,
): void {
  const say = (status: string, ...headers: readonly string[]): void => {
    client.write([`HTTP/1.1 ${status}`, ...headers, '', ''].join('\r\n'));
  };
  const refuse = (status: string, ...headers: readonly string[]): void => {
    client.on('error', () => {});
    say(status, 'Content-Length: 0', 'Connection: close', ...headers);
    client.end();
  };
  if (!isAllowed(credentials, incoming)) return refuse('407 Proxy Authentication Required', NOT_ALLOWED);
  const [, host, port] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(incoming.url ?? '') ?? [];
  if (host === undefined || Number(port) > 65535 || Number(port) === 0) return refuse('400 Bad Request');
  void connectFor(
    client,
    async (signal) => {
      const upstream = await inside.connect({ host, port: Number(port), allowHalfOpen: true, signal });
      say('200 Connection established');
      if (head.length > 0) upstream.write(head);
      return upstream;
    },
    () => refuse('502 Bad Gateway'),
  );
}

function withoutHops(headers: readonly string[], named: string | undefined): string[] {
  const dropped = new Set([...HOP_BY_HOP, ...(named ?? '').toLowerCase().split(/\s*,\s*/)]);
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (!dropped.has(headers[i]!.toLowerCase())) kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}

function forward(inside: Network, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const refuse = (status: number, text: string): void => {
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(status, { 'Content-Type': 'text/plain' }).end(`${text}\n`);
  };
  const url = URL.canParse(incoming.url ?? '') ? new URL(incoming.url!) : undefined;
  if (url?.protocol !== 'http:') return refuse(400, 'this is a proxy: expected CONNECT, or an absolute http: URL');
  const gone = new AbortController();
  outgoing.once('close', () => gone.abort());
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const upstream = request({
    method: incoming.method ?? 'GET',
    path: `${url.pathname}${url.search}`,
    headers: withoutHops(incoming.rawHeaders, incoming.headers.connection),
    signal: gone.signal,
    createConnection: (_options, done) => {
      const port = Number(url.port || 80);
      inside.connect({ host, port, signal: gone.signal }).then(
        (socket) => done(null, socket),
        (error: Error) => done(error, undefined as never),
      );
      return undefined as never;
    },
  });
  upstream.on('error', (error: NodeJS.ErrnoException) =>
    refuse(502, `${host} was not reached: ${error.code ?? error.message}`),
  );
  upstream.on('response', (response) => {
    response.on('error', () => outgoing.destroy());
    const { statusCode = 0, rawHeaders, headers } = response;
    // Three digits are all that Node.js asks for in an answer; in one of its own they have to mean something.
    if (statusCode < 200) {
      upstream.destroy();
      return refuse(502, `${host} answered with status ${statusCode}`);
    }
    response.pipe(outgoing.writeHead(statusCode, withoutHops(rawHeaders, headers.connection)));
  });
  upstream.on('close', () => {
    // As after a switch of protocols that nobody asked for.
    if (!outgoing.headersSent) refuse(502, `${host} did not answer`);
  });
  incoming.pipe(upstream);
}
