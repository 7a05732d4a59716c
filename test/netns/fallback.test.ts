/**
 * Batching features that the kernel lacks, refuses or takes away while they are in use: the device goes on without, says
 * so, and nothing is lost.
 *
 *   namespace 1                     namespace 2
 *   [a]   veth1 10.0.0.1/24 ------- veth2 10.0.0.2/24   [b]
 *               fd00:aa::1/96             fd00:aa::2/96
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { check, close, ioctl } from '../../src/linux/libc.js';
import { borrowTun, borrowUdp, SO_NO_CHECK, SOL_SOCKET, SOL_UDP, setOption } from '../linux/descriptors.js';
import { FULL, tunOffload } from './environment.js';
import { commandOf, type Device, type Lab, missing, withLab, withNamespaces } from './harness.js';
import type { Lack } from './refusing.js';
import { PORTS, ping, setEndpoint, V4, V6, vethTunnel } from './topology.js';
import { file, udp } from './traffic.js';

const program = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const MIB = FULL ? 32 : 3;
const READ = tunOffload('tun-read');
const TUN = `${READ} ${tunOffload('tun-write')}`;
const ALL = `${TUN} udp-gso udp-gro`;

/** @param under what runs the daemons, if that is not Node.js itself */
async function joined(lab: Lab, under: readonly string[] = []): Promise<[Device, Device]> {
  const [node = '', flag = '', typetun = ''] = commandOf('typetun') ?? [];
  const command = [node, flag, ...under, typetun];
  const [a, b] = await vethTunnel(lab, ['typetun', 'typetun'], true, { daemon: { command } });
  await setEndpoint(lab, a, b, `10.0.0.2:${PORTS[1]}`);
  await setEndpoint(lab, b, a, `10.0.0.1:${PORTS[0]}`);
  await ping(lab, 1, V4[1]);
  return [a, b];
}

/** Files arrive as they were sent, over both families and both ways. */
async function files(lab: Lab): Promise<void> {
  await file(lab, 1, 2, V4[1], MIB);
  await file(lab, 2, 1, V6[0], MIB);
}

async function assertNothingLost(lab: Lab, devices: readonly Device[]): Promise<void> {
  for (const device of devices) {
    const drops = await lab.drops(device);
    for (const reason of ['tunError', 'sendError', 'badTag', 'badInnerPacketIn', 'badInnerPacketOut', 'badSource']) {
      assert.equal(drops.get(reason) ?? 0, 0, `${device.name}: ${reason}`);
    }
  }
}

/** What is in use, from the start, under a kernel that lacks something. */
const LACKING: readonly (readonly [lacks: readonly Lack[], inUse: string])[] = [
  [['uso'], 'tun-read(tcp) tun-write(tcp) udp-gso udp-gro'],
  // To be written to, a TUN need not be asked.
  [['tun'], 'tun-write(tcp) udp-gso udp-gro'],
  [['gso'], `${TUN} udp-gro`],
  [['gro'], `${TUN} udp-gso`],
  [['tun', 'gso', 'gro'], 'tun-write(tcp)'],
];

const without = (...lacks: readonly Lack[]): string[] => [program('./refusing.js'), lacks.join()];

async function lacking(lab: Lab, under: readonly string[], inUse: string): Promise<void> {
  const devices = await joined(lab, under);
  await files(lab);
  await udp(lab, 1, 2, V4[1], 2);
  for (const device of devices) assert.equal(await lab.offloads(device), inUse);
  await assertNothingLost(lab, devices);
}

/** The first super-packet of a kind is refused: it is written in packets, and no more of its kind are made. */
async function refusedSuperPackets(lab: Lab): Promise<void> {
  const [a, b] = await joined(lab, without('super-packets'));
  assert.equal(await lab.offloads(b), ALL);
  await file(lab, 1, 2, V4[1], MIB);
  assert.doesNotMatch(await lab.offloads(b), /tun-write(?!\(udp\))/, 'no more of TCP');
  await udp(lab, 1, 2, V4[1], MIB);
  const left = `${READ} udp-gso udp-gro`;
  assert.equal(await lab.offloads(b), left);
  assert.ok(b.daemon.output.includes(`Offloads in use: ${left}\n`), 'told in the log');
  await files(lab);
  await assertNothingLost(lab, [a, b]);
}

const TUNSETOFFLOAD = 0x400454d0;
const UDP_GRO = 104;

function setOn({ daemon }: Device, port: number, level: number, option: number, value: number): void {
  const socket = borrowUdp(daemon.child.pid ?? 0, port);
  setOption(socket, level, option, value);
  close(socket);
}

interface Loss {
  readonly what: string;
  /** What the first device, which sends most, uses afterwards; all of it unless told. */
  readonly inUse?: string;
  /** The interface is down for a while, and what is on its way to it then is lost. */
  readonly goesDown?: true;
  lose(lab: Lab, a: Device, b: Device): unknown;
}

