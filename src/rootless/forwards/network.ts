/** Two networks that forwards lie between: this process's own, and the one inside. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, isIPv6, Server, type Socket } from 'node:net';
import type { RootlessNamespace } from '../namespace.js';

/** As {@link RootlessNamespace} has it. */
export type Network = Pick<RootlessNamespace, 'connect' | 'listen' | 'bindUdp' | 'lookup'>;

/** Connections that one listener has at a time; those beyond are closed at once. */
export const MAX_CONNECTIONS = 4096;
/** Between probes of a connection that nothing comes over. */
const KEEP_ALIVE_MS = 60_000;

/** The network of this process. */
export const OUTSIDE: Network = {
  connect: async (options): Promise<Socket> => {
    const socket = connect(options);
    await once(socket, 'connect');
    return socket;
  },
  listen: async ({ host = '::', port = 0, backlog, ...options } = {}): Promise<Server> => {
    const server = new Server(options);
    server.listen({ host, port, ...(backlog !== undefined && { backlog }) });
    await once(server, 'listening');
    return server;
  },
  bindUdp: async ({ host = '::', port = 0 } = {}): Promise<UdpSocket> => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    socket.bind(port, host);
    await once(socket, 'listening');
    return socket;
  },
  lookup: (host, family = 0) => lookup(host, { all: true, family }),
};

/** Carries bytes both ways with back-pressure, and each direction's end by itself, until both have ended. */
export function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.setKeepAlive(true, KEEP_ALIVE_MS);
    from.pipe(to);
    from.on('error', () => to.destroy());
    // One that was cut off takes the other with it; after an orderly end there may still be bytes under way.
    from.on('close', () => {
      if (!from.readableEnded) to.destroy();
    });
  }
}

/**
 * Connects on behalf of a client, and joins the two.
 * @param refuse called when that fails; without it, the client is reset
 */
export async function connectFor(
  client: Socket,
  connecting: (signal: AbortSignal) => Promise<Socket>,
  refuse: (error: NodeJS.ErrnoException) => void = () => client.resetAndDestroy(),
): Promise<void> {
  const gone = new AbortController();
  const abort = (): void => gone.abort();
  client.on('error', () => {}).once('close', abort);
  try {
    const upstream = await connecting(gone.signal);
    client.off('close', abort);
    if (client.destroyed) upstream.destroy();
    else join(client, upstream);
  } catch (error) {
    if (!client.destroyed) refuse(error as NodeJS.ErrnoException);
  }
}
