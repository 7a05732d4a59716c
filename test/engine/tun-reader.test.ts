/**
 * Packets on their way from a real TUN into batches: a packet socket hands the kernel super-packets of any shape, and it
 * hands them to the TUN.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { HEADROOM, PacketBatch, TAILROOM } from '../../src/core/batch.js';
import { PacketArena } from '../../src/engine/arena.js';
import { OFFLOADS, setTunOffloads } from '../../src/engine/offloads.js';
import { TunReader } from '../../src/engine/tun-reader.js';
import { Errno } from '../../src/linux/errno.js';
import { TunDevice } from '../../src/linux/tun.js';
import { PacketSocket } from '../linux/packet-socket.js';
import { Netns, NO_NETNS } from '../linux/world.js';
import { Random, superPacket } from '../offload/generate.js';
import { build, buildUnfinished, buildVirtio, type Packet, segments, virtioFor } from '../offload/reference.js';

const ROUNDS = process.env['TYPETUN_TEST_TIER'] === 'full' ? 200 : 30;
/** The kernel takes no more of UDP. */
const UDP_MAX_SEGMENTS = 64;
/** Bytes of segments, of which the smallest make more of them than a batch has rows, and the largest more than there is room for. */
const SIZES = [1, 7, 200, 1000, 1380, 1380, 8000, 30_000] as const;

describe('TunReader', { skip: NO_NETNS }, () => {
  const netns = new Netns();
  let tun: TunDevice;
  let sockets: Readonly<Record<4 | 6, PacketSocket>>;
  before(() => {
    tun = netns.enter(() => TunDevice.create('ttreader'));
    setTunOffloads(tun, new Set(OFFLOADS));
    // The kernel shall say nothing of its own.
    netns.run('echo 1 > /proc/sys/net/ipv6/conf/ttreader/disable_ipv6; ip link set ttreader mtu 34736 up');
    sockets = { 4: new PacketSocket(netns, 'ttreader', 'ipv4'), 6: new PacketSocket(netns, 'ttreader', 'ipv6') };
  });
  after(() => {
    for (const each of Object.values(sockets)) each.close();
    tun.close();
    netns.close();
  });

  /**
   * Sends a packet of one of the sizes; if that is one size alone, a super-packet as large as can be.
   * @returns the packets that a network would carry of it
   */
  function transmit(random: Random, sizes: readonly number[] = SIZES): Uint8Array[] {
    const size = random.pick(sizes);
    const most = Math.min(400, Math.floor(60_000 / size));
    const count = sizes.length === 1 ? most : 1 + random.below(random.pick([1, Math.min(3, most), most]));
    const made = superPacket(random, count, size);
    const limit = made.protocol === 17 ? size * UDP_MAX_SEGMENTS : made.payload.length;
    const packet: Packet = { ...made, payload: made.payload.slice(0, limit) };
    const isWhole = packet.payload.length <= size;
    sockets[packet.version].send(buildVirtio(virtioFor(packet, isWhole ? 0 : size)), buildUnfinished(packet));
    return segments(packet, size).map(build);
  }

  it('cuts every super-packet whole and in order, over as many batches as it takes', () => {
    const arena = new PacketArena();
    const reader = new TunReader(tun, arena);
    const batches = [64, 100, 128].map((capacity) => new PacketBatch(capacity));
    let carried = 0;
    for (let seed = 0; seed < ROUNDS; seed++) {
      const random = new Random(seed);
      // Some rounds have one size, and as many segments of it as there can be.
      const sizes = seed % 16 < 8 ? SIZES.slice(seed % 8, (seed % 8) + 1) : SIZES;
      const expected = Array.from({ length: sizes.length === 1 ? 30 : 1 + random.below(20) }, () =>
        transmit(random, sizes),
      ).flat();
      const got: Uint8Array[] = [];
      for (let end = 0, reads = 0; end === 0; reads++) {
        assert.ok(reads <= expected.length, `seed ${seed}: it gets nowhere`);
        const batch = random.pick(batches);
        end = reader.read(batch);
        assert.ok(batch.count <= batch.capacity);
        if (reader.waiting) carried++;
        const rows = Array.from({ length: batch.count }, (_, row) => [batch.offset[row]!, batch.length[row]!] as const);
        for (const [at, length] of rows) got.push(arena.bytes.slice(at, at + length));
        // As far as the cipher and the core may write.
        for (const [at, length] of rows) arena.bytes.fill(0xa5, at - HEADROOM, at + length + 15 + TAILROOM);
        assert.ok(end === 0 || end === -Errno.EAGAIN);
      }
      assert.equal(got.length, expected.length, `seed ${seed}`);
      for (const [i, packet] of got.entries()) assert.deepEqual(packet, expected[i], `seed ${seed}, packet ${i}`);
    }
    assert.equal(reader.bad, 0);
    assert.ok(carried > ROUNDS, `${carried} batches left something for the next one`);
    arena.release();
  });

  it('forgets what is left when it is told to', () => {
    const arena = new PacketArena();
    const reader = new TunReader(tun, arena);
    const batch = new PacketBatch(64);
    const random = new Random(1);
    for (let sent = 0; !reader.waiting; sent++) {
      assert.ok(sent < 100);
      transmit(random);
      reader.read(batch);
    }
    reader.discard();
    assert.equal(reader.waiting, false);
    const expected = transmit(random, [30_000]);
    assert.equal(reader.read(batch), -Errno.EAGAIN);
    const got = Array.from({ length: batch.count }, (_, row) => batch.length[row]!);
    assert.deepEqual(
      got,
      expected.map(({ length }) => length),
    );
    arena.release();
  });
});
