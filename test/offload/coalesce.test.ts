import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Arena } from '../../src/offload/arena.js';
import { Coalescer } from '../../src/offload/coalesce.js';
import { Groups, IOVEC_SIZE } from '../../src/offload/groups.js';
import { arenas, Rows } from './arenas.js';
import { byFlow, carried, comparable } from './carried.js';
import { Random, superPacket, traffic } from './generate.js';
import {
  ACK,
  build,
  buildUnfinished,
  CWR,
  FIN,
  type Packet,
  PSH,
  parseVirtio,
  segments,
  virtioFor,
} from './reference.js';

const ROUNDS = process.env['TYPETUN_TEST_TIER'] === 'full' ? 4000 : 400;
const CAPACITY = 512;
/** The rows that ended, among those that did not. */
const GONE = -1;

/** One coalescer with its batch, and the arena they work on. */
class Bench {
  readonly arena: Arena;
  readonly rows: Rows = new Rows(CAPACITY);
  readonly groups: Groups = new Groups(CAPACITY, new Uint8Array(CAPACITY * IOVEC_SIZE), 0x7fa3_fffc_1000);
  readonly coalescer: Coalescer;

  constructor(arena: Arena, tcp = true, udp = true) {
    this.arena = arena;
    this.coalescer = new Coalescer(arena, CAPACITY, tcp, udp);
  }

  /** Lays the packets into the arena, 16 bytes in front of each, runs the coalescer. @returns what would be written */
  run(packets: readonly Uint8Array[]): Uint8Array[] {
    let at = 0;
    this.rows.count = 0;
    for (const packet of packets) {
      this.arena.bytes.fill(0xee, at, at + 16);
      this.arena.bytes.set(packet, at + 16);
      this.rows.offset[this.rows.count] = at + 16;
      this.rows.length[this.rows.count++] = packet.length;
      at += 16 + packet.length + (packet.length % 3);
      if (packet.length % 7 === 3) this.rows.length[this.rows.count++] = GONE;
    }
    this.coalescer.run(this.rows, this.groups);
    return Array.from({ length: this.groups.count }, (_, group) => this.#gather(group));
  }

  #gather(group: number): Uint8Array {
    const first = this.groups.first[group]!;
    const vectors = Array.from({ length: this.groups.packets[group]! }, (_, i) => this.vector(first + i));
    const gathered = Buffer.concat(vectors);
    assert.equal(gathered.length, this.groups.bytes(group));
    return Uint8Array.from(gathered);
  }

  vector(index: number): Uint8Array {
    const at = this.groups.offset[index]!;
    return this.arena.bytes.slice(at, at + this.groups.length[index]!);
  }
}

/** A stream of `count` segments, as the reference cuts them. */
function stream(change: Partial<Packet> = {}, count = 10, size = 100): Packet[] {
  const base = superPacket(new Random(3), 1, 1);
  const payload = new Random(4).bytes(count * size);
  const v4: Partial<Packet> = { version: 4, source: [10, 0, 0, 1], destination: [10, 0, 0, 2], flowLabel: 0 };
  return segments({ ...base, ...v4, protocol: 6, flags: ACK, fragment: 0x4000, payload, ...change }, size);
}

const V6: Partial<Packet> = {
  version: 6,
  source: [0xfd, ...Array<number>(14).fill(0), 1],
  destination: [0xfd, ...Array<number>(14).fill(0), 2],
  flowLabel: 0xabcde,
};

