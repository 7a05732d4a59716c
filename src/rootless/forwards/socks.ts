/** A SOCKS5 server: RFC 1928 with CONNECT and UDP ASSOCIATE, names and passwords by RFC 1929. */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import type { Credentials } from './credentials.js';
import { addressOf, type Listener } from './forward.js';
import { connectFor, MAX_CONNECTIONS, type Network, OUTSIDE } from './network.js';
import { AddressType, decodeAddress, encodeAddress, plainAddress } from './socks-address.js';
import { associate } from './socks-udp.js';

const VERSION = 5;
const PASSWORD_VERSION = 1;
const METHOD = { none: 0, password: 2, refused: 0xff } as const;
const COMMAND = { connect: 1, udpAssociate: 3 } as const;
const REPLY = {
  succeeded: 0,
  failure: 1,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  commandNotSupported: 7,
  addressNotSupported: 8,
} as const;
const REPLY_OF_ERROR: Readonly<Record<string, number>> = {
  ECONNREFUSED: REPLY.refused,
  ENETUNREACH: REPLY.networkUnreachable,
  EHOSTUNREACH: REPLY.hostUnreachable,
  ETIMEDOUT: REPLY.hostUnreachable,
  ENOTFOUND: REPLY.hostUnreachable,
  EAI_AGAIN: REPLY.hostUnreachable,
};
/** From the connection to the request. */
const GREETING_MS = 20_000;
const NOWHERE = encodeAddress('0.0.0.0', 0);

/** @param inside where clients get to. @throws an error with the code of listen(2) */
export async function startSocks(
  inside: Network,
  host: string,
  port: number,
  credentials: Credentials | undefined,
): Promise<Listener> {
  const server = await OUTSIDE.listen({ host, port, allowHalfOpen: true });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (client) => {
    const late = setTimeout(() => client.destroy(), GREETING_MS);
    client.on('error', () => {});
    greet(client, credentials)
      .then((request) => {
        clearTimeout(late);
        return request && serve(client, inside, request);
      })
      .catch(() => client.destroy())
      .finally(() => clearTimeout(late));
  });
  return { address: addressOf(server.address() as AddressInfo), close: () => server.close() };
}

interface Request {
  readonly command: number;
  readonly host: string;
  readonly port: number;
}

/** @throws Error when the other end goes first */
async function read(socket: Socket, bytes: number): Promise<Buffer> {
  // To ask a stream for no bytes means something else.
  if (bytes === 0) return Buffer.alloc(0);
  for (;;) {
    const got = socket.read(bytes) as Buffer | null;
    if (got?.length === bytes) return got;
    if (got || socket.readableEnded || socket.destroyed) throw new Error('the client ended in the middle');
    const over = new AbortController();
    const events = ['readable', 'end', 'close'].map((event) => once(socket, event, { signal: over.signal }));
    try {
      await Promise.race(events);
    } finally {
      over.abort();
      await Promise.allSettled(events);
    }
  }
}

/** @returns what is wanted, or undefined when the client was sent away */
async function greet(client: Socket, credentials: Credentials | undefined): Promise<Request | undefined> {
  const [version, count] = await read(client, 2);
  if (version !== VERSION) throw new Error('not SOCKS5');
  const methods = await read(client, count!);
  const method = credentials ? METHOD.password : METHOD.none;
  if (!methods.includes(method)) {
    client.end(Buffer.of(VERSION, METHOD.refused));
    return undefined;
  }
  client.write(Buffer.of(VERSION, method));
  if (credentials) {
    const isAllowed = credentials.allows(await readPassword(client));
    const answer = Buffer.of(PASSWORD_VERSION, isAllowed ? 0 : 1);
    if (!isAllowed) {
      client.end(answer);
      return undefined;
    }
    client.write(answer);
  }
  const [, command, , type] = await read(client, 4);
  const isName = type === AddressType.name;
  if (!isName && type !== AddressType.v4 && type !== AddressType.v6) {
    client.end(reply(REPLY.addressNotSupported));
    return undefined;
  }
  const length = isName ? (await read(client, 1))[0]! : type === AddressType.v4 ? 4 : 16;
  const rest = await read(client, length + 2);
  const head = isName ? Buffer.of(type, length) : Buffer.of(type);
  const target = decodeAddress(Buffer.concat([head, rest]));
  if (target) return { command: command!, ...target };
  // A name without a letter.
  client.end(reply(REPLY.hostUnreachable));
  return undefined;
}

/** @returns `name:password` */
async function readPassword(client: Socket): Promise<Buffer> {
  const [, nameLength] = await read(client, 2);
  const name = await read(client, nameLength!);
  const [passwordLength] = await read(client, 1);
  return Buffer.concat([name, Buffer.from(':'), await read(client, passwordLength!)]);
}

function reply(code: number, bound: Buffer = NOWHERE): Buffer {
  return Buffer.concat([Buffer.of(VERSION, code, 0), bound]);
}

async function serve(client: Socket, inside: Network, { command, host, port }: Request): Promise<void> {
  if (command === COMMAND.udpAssociate) {
    const local = plainAddress(client.localAddress ?? '127.0.0.1');
    const relayPort = await associate(client, inside, local);
    client.write(reply(REPLY.succeeded, encodeAddress(local, relayPort)));
    return;
  }
  if (command !== COMMAND.connect) {
    client.end(reply(REPLY.commandNotSupported));
    return;
  }
  await connectFor(
    client,
    async (signal) => {
      const upstream = await inside.connect({ host, port, allowHalfOpen: true, signal });
      client.write(reply(REPLY.succeeded, encodeAddress(upstream.localAddress ?? '0.0.0.0', upstream.localPort ?? 0)));
      return upstream;
    },
    ({ code = '' }) => client.end(reply(REPLY_OF_ERROR[code] ?? REPLY.failure)),
  );
}
