import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Arena } from '../../src/offload/arena.js';
import { SplitError, Splitter } from '../../src/offload/split.js';
import { arenas, Rows } from './arenas.js';
import { extraOf, newFlow, Random, superPacket } from './generate.js';
import { build, buildUnfinished, buildVirtio, type Packet, segments, type Virtio, virtioFor } from './reference.js';

const ROUNDS = process.env['TYPETUN_TEST_TIER'] === 'full' ? 3000 : 300;
const AT = 1000;
const SLOT_AT = 100_000;
/** Bytes that are watched for writes out of place. */
const FENCED = 200_000;

/** Puts a TUN read into the arena. @returns what `begin` makes of it */
function begin(splitter: Splitter, arena: Arena, virtio: Virtio, packet: Uint8Array): number {
  arena.bytes.set(buildVirtio(virtio), AT - 10);
  arena.bytes.set(packet, AT);
  return splitter.begin(AT - 10, AT, packet.length);
}

/** Splits it whole, `limit` packets at a time. */
function split(arena: Arena, virtio: Virtio, packet: Uint8Array, limit: number): Uint8Array[] {
  const splitter = new Splitter(arena);
  const made: Uint8Array[] = [];
  const rows = new Rows(limit + 1);
  let left = begin(splitter, arena, virtio, packet);
  assert.ok(left > 0, `refused: ${left}`);
  while (left > 0) {
    const wrote = splitter.write(rows, 1, limit, SLOT_AT, 2000);
    assert.ok(wrote > 0 && wrote <= limit);
    for (let row = 1; row <= wrote; row++) made.push(rows.packet(arena, row));
    left -= wrote;
  }
  assert.equal(splitter.write(rows, 1, limit, SLOT_AT, 2000), 0);
  return made;
}