for (const [name, arena] of arenas()) {
  describe(`Coalescer, checksums in ${name}`, () => {
    it('gathers what can be segmented into exactly what came', () => {
      const bench = new Bench(arena);
      let packets = 0;
      let writes = 0;
      for (let seed = 0; seed < ROUNDS; seed++) {
        const random = new Random(seed);
        const input = traffic(
          random,
          1 + random.below(150),
          random.pick([1, 1, 2, 3, 8, 100]),
          random.pick([3, 10, 50]),
        );
        const written = bench.run(input);
        assert.deepEqual(byFlow(written.flatMap(carried)), byFlow(input), `seed ${seed}`);
        packets += input.length;
        writes += written.length;
      }
      assert.ok(writes < packets * 0.7, `${writes} of ${packets}`);
    });

    it('lets nothing overtake a packet whose flow cannot be told, or the other way round', () => {
      const bench = new Bench(arena);
      const whole = stream({}, 9).map(build);
      const fragment = build({ ...stream()[0]!, fragment: 0x2000 });
      const written = bench.run([...whole.slice(0, 4), fragment, ...whole.slice(4)]);
      assert.deepEqual(
        written.map((write) => carried(write).length),
        [4, 1, 5],
      );
      assert.deepEqual(written[1]!.slice(10), fragment);
    });

    it('makes one super-packet of a split one', () => {
      const bench = new Bench(arena);
      for (let seed = 0; seed < ROUNDS; seed++) {
        const random = new Random(seed);
        const size = random.pick([1, 99, 1400]);
        const whole = superPacket(random, 2 + random.below(size === 1400 ? 44 : 62), size);
        const packet = { ...whole, flags: whole.flags & ~CWR };
        const written = bench.run(segments(packet, size).map(build));
        assert.equal(written.length, 1, `seed ${seed}`);
        assert.deepEqual(written[0]!.slice(10), buildUnfinished(packet));
        assert.deepEqual(parseVirtio(written[0]!), virtioFor(packet, size));
      }
    });

    it('ends a group where its rules say', () => {
      const bench = new Bench(arena);
      // Ten segments, the fifth (index 4) changed. Sizes of the groups that come out.
      const cases: [name: string, change: (packet: Packet) => Packet, groups: number[], base?: Partial<Packet>][] = [
        ['nothing', (packet) => packet, [10]],
        ['PSH', (packet) => ({ ...packet, flags: packet.flags | PSH }), [5, 5]],
        ['FIN', (packet) => ({ ...packet, flags: packet.flags | FIN }), [5, 5]],
        ['CWR', (packet) => ({ ...packet, flags: packet.flags | CWR }), [4, 1, 5]],
        ['shorter', (packet) => ({ ...packet, payload: packet.payload.slice(1) }), [5, 5]],
        ['longer', (packet) => ({ ...packet, payload: Uint8Array.of(...packet.payload, 1) }), [4, 2, 4]],
        ['pure ACK', (packet) => ({ ...packet, payload: new Uint8Array(0) }), [4, 1, 5]],
        ['window', (packet) => ({ ...packet, window: packet.window ^ 1 }), [4, 1, 5]],
        ['acknowledgment', (packet) => ({ ...packet, acknowledgment: packet.acknowledgment ^ 1 }), [4, 1, 5]],
        ['urgent pointer', (packet) => ({ ...packet, urgent: 1 }), [4, 1, 5]],
        ['options', (packet) => ({ ...packet, options: [1, 1, 1, 1] }), [4, 1, 5]],
        ['sequence', (packet) => ({ ...packet, sequence: packet.sequence + 1 }), [4, 1, 5]],
        ['TTL', (packet) => ({ ...packet, ttl: 63 }), [4, 1, 5]],
        ['TOS', (packet) => ({ ...packet, tos: packet.tos ^ 3 }), [4, 1, 5]],
        ['DF', (packet) => ({ ...packet, fragment: 0 }), [4, 1, 5]],
        ['identification with DF', (packet) => ({ ...packet, id: 0 }), [10]],
        ['identification without DF', (packet) => ({ ...packet, id: packet.id ^ 99 }), [4, 1, 5], { fragment: 0 }],
        // The group goes on; what is of another flow has its own.
        ['other port', (packet) => ({ ...packet, ports: [1, 2] }), [9, 1]],
        ['other source', (packet) => ({ ...packet, source: [10, 0, 0, 9] }), [9, 1]],
        ['other destination', (packet) => ({ ...packet, destination: [10, 0, 0, 9] }), [9, 1]],
        ['other protocol', (packet) => ({ ...packet, protocol: 47 }), [9, 1]],
        ['IP options', (packet) => ({ ...packet, extra: [1, 1, 1, 1] }), [4, 1, 5]],
        ['IPv6, nothing', (packet) => packet, [10], V6],
        ['IPv6, flow label', (packet) => ({ ...packet, flowLabel: 1 }), [4, 1, 5], V6],
        ['IPv6, hop limit', (packet) => ({ ...packet, ttl: 63 }), [4, 1, 5], V6],
        ['IPv6, traffic class', (packet) => ({ ...packet, tos: packet.tos ^ 16 }), [4, 1, 5], V6],
        ['IPv6, extension', (packet) => ({ ...packet, extra: [6, 0, 1, 4, 0, 0, 0, 0] }), [4, 1, 5], V6],
        ['UDP, nothing', (packet) => packet, [10], { protocol: 17 }],
        ['UDP, shorter', (packet) => ({ ...packet, payload: packet.payload.slice(1) }), [5, 5], { protocol: 17 }],
        ['UDP, empty', (packet) => ({ ...packet, payload: new Uint8Array(0) }), [4, 1, 5], { protocol: 17 }],
        ['UDP over IPv6', (packet) => packet, [10], { ...V6, protocol: 17 }],
      ];
      for (const [what, change, groups, base] of cases) {
        // What follows a changed packet follows from its sequence number and length, but for these.
        const packets = stream(base).map((packet, i) => (i === 4 ? change(packet) : packet));
        const grown = packets[4]!.payload.length - 100;
        const own = what.startsWith('other');
        const input = packets.map((packet, i) => {
          if (own && i > 4) return { ...packet, sequence: packet.sequence - 100 };
          return i > 4 ? { ...packet, sequence: packet.sequence + grown } : packet;
        });
        const written = bench.run(input.map(build)).map((write) => carried(write).length);
        assert.deepEqual(written, groups, what);
      }
    });

    it('verifies before it gathers', () => {
      const bench = new Bench(arena);
      for (const base of [{}, V6, { protocol: 17 }, { ...V6, protocol: 17 }]) {
        for (const harmed of [0, 4, 9]) {
          const packets = stream(base).map(build);
          packets[harmed]![packets[harmed]!.length - 1]! ^= 1;
          const written = bench.run(packets);
          const sizes = written.map((write) => write.length).filter((length) => length < 200);
          assert.equal(sizes.length, 1, 'one passes singly');
          assert.deepEqual(written.flatMap(carried).map(comparable), packets.map(comparable));
        }
      }
      const packets = stream().map(build);
      packets[4]![10]! ^= 1;
      assert.deepEqual(
        bench.run(packets).map((write) => carried(write).length),
        [4, 1, 5],
      );
    });

    it('keeps super-packets within 64 packets and 65,535 bytes', () => {
      const bench = new Bench(arena);
      const small = bench.run(stream({}, 130, 10).map(build));
      assert.deepEqual(
        small.map((write) => carried(write).length),
        [64, 64, 2],
      );
      for (const base of [{}, V6]) {
        const large = bench.run(stream(base, 32, 2000).map(build));
        assert.equal(carried(large[0]!).length, 32);
        const two = bench.run(segments({ ...stream(base)[0]!, payload: new Uint8Array(80_000) }, 1990).map(build));
        assert.deepEqual(
          two.map((write) => carried(write).length),
          [32, 9],
        );
      }
    });

    it('gathers what it was told to', () => {
      const [tcp, udp] = [stream().map(build), stream({ protocol: 17 }).map(build)];
      assert.equal(new Bench(arena, false, true).run([...tcp, ...udp]).length, 11);
      assert.equal(new Bench(arena, true, false).run([...tcp, ...udp]).length, 11);
      const neither = new Bench(arena, false, false).run([...tcp, ...udp]);
      assert.deepEqual(neither.flatMap(carried), [...tcp, ...udp]);
    });

    it('gathers a thousand flows as far as its table goes', () => {
      const bench = new Bench(arena);
      const flows = Array.from({ length: 250 }, (_, i) => stream({ ports: [i, 99] }, 2, 20));
      const input = [...flows.map((flow) => flow[0]!), ...flows.map((flow) => flow[1]!)].map(build);
      const written = bench.run(input);
      assert.deepEqual(byFlow(written.flatMap(carried)), byFlow(input));
      assert.ok(written.length < 450, `${written.length}`);
    });

    it('takes a super-packet apart again', () => {
      const bench = new Bench(arena);
      for (const base of [{}, V6, { protocol: 17 }, { ...V6, protocol: 17 }, { flags: ACK | FIN | PSH }]) {
        const input = stream({ ...base }, 7, 99).map(build);
        assert.equal(bench.run(input).length, 1);
        bench.coalescer.takeApart(bench.groups, 0);
        const apart = input.map((_, i) => bench.vector(i));
        assert.deepEqual(apart.flatMap(carried), input);
      }
    });

    it('throws when there are more rows than it has room for', () => {
      const coalescer = new Coalescer(arena, 1, true, true);
      const rows = new Rows(2);
      rows.count = 2;
      assert.throws(() => coalescer.run(rows, new Groups(2, new Uint8Array(32), 0)), RangeError);
    });
  });
}

describe('Groups', () => {
  it('writes native I/O vectors, with a carry', () => {
    const memory = new Uint8Array(3 * IOVEC_SIZE).fill(0xff);
    for (const base of [0x10000, 0x7fff_f000, 0x7fa3_ffff_f000]) {
      const groups = new Groups(3, memory, base);
      groups.set(0, 0, 10);
      groups.set(1, 0xfff, 65535);
      groups.set(2, 0x123456, 1);
      assert.deepEqual(Array.from(new BigUint64Array(memory.buffer)), [
        ...[BigInt(base), 10n, BigInt(base) + 0xfffn, 65535n],
        ...[BigInt(base) + 0x123456n, 1n],
      ]);
    }
  });
});
