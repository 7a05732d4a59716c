/** One end of a UDP conversation: sockets, an arena, a receiver and a sender, as the engine joins them. */
import { PacketBatch } from '../../src/core/batch.js';
import { ENDPOINT_SIZE, EndpointTable } from '../../src/core/endpoint.js';
import { allocate } from '../../src/linux/ffi.js';
import { RouteQuery } from '../../src/linux/netlink.js';
import { POLLIN, Poller } from '../../src/linux/poll.js';
import { bindBoth, type UdpSocket } from '../../src/linux/udp.js';
import { UdpReceiver } from '../../src/linux/udp-receiver.js';
import { UdpSender } from '../../src/linux/udp-sender.js';
import type { Netns } from './world.js';

const SLOTS = 8;
const SLOT = 65536;
const ROWS = SLOTS * 64;
const SEND_AT = SLOTS * SLOT;

/** A datagram as it was received. */
export interface Got {
  readonly bytes: Buffer;
  readonly tos: number;
  /** The endpoint row. */
  readonly row: number;
  /** Its fields. */
  readonly family: number;
  readonly flags: number;
  readonly from: string;
  readonly port: number;
  readonly source: string;
  readonly sourceInterface: number;
}

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly endpoint: number;
  readonly tos?: number;
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{4})(?=.)/g, '$1:');
}

/** `10.9.0.1`, or an IPv6 address in full or with one `::`. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(':')) return Uint8Array.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const words = (part: string): string[] => part.split(':').filter((word) => word !== '');
  const before = words(head);
  const after = tail === undefined ? [] : words(tail);
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Uint8Array.from(all.flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 0xff]));
}

export class Side {
  readonly sockets: UdpSocket[];
  readonly endpoints: EndpointTable = new EndpointTable();
  readonly sender: UdpSender;
  readonly receiver: UdpReceiver;
  readonly port: number;
  /** What each successful call of receive returned, since the last {@link take}. */
  messages: number[] = [];
  readonly #arena: Uint8Array = allocate(SEND_AT + (8 << 20));
  readonly #routes: RouteQuery;
  readonly #rows: PacketBatch = new PacketBatch(ROWS);
  readonly #poller: Poller = new Poller(2);

  constructor(netns: Netns, options: { gro?: boolean; gso?: boolean; port?: number; fwmark?: number } = {}) {
    const { gro = true, gso = true, port = 0, fwmark = 0 } = options;
    this.sockets = netns.enter(() => bindBoth(port, fwmark, { gro, gso }));
    this.port = this.sockets[0]!.port;
    this.#routes = netns.enter(() => new RouteQuery());
    this.sender = new UdpSender(this.#arena, this.endpoints, this.#routes);
    this.sender.fwmark = fwmark;
    const slots = Int32Array.from({ length: SLOTS }, (_, i) => i * SLOT);
    const rows = Array.from({ length: SLOTS }, () => this.endpoints.allocate());
    this.receiver = new UdpReceiver(this.#arena, slots, SLOT, this.endpoints, rows);
    for (const [i, socket] of this.sockets.entries()) this.#poller.set(i, socket.fd, POLLIN);
  }

  /** A new endpoint row. */
  to(address: string, port: number, scopeId = 0): number {
    const row = this.endpoints.allocate();
    this.endpoints.set(row, { address: addressBytes(address), port, scopeId });
    return row;
  }

  send(datagrams: readonly Datagram[]): void {
    const rows = new PacketBatch(datagrams.length);
    let at = SEND_AT;
    for (const { bytes, endpoint, tos = 0 } of datagrams) {
      const row = rows.count++;
      this.#arena.set(bytes, at);
      rows.offset[row] = at;
      rows.length[row] = bytes.length;
      rows.endpoint[row] = endpoint;
      rows.tos[row] = tos;
      at += bytes.length;
    }
    this.sender.send(this.sockets, rows);
  }

  /** @returns `count` datagrams, or fewer when no more have come for two seconds */
  take(count: number): Got[] {
    const all: Got[] = [];
    this.messages = [];
    while (all.length < count && this.#poller.wait(2000) > 0) {
      for (const socket of this.sockets) {
        do {
          const got = this.receiver.receive(socket, this.#rows);
          if (got > 0) this.messages.push(got);
          for (let row = 0; row < this.#rows.count; row++) all.push(this.#got(row));
        } while (this.receiver.waiting);
      }
    }
    return all;
  }

  /** The flags of an endpoint row: 1 has a source, 2 it is suppressed. */
  flags(row: number): number {
    return this.endpoints.bytes[row * ENDPOINT_SIZE + 1]!;
  }

  close(): void {
    for (const socket of this.sockets) socket.close();
    this.#routes.close();
  }

  #got(row: number): Got {
    const { offset, length, tos, endpoint } = this.#rows;
    const index = endpoint[row]!;
    const bytes = this.endpoints.bytes.slice(index * ENDPOINT_SIZE, (index + 1) * ENDPOINT_SIZE);
    const size = bytes[0] === 4 ? 4 : 16;
    const view = new DataView(bytes.buffer);
    return {
      bytes: Buffer.from(this.#arena.slice(offset[row]!, offset[row]! + length[row]!)),
      tos: tos[row]!,
      row: index,
      family: bytes[0]!,
      flags: bytes[1]!,
      from: addressText(bytes.subarray(4, 4 + size)),
      port: view.getUint16(2),
      source: addressText(bytes.subarray(24, 24 + size)),
      sourceInterface: view.getUint32(40, true),
    };
  }
}
