/**
 * The batching features, switched off one by one and together, over networks that have theirs on or off: files
 * arrive as they were sent, whatever is in use.
 *
 *   namespace 1                     namespace 2
 *   [a]   veth1 10.0.0.1/24 ------- veth2 10.0.0.2/24   [b]
 *               fd00:aa::1/96             fd00:aa::2/96
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { FULL, tunOffload } from './environment.js';
import { type Implementation, type Lab, missing, withLab, withNamespaces } from './harness.js';
import { ping, setEndpoint, tunnel, V4, V6 } from './topology.js';
import { file, udp } from './traffic.js';

const NAMES = ['tun-read', 'tun-write', 'udp-gso', 'udp-gro'] as const;
const OUTER = { IPv4: ['10.0.0.1', '10.0.0.2'], IPv6: ['[fd00:aa::1]', '[fd00:aa::2]'] } as const;
/** Below it, the kernel takes IPv6 from an interface. */
const IPV6_MIN_MTU = 1280;
const BIG_MTU = 34_736;
const MIB = FULL ? 32 : 6;

interface Cell {
  /** `TYPETUN_OFFLOAD`. */
  readonly offload: string;
  /** Whether the veth pair has its own offloads. */
  readonly veth: boolean;
  readonly outer: keyof typeof OUTER;
  readonly mtu: number;
  readonly pair?: readonly [Implementation, Implementation];
}

const SETTINGS: readonly string[] = ['', ...NAMES.map((name) => `-${name}`), 'none'];

/** Each setting, MTU, family and network at least once. */
const SAMPLE: readonly Cell[] = [
  { offload: '', veth: true, outer: 'IPv4', mtu: 1420 },
  { offload: '', veth: false, outer: 'IPv6', mtu: 1420 },
  { offload: '-tun-read', veth: true, outer: 'IPv6', mtu: 1280 },
  { offload: '-tun-write', veth: true, outer: 'IPv4', mtu: 1420 },
  { offload: '-udp-gso', veth: false, outer: 'IPv4', mtu: 9000 },
  { offload: '-udp-gro', veth: true, outer: 'IPv6', mtu: 1420 },
  { offload: 'none', veth: true, outer: 'IPv4', mtu: 1420 },
  // Wider than the path: each datagram is fragmented, and no run of them is taken as one.
  { offload: '', veth: true, outer: 'IPv4', mtu: 1500 },
  { offload: '', veth: true, outer: 'IPv6', mtu: 576 },
  { offload: '', veth: false, outer: 'IPv4', mtu: BIG_MTU },
  { offload: '', veth: true, outer: 'IPv6', mtu: 9000 },
  { offload: '', veth: true, outer: 'IPv4', mtu: 1420, pair: ['typetun', 'wireguard-go-newest'] },
  { offload: 'none', veth: true, outer: 'IPv6', mtu: 1420, pair: ['wireguard-go-newest', 'typetun'] },
];

const WHOLE: readonly Cell[] = SETTINGS.flatMap((offload) =>
  [true, false].flatMap((veth) =>
    (['IPv4', 'IPv6'] as const).flatMap((outer) =>
      [576, 1280, 1420, 1500, 9000, BIG_MTU].map((mtu) => ({ offload, veth, outer, mtu })),
    ),
  ),
);

async function network(lab: Lab, veth: boolean): Promise<void> {
  await lab.namespace(1, 2);
  await lab.veth(1, 'veth1', 2, 'veth2');
  for (const side of [1, 2]) {
    await lab.ip(side, `address add 10.0.0.${side}/24 dev veth${side}`);
    await lab.ip(side, `address add fd00:aa::${side}/96 dev veth${side} nodad`);
    if (!veth) await lab.in(side, `ethtool -K veth${side} tso off gso off gro off tx-udp-segmentation off`);
  }
}

async function run(lab: Lab, { offload, veth, outer, mtu, pair = ['typetun', 'typetun'] }: Cell): Promise<void> {
  await network(lab, veth);
  const devices = await tunnel(lab, pair, {
    birthplaces: [1, 2],
    mtu,
    daemon: { env: { TYPETUN_OFFLOAD: offload } },
  });
  const [a, b] = devices;
  await setEndpoint(lab, a, b, `${OUTER[outer][1]}:2`);
  await setEndpoint(lab, b, a, `${OUTER[outer][0]}:1`);
  await ping(lab, 1, V4[1]);
  await file(lab, 1, 2, V4[1], MIB);
  await udp(lab, 1, 2, V4[1], 2);
  if (mtu >= IPV6_MIN_MTU) await file(lab, 2, 1, V6[0], MIB);
  for (const device of devices.filter(({ implementation }) => implementation === 'typetun')) {
    const expected = NAMES.filter((name) => offload !== 'none' && offload !== `-${name}`).map((name) =>
      name === 'tun-read' || name === 'tun-write' ? tunOffload(name) : name,
    );
    assert.equal(
      await lab.offloads(device),
      expected.join(' ') || 'none',
      'what was not switched off is in use to the end',
    );
    const drops = await lab.drops(device);
    for (const reason of ['tunError', 'badTag', 'badInnerPacketIn', 'badInnerPacketOut', 'badSource']) {
      assert.equal(drops.get(reason) ?? 0, 0, reason);
    }
  }
}

withNamespaces(import.meta.filename, () => {
  for (const cell of FULL ? [...SAMPLE, ...WHOLE] : SAMPLE) {
    const { offload, veth, outer, mtu, pair } = cell;
    const name = `TYPETUN_OFFLOAD=${offload} over ${outer}, MTU ${mtu}, veth offloads ${veth ? 'on' : 'off'}`;
    const skip = missing(['ncat', 'iperf3', 'ethtool'], pair);
    it(`${name}${pair ? ` [${pair.join('/')}]` : ''}`, { skip, timeout: 120_000 }, () =>
      withLab((lab) => run(lab, cell)),
    );
  }
});
