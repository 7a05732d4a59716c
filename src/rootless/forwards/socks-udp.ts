/** SOCKS5's UDP ASSOCIATE: RFC 1928, section 7. */
import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { isIP, type Socket } from 'node:net';
import { type Network, OUTSIDE } from './network.js';
import { decodeAddress, encodeAddress, plainAddress } from './socks-address.js';

/** Two reserved bytes and the fragment's number. */
const HEADER = 3;
/** Names that one association remembers. */
const MAX_NAMES = 256;
/** Datagrams of one association that wait for a look-up or a socket; those beyond are dropped. */
const MAX_WAITING = 64;

/**
 * Relays a client's datagrams as long as its connection lasts.
 * @param local where to listen: the address that the client reached
 * @returns the port
 */
export async function associate(control: Socket, inside: Network, local: string): Promise<number> {
  const relay = await OUTSIDE.bindUdp({ host: local });
  const association = new Association(relay, inside, plainAddress(control.remoteAddress ?? ''));
  // Until it ends, nothing more is said over it.
  control.resume();
  control.once('end', () => control.destroy());
  control.once('close', () => association.close());
  if (control.destroyed) association.close();
  return relay.address().port;
}

class Association {
  readonly #relay: UdpSocket;
  readonly #inside: Network;
  readonly #owner: string;
  readonly #names = new Map<string, Promise<string | undefined>>();
  readonly #sockets = new Map<4 | 6, Promise<UdpSocket>>();
  #client: RemoteInfo | undefined;
  #waiting = 0;
  #isClosed = false;

  constructor(relay: UdpSocket, inside: Network, owner: string) {
    this.#relay = relay;
    this.#inside = inside;
    this.#owner = owner;
    relay.on('error', () => {});
    relay.on('message', (message, from) => void this.#send(message, from).catch(() => {}));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#relay.close();
    for (const socket of this.#sockets.values()) {
      void socket.then(
        (it) => it.close(),
        () => {},
      );
    }
  }

  async #send(message: Buffer, from: RemoteInfo): Promise<void> {
    // Of the client alone: who else is at its address, with no right to this proxy perhaps, has another port.
    if (plainAddress(from.address) !== this.#owner || (this.#client && this.#client.port !== from.port)) return;
    // Whole: fragments are optional, and nobody sends them.
    const target = message.length < HEADER || message[2] !== 0 ? undefined : decodeAddress(message.subarray(HEADER));
    if (!target) return;
    this.#client = from;
    if (this.#waiting >= MAX_WAITING) return;
    this.#waiting++;
    try {
      await this.#relayTo(target, message.subarray(HEADER + target.length));
    } finally {
      this.#waiting--;
    }
  }

  async #relayTo({ host, port }: { host: string; port: number }, datagram: Buffer): Promise<void> {
    const address = await this.#addressOf(host);
    const family = isIP(address ?? '');
    // The look-up may have outlasted the association.
    if (this.#isClosed || address === undefined || (family !== 4 && family !== 6)) return;
    const socket = await this.#socket(family);
    if (!this.#isClosed) socket.send(datagram, port, address);
  }

  #addressOf(host: string): Promise<string | undefined> {
    if (isIP(host)) return Promise.resolve(host);
    let found = this.#names.get(host);
    if (!found) {
      found = this.#inside.lookup(host).then(
        ([first]) => first?.address,
        () => {
          // The next datagram asks again.
          this.#names.delete(host);
          return undefined;
        },
      );
      if (this.#names.size >= MAX_NAMES) this.#names.clear();
      this.#names.set(host, found);
    }
    return found;
  }

  #socket(family: 4 | 6): Promise<UdpSocket> {
    let socket = this.#sockets.get(family);
    if (!socket) {
      socket = this.#inside.bindUdp({ host: family === 4 ? '0.0.0.0' : '::' }).then((it) => {
        it.on('error', () => {});
        it.on('message', (message, from) => this.#answer(message, from));
        return it;
      });
      socket.catch(() => this.#sockets.delete(family));
      this.#sockets.set(family, socket);
    }
    return socket;
  }

  #answer(message: Buffer, { address, port }: RemoteInfo): void {
    const client = this.#client;
    if (!client || this.#isClosed) return;
    const header = Buffer.concat([Buffer.alloc(HEADER), encodeAddress(address, port)]);
    this.#relay.send([header, message], client.port, client.address);
  }
}
