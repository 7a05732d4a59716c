/** A port of one network that leads to an address in the other: ssh's -L and -R, and the same for UDP. */
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { connectFor, MAX_CONNECTIONS, type Network } from './network.js';
import { type ForwardSpec, hostAndPort } from './spec.js';

/** Something that listens until it is closed. */
export interface Listener {
  /** Where: `127.0.0.1:8080`. */
  readonly address: string;
  close(): void;
}

/** Senders that one UDP forward keeps apart at a time; a new one takes the place of the oldest. */
const MAX_SENDERS = 1024;
/** As long as RFC 4787, section 4.3, wants a mapping to last. */
const IDLE_MS = 120_000;
/** Datagrams of a sender that wait for its socket. */
const MAX_WAITING = 16;

/**
 * @param from where it listens @param to where it leads
 * @throws an error with the code of listen(2) or bind(2)
 */
export function startForward(from: Network, to: Network, spec: ForwardSpec, bind: string): Promise<Listener> {
  const host = spec.bind ?? bind;
  return spec.protocol === 'tcp' ? forwardTcp(from, to, spec, host) : forwardUdp(from, to, spec, host);
}

async function forwardTcp(from: Network, to: Network, spec: ForwardSpec, host: string): Promise<Listener> {
  const server = await from.listen({ host, port: spec.port, allowHalfOpen: true, pauseOnConnect: true });
  server.maxConnections = MAX_CONNECTIONS;
  const target = { host: spec.host, port: spec.hostPort, allowHalfOpen: true };
  server.on('connection', (client) => void connectFor(client, (signal) => to.connect({ ...target, signal })));
  return { address: addressOf(server.address() as AddressInfo), close: () => server.close() };
}

export function addressOf({ address, port }: AddressInfo): string {
  return hostAndPort(address, port);
}

/** One sender's datagrams, through a socket of its own, so that answers find back. */
class Sender {
  #socket: UdpSocket | undefined;
  #waiting: Buffer[] = [];
  #isClosed = false;
  readonly #idle: NodeJS.Timeout;

  constructor(open: () => Promise<UdpSocket>, answer: (message: Buffer) => void, ended: () => void) {
    this.#idle = setTimeout(ended, IDLE_MS).unref();
    void open().then((socket) => {
      if (this.#isClosed) {
        socket.close();
        return;
      }
      // Of a port that nobody listens at: as with UDP anywhere, the next datagram tries again.
      socket.on('error', () => {});
      socket.on('message', (message) => {
        this.#idle.refresh();
        answer(message);
      });
      this.#socket = socket;
      for (const message of this.#waiting.splice(0)) this.send(message);
    }, ended);
  }

  send(message: Buffer): void {
    this.#idle.refresh();
    if (this.#socket) this.#socket.send(message);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(message);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    this.#waiting.length = 0;
    this.#socket?.close();
  }
}

async function forwardUdp(from: Network, to: Network, spec: ForwardSpec, host: string): Promise<Listener> {
  const listener = await from.bindUdp({ host, port: spec.port });
  const senders = new Map<string, Sender>();
  let looking: ReturnType<Network['lookup']> | undefined;
  /** However many senders come while it lasts, there is one look-up. */
  const lookup = (): ReturnType<Network['lookup']> => {
    looking ??= to.lookup(spec.host).finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const drop = (key: string): void => {
    senders.get(key)?.close();
    senders.delete(key);
  };
  const add = (key: string, { address, port }: RemoteInfo): Sender => {
    for (const oldest of senders.keys()) {
      if (senders.size < MAX_SENDERS) break;
      drop(oldest);
    }
    const answer = (message: Buffer): void => listener.send(message, port, address);
    const sender = new Sender(
      async () => connectUdp(to, spec, await lookup()),
      answer,
      () => drop(key),
    );
    senders.set(key, sender);
    return sender;
  };
  listener.on('error', () => {});
  listener.on('message', (message, sender) => {
    const key = hostAndPort(sender.address, sender.port);
    (senders.get(key) ?? add(key, sender)).send(message);
  });
  const close = (): void => {
    listener.close();
    for (const key of senders.keys()) drop(key);
  };
  return { address: addressOf(listener.address()), close };
}

/** Connected, so that the kernel lets nobody else's datagrams in. */
async function connectUdp(
  to: Network,
  { host, hostPort }: ForwardSpec,
  [found]: Awaited<ReturnType<Network['lookup']>>,
): Promise<UdpSocket> {
  if (!found) throw new Error(`${host} has no address`);
  const socket = await to.bindUdp({ host: found.family === 6 ? '::' : '0.0.0.0' });
  // Where there is no way to it, Node.js calls this with the error.
  const error = await new Promise<unknown>((done) => socket.connect(hostPort, found.address, done as () => void));
  if (error === undefined) return socket;
  socket.close();
  throw error;
}