/** One after the other, each with those before it. */
const LOSSES: readonly Loss[] = [
  {
    what: 'a path that becomes narrower than the datagrams',
    lose: (lab) => Promise.all([1, 2].map((side) => lab.ip(side, `link set veth${side} mtu 1300`))),
  },
  {
    what: 'a path that becomes wide again',
    lose: (lab) => Promise.all([1, 2].map((side) => lab.ip(side, `link set veth${side} mtu 1500`))),
  },
  {
    what: 'a device under the sockets without segmentation, and without receive offload',
    lose: (lab) =>
      Promise.all(
        [1, 2].map((side) => lab.in(side, `ethtool -K veth${side} tso off gso off gro off tx-udp-segmentation off`)),
      ),
  },
  { what: 'super-packets of at most 8,000 bytes', lose: (lab, a) => lab.ip(1, `link set ${a.name} gso_max_size 8000`) },
  { what: 'an interface without segmentation of TCP', lose: (lab, a) => lab.in(1, `ethtool -K ${a.name} tso off`) },
  {
    what: 'an interface without checksums and segmentation',
    lose: (lab, a) => lab.in(1, `ethtool -K ${a.name} tx off gso off tso off`),
  },
  {
    what: 'a TUN whose offloads somebody else switches off',
    lose: (_, { daemon }) => {
      const tun = borrowTun(daemon.child.pid ?? 0);
      check(ioctl(tun, TUNSETOFFLOAD, 0), 'TUNSETOFFLOAD');
      close(tun);
    },
  },
  { what: 'a socket that gathers no more', lose: (_lab, _a, b) => setOn(b, PORTS[1], SOL_UDP, UDP_GRO, 0) },
  {
    what: 'a socket that the kernel segments nothing for, as it makes no checksums (EINVAL)',
    inUse: `${TUN} udp-gso(ipv6) udp-gro`,
    lose: (lab, a) => {
      setOn(a, PORTS[0], SOL_SOCKET, SO_NO_CHECK, 1);
      // A run of datagrams that no path is too narrow for; ping's own socket has no room for many more at once.
      // Without a deadline: with one, ping fails for a single one that the load left no room for.
      return lab.in(1, `ping -n -q -l 20 -c 20 -W 5 -s 400 ${V4[1]}`);
    },
  },
  {
    what: 'a move to another namespace and back, with new sockets',
    goesDown: true,
    lose: async (lab, a) => {
      await lab.namespace(3);
      await lab.ip(1, `link set ${a.name} netns ${lab.ns(3)}`);
      await lab.ip(3, `link set ${a.name} up`);
      await lab.ip(3, `link set ${a.name} netns ${lab.ns(1)}`);
      await lab.sh(`
        ip -n ${lab.ns(1)} address add ${V4[0]}/24 dev ${a.name}
        ip -n ${lab.ns(1)} address add ${V6[0]}/112 dev ${a.name} nodad
        ip -n ${lab.ns(1)} link set ${a.name} up`);
    },
  },
];

async function losses(lab: Lab): Promise<void> {
  const [a, b] = await joined(lab);
  const server = lab.spawn(2, ['iperf3', '--server', '--one-off', '--forceflush', '--bind', V4[1]]);
  await server.prints('Server listening');
  const load = lab.spawn(1, ['iperf3', '--client', V4[1], '-b', '500M', '-t', '600']);
  for (const { what, inUse = ALL, goesDown, lose } of LOSSES) {
    await lose(lab, a, b);
    await files(lab);
    assert.equal(await lab.offloads(a), inUse, what);
    if (!goesDown) await assertNothingLost(lab, [a, b]);
  }
  assert.ok(!load.ended, `all that while the load went on: ${load.output}`);
}

withNamespaces(import.meta.filename, () => {
  const skip = missing(['ncat', 'iperf3', 'ethtool'], ['typetun']);
  describe('offloads', { skip }, () => {
    for (const [lacks, inUse] of LACKING) {
      it(`without ${lacks.join(', ')}: in use is ${inUse}`, { timeout: 60_000 }, () =>
        withLab((lab) => lacking(lab, without(...lacks), inUse)),
      );
    }
    it('need a TUN with virtio headers', { timeout: 60_000 }, () =>
      withLab((lab) => lacking(lab, [program('./plain-tun.js')], 'udp-gso udp-gro')),
    );
    it('write packets singly to a TUN that refuses super-packets', { timeout: 60_000 }, () =>
      withLab(refusedSuperPackets),
    );
    it('may be lost while they are in use', { timeout: FULL ? 540_000 : 180_000 }, () => withLab(losses));
  });
});