for (const [name, arena] of arenas()) {
  describe(`Splitter, checksums in ${name}`, () => {
    it('makes the packets that the reference makes', () => {
      for (let seed = 0; seed < ROUNDS; seed++) {
        const random = new Random(seed);
        const gsoSize = random.pick([1, 2, 7, 48, 512, 1399, 1400]);
        const packet = superPacket(random, 1 + random.below(gsoSize > 512 ? 46 : 100), gsoSize);
        const expected = segments(packet, gsoSize).map(build);
        const made = split(arena, virtioFor(packet, gsoSize), buildUnfinished(packet), random.pick([1, 7, 64, 128]));
        assert.deepEqual(made, expected, `seed ${seed}`);
      }
    });

    it('takes IPv4 options and IPv6 extension headers along', () => {
      for (let seed = 0; seed < 40; seed++) {
        const random = new Random(seed);
        const plain = superPacket(random, 5, 100);
        const packet: Packet = { ...plain, extra: extraOf(plain, plain.protocol), extension: 60 };
        const expected = segments(packet, 100).map(build);
        assert.deepEqual(split(arena, virtioFor(packet, 100), buildUnfinished(packet), 64), expected);
      }
    });

    it('completes a checksum where the packet is', () => {
      for (let seed = 0; seed < 100; seed++) {
        const random = new Random(seed);
        const packet: Packet = { ...newFlow(random, 3), payload: random.bytes(random.below(1400)) };
        const splitter = new Splitter(arena);
        const rows = new Rows(1);
        assert.equal(begin(splitter, arena, virtioFor(packet, 0), buildUnfinished(packet)), 1);
        assert.equal(splitter.write(rows, 0, 1, SLOT_AT, 2000), 1);
        assert.equal(rows.offset[0], AT);
        assert.deepEqual(rows.packet(arena, 0), build(packet));
      }
    });

    it('writes a UDP checksum that comes out as 0 as 0xffff', () => {
      const flow: Packet = {
        ...newFlow(new Random(5), 1),
        version: 4,
        source: [0, 0, 0, 0],
        destination: [0, 0, 0, 0],
      };
      // Everything else in the sum: protocol 17, length 10 twice. Ports and payload fill it up to 0xffff.
      const udp: Packet = { ...flow, protocol: 17, ports: [0, 0], payload: Uint8Array.of(0xff, 0xff - 37) };
      assert.deepEqual(build(udp).slice(26, 28), Uint8Array.of(0xff, 0xff));
      assert.deepEqual(split(arena, virtioFor(udp, 0), buildUnfinished(udp), 1), [build(udp)]);
      const twice: Packet = { ...udp, payload: Uint8Array.of(...udp.payload, ...udp.payload) };
      assert.deepEqual(split(arena, virtioFor(twice, 2), buildUnfinished(twice), 8), segments(twice, 2).map(build));
    });

    it('leaves a packet alone that needs nothing', () => {
      const bytes = new Random(1).bytes(333);
      const virtio = { flags: 2, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 };
      assert.deepEqual(split(arena, virtio, bytes, 1), [bytes]);
    });

    it('refuses what cannot be', () => {
      const random = new Random(9);
      const tcp4: Packet = {
        ...superPacket(random, 3, 100),
        version: 4,
        source: [10, 0, 0, 1],
        destination: [10, 0, 0, 2],
        protocol: 6,
      };
      const good = virtioFor(tcp4, 100);
      const bytes = buildUnfinished(tcp4);
      const patched = (at: number, value: number): Uint8Array => bytes.map((byte, i) => (i === at ? value : byte));
      const cases: [virtio: Virtio, packet: Uint8Array, reason: number][] = [
        [{ ...good, gsoSize: 0 }, bytes, SplitError.gso],
        [{ ...good, gsoType: 3 }, bytes, SplitError.gso],
        [{ ...good, gsoType: 4 }, bytes, SplitError.gso],
        [{ ...good, gsoType: 5 }, bytes, SplitError.gso],
        [{ ...good, flags: 0 }, bytes, SplitError.gso],
        [{ ...good, checksumStart: bytes.length }, bytes, SplitError.checksum],
        [{ ...good, checksumStart: 65535, checksumOffset: 65535 }, bytes, SplitError.checksum],
        [{ ...good, gsoType: 0, checksumStart: 0 }, bytes, SplitError.checksum],
        [{ ...good, gsoType: 0, checksumOffset: bytes.length - 21 }, bytes, SplitError.checksum],
        [{ ...good, checksumStart: 24 }, bytes, SplitError.checksum],
        [{ ...good, checksumOffset: 6 }, bytes, SplitError.checksum],
        [good, bytes.slice(0, -1), SplitError.length],
        [good, patched(0, 0x44), SplitError.checksum],
        [good, patched(0, 0x25), SplitError.gso],
        [good, patched(6, 0x20), SplitError.gso],
        [good, patched(9, 17), SplitError.gso],
        [good, patched(32, 0x40), SplitError.tcp],
        [{ ...good, flags: 1 }, new Uint8Array(0), SplitError.checksum],
      ];
      for (const [virtio, packet, reason] of cases) {
        assert.equal(begin(new Splitter(arena), arena, virtio, packet), reason, JSON.stringify(virtio));
      }
      assert.equal(begin(new Splitter(arena), arena, { ...good, gsoType: 0x81, headerLength: 1 }, bytes), 3);
    });

    it('stays inside the packet and the slots, whatever the headers say', () => {
      const splitter = new Splitter(arena);
      const rows = new Rows(64);
      const fence = Buffer.alloc(FENCED, 0xa5);
      let accepted = 0;
      for (let seed = 0; seed < ROUNDS * 4; seed++) {
        const random = new Random(seed);
        const packet = superPacket(random, 1 + random.below(6), 50);
        const bytes = buildUnfinished(packet);
        const header = buildVirtio(virtioFor(packet, 50));
        for (let harm = random.below(4); harm >= 0; harm--) {
          const target = random.once(2) ? header : bytes.subarray(0, 80);
          target[random.below(target.length)] = random.below(256);
        }
        const length = random.once(4) ? random.below(bytes.length) : bytes.length;
        arena.bytes.fill(0xa5, 0, FENCED);
        arena.bytes.set(header, AT - 10);
        arena.bytes.set(bytes.subarray(0, length), AT);
        const count = splitter.begin(AT - 10, AT, length);
        if (count < 0) continue;
        accepted++;
        const wrote = splitter.write(rows, 0, 64, SLOT_AT, 1000);
        assert.ok(wrote >= 1 && wrote <= 64);
        arena.bytes.fill(0xa5, AT - 10, AT + length);
        for (let row = 0; row < wrote; row++) {
          const at = rows.offset[row]!;
          assert.ok(at === AT || at === SLOT_AT + 1000 * row);
          assert.ok(rows.length[row]! <= (at === AT ? length : 1000));
          arena.bytes.fill(0xa5, at, at + rows.length[row]!);
        }
        assert.ok(fence.equals(arena.bytes.subarray(0, FENCED)), `seed ${seed}`);
      }
      assert.ok(accepted > ROUNDS / 2);
    });
  });
}
