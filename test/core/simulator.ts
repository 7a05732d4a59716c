/**
 * Devices on a virtual wire with a virtual clock: nothing here knows real time or real sockets.
 */

import type { BatchCipher } from '../../src/core/batch.js';
import { GONE, HEADROOM, PacketBatch, TAILROOM } from '../../src/core/batch.js';
import { Device, type DeviceEvent } from '../../src/core/device.js';
import type { Endpoint } from '../../src/core/endpoint.js';
import { createCrypto } from '../../src/crypto/index.js';
import { createNobleSuite } from '../../src/crypto/noble.js';

const SLOT = 2048;
const ROWS = 64;
const OUT = 0;
const IN = SLOT * ROWS;

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly tos: number;
}

/** A seeded generator (mulberry32), so that every run is the same. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Clock {
  now = 1_000_000;
  wall = 1_700_000_000_000;

  advance(ms: number): void {
    this.now += ms;
    this.wall += ms;
  }
}

export class Node {
  readonly device: Device;
  readonly cipher: BatchCipher;
  readonly arena: Uint8Array = new Uint8Array(new ArrayBuffer(2 * SLOT * ROWS));
  readonly privateKey: Uint8Array = new Uint8Array(32);
  readonly publicKey: Uint8Array;
  address: Endpoint;
  readonly clock: Clock;
  /** Where its datagrams go. */
  send: (datagram: Datagram) => void = () => {};
  /** Cleartext packets that came out of its tunnel. */
  readonly delivered: Uint8Array[] = [];
  readonly events: DeviceEvent[] = [];
  /** Transport keys in the order they were installed: of each session first the one it sends with. */
  readonly keys: number[] = [];
  /** Those of them that were not removed since. */
  readonly liveKeys: Set<number> = new Set();
  readonly #out = new PacketBatch(ROWS);
  readonly #in = new PacketBatch(ROWS);
  readonly #source: number;

  constructor(clock: Clock, address: Endpoint, seed: number, backend: 'noble' | 'primitives' = 'primitives') {
    this.clock = clock;
    this.address = address;
    const crypto = backend === 'noble' ? createNobleSuite(this.arena) : createCrypto(this.arena, 'primitives');
    this.cipher = crypto.cipher;
    const random = seeded(seed);
    const suite = {
      ...crypto.suite,
      random: (out: Uint8Array) => {
        for (let i = 0; i < out.length; i++) out[i] = Math.floor(random() * 256);
      },
      installKey: (key: Uint8Array) => {
        const slot = crypto.suite.installKey(key);
        if (this.liveKeys.has(slot)) throw new Error(`slot ${slot} holds a key already`);
        this.keys.push(slot);
        this.liveKeys.add(slot);
        return slot;
      },
      removeKey: (slot: number) => {
        if (!this.liveKeys.delete(slot)) throw new Error(`slot ${slot} holds no key`);
        crypto.suite.removeKey(slot);
      },
    };
    this.device = new Device({ suite, arena: this.arena, wallTimeMs: () => clock.wall });
    this.#source = this.device.endpoints.allocate();
    suite.random(this.privateKey);
    this.privateKey[0]! &= 248;
    this.privateKey[31] = (this.privateKey[31]! & 127) | 64;
    this.publicKey = crypto.suite.importPrivateKey(this.privateKey).publicKey;
    this.device.configure({ privateKey: this.privateKey, listenPort: address.port }, clock.now);
    this.device.setUp(true);
  }

  /** Configures `other` as a peer with the given prefixes. */
  add(
    other: Node,
    prefixes: readonly string[],
    more: { endpoint?: boolean; keepalive?: number; psk?: Uint8Array } = {},
  ): void {
    this.device.configure(
      {
        peers: [
          {
            publicKey: other.publicKey,
            ...(more.endpoint !== false && { endpoint: other.address }),
            ...(more.keepalive !== undefined && { persistentKeepaliveInterval: more.keepalive }),
            ...(more.psk && { presharedKey: more.psk }),
            allowedIps: prefixes.map(parsePrefix),
          },
        ],
      },
      this.clock.now,
    );
    this.flush();
  }

  /** A cleartext packet enters from behind. */
  input(...packets: readonly Uint8Array[]): void {
    const batch = this.#out;
    batch.count = packets.length;
    for (const [row, packet] of packets.entries()) {
      const offset = OUT + row * SLOT + HEADROOM;
      this.arena.set(packet, offset);
      batch.offset[row] = offset;
      batch.length[row] = packet.length;
    }
    this.device.planOutbound(batch, this.clock.now);
    this.#seal();
    this.flush();
  }

  /** A data message as this node would send it, with any counter. @param like one that it sent */
  forge(like: Datagram, key: number, counter: bigint, packet: Uint8Array): Datagram {
    const batch = this.#out;
    const offset = OUT + HEADROOM;
    batch.count = 1;
    batch.offset[0] = offset;
    batch.length[0] = packet.length;
    batch.key[0] = key;
    batch.counterLo[0] = Number(counter & 0xffffffffn);
    batch.counterHi[0] = Number(counter >> 32n);
    this.arena.set(packet, offset);
    this.cipher.seal(batch);
    const bytes = new Uint8Array(16 + packet.length + 16);
    bytes.set(like.bytes.subarray(0, 8));
    new DataView(bytes.buffer).setBigUint64(8, counter, true);
    bytes.set(this.arena.subarray(offset, offset + packet.length + 16), 16);
    return { ...like, bytes };
  }

  /** Datagrams arrive from the wire. */
  receive(datagram: Datagram): void {
    this.enqueue(datagram);
    this.device.processHandshakes(64, this.clock.now);
    this.flush();
  }

  /** As {@link receive}, but a handshake message stays in its queue. */
  enqueue(datagram: Datagram): void {
    if (datagram.bytes.length > SLOT - HEADROOM - TAILROOM) throw new Error('the simulator has smaller slots');
    const batch = this.#in;
    const offset = IN + HEADROOM;
    batch.count = 1;
    batch.offset[0] = offset;
    batch.length[0] = datagram.bytes.length;
    batch.endpoint[0] = this.#source;
    batch.tos[0] = datagram.tos;
    this.arena.set(datagram.bytes, offset);
    this.device.endpoints.set(this.#source, datagram.from);
    this.device.planInbound(batch, this.clock.now);
    this.cipher.open(batch);
    this.device.finishInbound(batch, this.clock.now);
    if (batch.length[0] !== GONE) {
      this.delivered.push(this.arena.slice(batch.offset[0], batch.offset[0]! + batch.length[0]!));
    }
  }

  /** Sends what the core has to say. */
  flush(): void {
    const batch = this.#out;
    do {
      for (let row = 0; row < ROWS; row++) batch.offset[row] = OUT + row * SLOT + HEADROOM;
      this.device.planPending(batch, SLOT - HEADROOM - TAILROOM, this.clock.now);
      this.#seal();
    } while (batch.count === batch.capacity);
    while (this.device.takeLocal(this.#in)) {
      for (let row = 0; row < this.#in.count; row++) {
        const at = this.#in.offset[row]!;
        this.delivered.push(this.arena.slice(at, at + this.#in.length[row]!));
      }
    }
    for (let event = this.device.pollEvent(); event; event = this.device.pollEvent()) this.events.push(event);
  }

  timeout(): void {
    this.device.handleTimeout(this.clock.now);
    this.flush();
  }

  #seal(): void {
    const batch = this.#out;
    this.cipher.seal(batch);
    this.device.finishOutbound(batch, this.clock.now);
    for (let row = 0; row < batch.count; row++) {
      const length = batch.length[row]!;
      if (length === GONE) continue;
      const at = batch.offset[row]!;
      const to = this.device.endpoints.get(batch.endpoint[row]!);
      if (!to) throw new Error('a datagram without an endpoint');
      this.send({ bytes: this.arena.slice(at, at + length), from: this.address, to, tos: batch.tos[row]! });
    }
  }
}

/** A wire between any nodes: delivers by address, in order, after `delayMs`; `filter` may change or drop. */
export class Network {
  readonly clock: Clock = new Clock();
  readonly nodes: Node[] = [];
  delayMs = 1;
  /** Returns the datagrams to deliver instead: none, one, or several. */
  filter: (datagram: Datagram) => readonly Datagram[] = (datagram) => [datagram];
  /** Everything that was sent, before the filter. */
  readonly sent: { readonly at: number; readonly datagram: Datagram }[] = [];
  #queue: { readonly at: number; readonly order: number; readonly datagram: Datagram }[] = [];
  #order = 0;

  add(address: string, port: number, backend: 'noble' | 'primitives' = 'primitives'): Node {
    const node = new Node(this.clock, { address: parseAddress(address), port }, this.nodes.length + 1, backend);
    node.send = (datagram) => this.#send(datagram);
    this.nodes.push(node);
    return node;
  }

  #send(datagram: Datagram): void {
    this.sent.push({ at: this.clock.now, datagram });
    for (const each of this.filter(datagram)) this.post(each, this.delayMs);
  }

  /** Puts a datagram on the wire, to arrive after `delayMs`. */
  post(datagram: Datagram, delayMs: number): void {
    this.#queue.push({ at: this.clock.now + delayMs, order: this.#order++, datagram });
    this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
  }

  /** Lets time pass: every delivery and every timer in turn. */
  advance(ms: number): void {
    const end = this.clock.now + ms;
    for (;;) {
      const delivery = this.#queue[0]?.at ?? Number.POSITIVE_INFINITY;
      const timer = Math.min(...this.nodes.map((node) => node.device.nextTimeout()));
      const next = Math.min(delivery, timer);
      if (next > end) break;
      this.clock.advance(Math.max(0, next - this.clock.now));
      if (delivery <= timer) {
        const { datagram } = this.#queue.shift()!;
        this.nodes.find((node) => sameEndpoint(node.address, datagram.to))?.receive(datagram);
      } else for (const node of this.nodes) node.timeout();
    }
    this.clock.advance(end - this.clock.now);
  }

  /** How many datagrams of a message type were sent since `from` (an index into {@link sent}). */
  count(type: number, from = 0): number {
    return this.sent.slice(from).filter(({ datagram }) => datagram.bytes[0] === type).length;
  }
}

/** Two peers, of which the second learns the first one's endpoint; with a preshared key if there is one. */
export function pair({ backend, psk }: { backend?: 'noble' | 'primitives'; psk?: Uint8Array } = {}): {
  network: Network;
  a: Node;
  b: Node;
} {
  const network = new Network();
  const a = network.add('192.0.2.1', 1, backend);
  const b = network.add('192.0.2.2', 2, backend);
  const more = psk ? { psk } : {};
  a.add(b, ['10.0.0.2/32'], more);
  b.add(a, ['10.0.0.1/32'], { ...more, endpoint: false });
  return { network, a, b };
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && Buffer.compare(a.address, b.address) === 0;
}

export function parseAddress(text: string): Uint8Array {
  if (!text.includes(':')) return Uint8Array.from(text.split('.').map(Number));
  const [head = '', tail] = text.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((word) => [word >>> 8, word & 255]));
}

export function parsePrefix(text: string): { address: Uint8Array; cidr: number } {
  const [address = '', cidr] = text.split('/');
  return { address: parseAddress(address), cidr: Number(cidr) };
}

/** An IPv4 or IPv6 packet with `payload` bytes (protocol 253, for experiments), filled with a pattern. */
export function ipPacket(from: string, to: string, payload: number, tos = 0): Uint8Array {
  const source = parseAddress(from);
  const v4 = source.length === 4;
  const header = v4 ? 20 : 40;
  const packet = Uint8Array.from({ length: header + payload }, (_, i) => i & 255);
  packet.fill(0, 0, header);
  const view = new DataView(packet.buffer);
  if (v4) {
    packet[0] = 0x45;
    packet[1] = tos;
    view.setUint16(2, packet.length);
    packet[8] = 64;
    packet[9] = 253;
    packet.set(source, 12);
    packet.set(parseAddress(to), 16);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
    sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
  } else {
    view.setUint32(0, 0x60000000 | (tos << 20));
    view.setUint16(4, payload);
    packet[6] = 253;
    packet[7] = 64;
    packet.set(source, 8);
    packet.set(parseAddress(to), 24);
  }
  return packet;
}
