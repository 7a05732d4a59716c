/** Generated traffic: from a seed, always the same. */
import { ACK, build, CWR, ECE, FIN, type Packet, PSH, RST, SYN, URG } from './reference.js';

/** A small generator of random numbers (a 32-bit Weyl sequence, mixed). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** An integer from 0 to `below - 1`. */
  below(below: number): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * below);
  }

  /** True once in `of` times. */
  once(of: number): boolean {
    return this.below(of) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

const TIMESTAMP: readonly number[] = [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4];

/** A packet of a new flow, one of `hosts` * `hosts` * 2 * 2: payload still empty. */
export function newFlow(random: Random, hosts: number): Packet {
  const version = random.pick([4, 6] as const);
  const address = (host: number): number[] =>
    version === 4 ? [10, 0, host >> 8, host & 255] : [0xfd, ...Array<number>(13).fill(0), host >> 8, host & 255];
  const protocol = random.pick([6, 6, 17]);
  return {
    version,
    source: address(random.below(hosts)),
    destination: address(random.below(hosts)),
    tos: random.pick([0, 2, 0xb8]),
    ttl: 64,
    flowLabel: version === 6 ? random.below(0x100000) : 0,
    id: random.below(0x10000),
    fragment: random.pick([0, 0x4000]),
    extra: [],
    extension: 0,
    protocol,
    ports: [random.pick([443, 5201]), random.pick([4433, 40000])],
    sequence: random.pick([random.below(2 ** 32), 2 ** 32 - 1 - random.below(3000)]),
    acknowledgment: random.below(2 ** 32),
    flags: ACK,
    window: random.below(0x10000),
    urgent: 0,
    options: random.pick([[], TIMESTAMP, [1, 1, 5, 10, ...be(9)]]),
    payload: new Uint8Array(0),
  };
}

function be(value: number): number[] {
  return [0, 0, 0, value, 0, 0, 1, value];
}

/** What happens to one packet of a stream, in most cases nothing. */
const ODDITIES: readonly ((packet: Packet, random: Random) => Packet)[] = [
  (packet) => ({ ...packet, flags: packet.flags | PSH }),
  (packet) => ({ ...packet, flags: packet.flags | PSH }),
  (packet) => ({ ...packet, flags: packet.flags | FIN | PSH }),
  (packet) => ({ ...packet, flags: packet.flags | ECE }),
  (packet) => ({ ...packet, flags: packet.flags | CWR }),
  (packet, random) => ({ ...packet, flags: random.pick([SYN, SYN | ACK, RST, RST | ACK, ACK | URG, 0, ACK | 0x100]) }),
  (packet) => ({ ...packet, urgent: 7 }),
  (packet, random) => ({ ...packet, payload: random.bytes(random.below(packet.payload.length + 1)) }),
  (packet, random) => ({ ...packet, payload: random.bytes(packet.payload.length + 1 + random.below(9)) }),
  (packet) => ({ ...packet, payload: new Uint8Array(0) }),
  (packet, random) => ({ ...packet, acknowledgment: random.below(2 ** 32) }),
  (packet, random) => ({ ...packet, window: random.below(0x10000) }),
  (packet, random) => ({ ...packet, options: random.pick([[], TIMESTAMP.map((byte) => byte ^ 16)]) }),
  (packet, random) => ({ ...packet, sequence: random.below(2 ** 32) }),
  (packet, random) => ({ ...packet, tos: random.below(256) }),
  (packet, random) => ({ ...packet, ttl: random.below(256) }),
  (packet, random) => ({ ...packet, id: random.below(0x10000) }),
  (packet, random) => ({ ...packet, flowLabel: random.below(0x100000) }),
  (packet) => ({ ...packet, fragment: packet.fragment ^ 0x4000 }),
  (packet) => ({ ...packet, fragment: 0x2000 }),
  (packet) => ({ ...packet, fragment: 0x00b9 }),
  (packet) => ({ ...packet, fragment: packet.fragment ^ 0x8000 }),
  (packet) => ({ ...packet, extra: extraOf(packet, packet.protocol), extension: 0 }),
  (packet) => ({ ...packet, extra: extraOf(packet, packet.protocol), extension: 44 }),
  (packet, random) => ({ ...packet, protocol: random.pick([1, 58, 47, 51]) }),
];

/** IPv4 options (a router alert), or an extension header of eight bytes. */
export function extraOf(packet: Packet, next: number): number[] {
  return packet.version === 4 ? [148, 4, 0, 0] : [next, 0, 1, 4, 0, 0, 0, 0];
}

/** Harm done to the bytes of one packet. */
const HARMS: readonly ((bytes: Uint8Array, random: Random) => Uint8Array)[] = [
  (bytes, random) =>
    bytes.map((byte, at) => (at === bytes.length - 1 - (bytes.length >> 3) ? byte ^ (1 + random.below(255)) : byte)),
  (bytes, random) => flip(bytes, random.below(bytes.length), random),
  (bytes, random) => flip(bytes, random.below(Math.min(60, bytes.length)), random),
  (bytes, random) => bytes.slice(0, random.below(bytes.length + 1)),
  (bytes, random) => Uint8Array.from([...bytes, ...random.bytes(1 + random.below(20))]),
  (_, random) => random.bytes(random.below(100)),
  // UDP without a checksum, or a TCP header's part zeroed.
  (bytes) => bytes.map((byte, at) => (at === 26 || at === 27 ? 0 : byte)),
  (bytes) => bytes.map((byte, at) => (at === 46 || at === 47 ? 0 : byte)),
];

function flip(bytes: Uint8Array, place: number, random: Random): Uint8Array {
  return bytes.map((byte, at) => (at === place ? byte ^ (1 << random.below(8)) : byte));
}

/**
 * Packets of a few interleaved flows, as they would come out of a tunnel.
 * @param count packets
 * @param flows that take turns
 * @param oddity one packet in so many is odd, and one in twice as many harmed
 */
export function traffic(random: Random, count: number, flows: number, oddity: number): Uint8Array[] {
  const size = random.pick([1, 2, 31, 32, 100, 100, 301]);
  const hosts = flows > 8 ? 200 : 3;
  const live = Array.from({ length: flows }, () => newFlow(random, hosts));
  const made: Uint8Array[] = [];
  for (let turn = random.below(flows); made.length < count; turn = random.once(4) ? random.below(flows) : turn) {
    let packet: Packet = { ...live[turn]!, payload: random.bytes(size) };
    if (random.once(oddity)) packet = random.pick(ODDITIES)(packet, random);
    // An odd packet is odd in itself, or the flow goes on from it.
    live[turn] = {
      ...(random.once(2) ? packet : live[turn]!),
      flags: random.once(8) ? packet.flags & (ACK | ECE) : ACK,
      id: (packet.id + 1) % 0x10000,
      sequence: (packet.sequence + packet.payload.length) % 2 ** 32,
    };
    const bytes = build(packet);
    made.push(random.once(2 * oddity) ? random.pick(HARMS)(bytes, random) : bytes);
  }
  return made;
}

/** A super-packet as a kernel would make it, of `count` segments of `gsoSize` bytes, the last one maybe shorter. */
export function superPacket(random: Random, count: number, gsoSize: number): Packet {
  const flow = newFlow(random, 3);
  const flags = ACK | (random.once(2) ? PSH : 0) | (random.once(6) ? FIN : 0) | (random.once(6) ? ECE : 0);
  return {
    ...flow,
    flags: flags | (random.once(6) ? CWR : 0),
    payload: random.bytes(gsoSize * count - (random.once(2) ? random.below(gsoSize) : 0)),
  };
}
