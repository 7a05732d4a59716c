/**
 * The far end of the tests' tunnel: HTTP, echo over TCP and UDP, and DNS, until standard input ends.
 *
 * Arguments: addresses to listen at. `GET /SEED/BYTES` gives bytes that {@link contentOf} gives as well.
 * The DNS server answers every name with 203.0.113.7 and prints it: `query NAME`.
 */
import { createCipheriv } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { createServer, isIPv6 } from 'node:net';
import { fileURLToPath } from 'node:url';

export const Ports = { http: 8080, echo: 7, dns: 53 } as const;
const CHUNK = 64 * 1024;

/** The content of `/seed/bytes`, in chunks. */
export function* contentOf(seed: number, bytes: number): Generator<Buffer> {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  for (let left = bytes; left > 0; left -= CHUNK) yield stream.update(Buffer.alloc(Math.min(left, CHUNK)));
}

function serveHttp(address: string): void {
  const server = createHttpServer((request, response) => {
    const [, seed, bytes] = (request.url ?? '').split('/').map(Number);
    response.setHeader('content-length', bytes ?? 0);
    const chunks = contentOf(seed ?? 0, bytes ?? 0);
    const send = (): void => {
      for (let next = chunks.next(); !next.done; next = chunks.next()) {
        if (response.write(next.value)) continue;
        response.once('drain', send);
        return;
      }
      response.end();
    };
    send();
  });
  server.listen(Ports.http, address);
}

function serveEcho(address: string): void {
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(Ports.echo, address);
  const udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  udp.on('message', (message, { port, address: from }) => udp.send(message, port, from));
  udp.bind(Ports.echo, address);
}

/** RFC 1035, section 4.1, as much as a stub resolver needs. */
function serveDns(address: string): void {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.on('message', (query, { port, address: from }) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at++]!; length > 0; length = query[at++]!) {
      labels.push(query.toString('latin1', at, at + length));
      at += length;
    }
    const isA = query.readUInt16BE(at) === 1;
    at += 4;
    console.log(`query ${labels.join('.')}`);
    const answer = Buffer.from(isA ? 'c00c00010001000000000004cb007107' : '', 'hex');
    const reply = Buffer.concat([query.subarray(0, at), answer]);
    reply.writeUInt16BE(0x8580, 2);
    reply.writeUInt16BE(isA ? 1 : 0, 6);
    reply.writeUInt16BE(0, 8);
    reply.writeUInt16BE(0, 10);
    socket.send(reply, port, from);
  });
  socket.bind(Ports.dns, address);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const address of process.argv.slice(2)) {
    serveHttp(address);
    serveEcho(address);
    serveDns(address);
  }
  console.log('serving');
}
