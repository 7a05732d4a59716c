/** Packets on their way from batches to a real TUN: a packet socket on the interface sees what the kernel makes of each. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PacketBatch } from '../../src/core/batch.js';
import { footprint, PacketArena } from '../../src/engine/arena.js';
import { OFFLOADS, setTunOffloads } from '../../src/engine/offloads.js';
import { TunWriter } from '../../src/engine/tun-writer.js';
import { TunDevice } from '../../src/linux/tun.js';
import { IFF_TUN_NO_PI, openTun } from '../linux/descriptors.js';
import { PacketSocket } from '../linux/packet-socket.js';
import { Netns, NO_NETNS } from '../linux/world.js';
import { byFlow, carried } from '../offload/carried.js';
import { Random, traffic } from '../offload/generate.js';
import { buildVirtio, parse, parseVirtio, virtioFor } from '../offload/reference.js';

const ROUNDS = process.env['TYPETUN_TEST_TIER'] === 'full' ? 3000 : 300;
/** Rows of a batch: no more than a socket of the usual size takes. */
const CAPACITY = 64;

/** The kernel's virtio header as it was written: it says of the headers how much of the packet lies in one piece. */
function asWritten(seen: Uint8Array): Uint8Array {
  const virtio = parseVirtio(seen);
  if (virtio.gsoType === 0) return seen;
  const packet = seen.slice(10);
  const { headerLength } = virtioFor(parse(packet), virtio.gsoSize);
  return Uint8Array.from([...buildVirtio({ ...virtio, headerLength }), ...packet]);
}

/** What the kernel takes for a packet at all. */
const hasVersion = (packet: Uint8Array): boolean => [4, 6].includes((packet[0] ?? 0) >> 4);

describe('TunWriter', { skip: NO_NETNS }, () => {
  const netns = new Netns();
  const arena = new PacketArena();
  const batch = new PacketBatch(CAPACITY);
  let headed: TunDevice;
  let plain: TunDevice;
  before(() => {
    headed = netns.enter(() => TunDevice.create('tthead'));
    plain = netns.enter(() => new TunDevice(openTun('ttplain', IFF_TUN_NO_PI)));
    for (const name of ['tthead', 'ttplain'])
      netns.run(`echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6; ip link set ${name} up`);
  });
  after(() => {
    headed.close();
    plain.close();
    arena.release();
    netns.close();
  });

  /** Writes rounds of generated traffic. @returns packets, and writes that the kernel saw */
  function rounds(tun: TunDevice, tcp: boolean, udp: boolean): { packets: number; writes: number } {
    const writer = new TunWriter(tun, arena, CAPACITY, tcp, udp);
    const socket = new PacketSocket(netns, tun.name() ?? '', 'all');
    const total = { packets: 0, writes: 0 };
    let refused = 0;
    for (let seed = 0; seed < ROUNDS; seed++) {
      const random = new Random(seed);
      const input = traffic(random, 1 + random.below(CAPACITY), random.pick([1, 2, 8]), random.pick([3, 10, 50]));
      batch.count = 0;
      let at = 64;
      for (const packet of input) {
        arena.bytes.set(packet, at);
        batch.offset[batch.count] = at;
        batch.length[batch.count++] = packet.length;
        at += footprint(packet.length);
      }
      writer.write(batch);
      const seen = socket.receive();
      const whole = input.filter(hasVersion);
      refused += input.length - whole.length;
      assert.deepEqual(byFlow(seen.map(asWritten).flatMap(carried)), byFlow(whole), `seed ${seed}`);
      total.packets += whole.length;
      total.writes += seen.length;
    }
    assert.deepEqual([writer.failed, writer.full], [refused, 0]);
    assert.deepEqual([writer.tcp, writer.udp], [tcp && tun.vnetHeader, udp && tun.vnetHeader], 'nothing was refused');
    socket.close();
    return total;
  }

  it('gives the kernel super-packets that it takes, and what they hold is what came', () => {
    // As many kinds as this kernel has.
    const { write } = setTunOffloads(headed, new Set(OFFLOADS));
    const { packets, writes } = rounds(headed, write.tcp, write.udp);
    assert.ok(writes < packets * 0.7, `${writes} of ${packets}`);
  });

  it('gives it packets alone where super-packets are not wanted', () => {
    const { packets, writes } = rounds(headed, false, false);
    assert.equal(writes, packets);
  });

  it('writes without headers to a TUN that has none', () => {
    const { packets, writes } = rounds(plain, true, true);
    assert.equal(writes, packets);
  });
});
