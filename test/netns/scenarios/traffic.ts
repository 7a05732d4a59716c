/**
 * Traffic of every kind through a tunnel whose sockets are in a third namespace:
 *
 *   namespace 1               namespace 0                namespace 2
 *   [a] 192.168.241.1  ----   127.0.0.1:1   :2   ----   192.168.241.2 [b]
 *       fd00::1               [::1]:1       :2          fd00::2
 */
import assert from 'node:assert/strict';
import { FULL } from '../environment.js';
import { type Device, type Lab, until } from '../harness.js';
import { notByWireguardGo, type Scenario } from '../scenario.js';
import { endpoints, latestHandshake, ping, transfer, tunnel, V4 } from '../topology.js';
import { AMOUNT, everyTraffic, floods, TRAFFIC_TOOLS } from '../traffic.js';

/** The largest MTU that still fits a datagram: the kernel's own tests use it. */
const BIG_MTU = 34_736;
const INITIATION = 148;
const RESPONSE = 92;
/** Header and tag of a data message. */
const DATA = 32;

/** The length of a data message: padded to a multiple of 16, never past the MTU. @param length of the inner packet */
function dataMessage(length: number, mtu: number): number {
  return DATA + Math.min(Math.ceil(length / 16) * 16, mtu);
}

async function setMtu(lab: Lab, devices: readonly Device[], mtu: number): Promise<void> {
  for (const [side, { name }] of devices.entries()) await lab.ip(side + 1, `link set ${name} mtu ${mtu}`);
}

/**
 * What one ping, without another try, takes on the way to the other side.
 * @param length of the whole IPv4 packet
 * @returns bytes of the data message
 */
async function cost(lab: Lab, a: Device, b: Device, length: number): Promise<number> {
  const [, before] = await transfer(lab, a, b);
  await lab.in(1, `ping -n -q -c 1 -W 10 -M do -s ${length - 28} ${V4[1]}`);
  const [, after] = await transfer(lab, a, b);
  return after - before;
}

function everything(number: number, host: '127.0.0.1' | '[::1]', mtu?: number): Scenario {
  const family = host === '127.0.0.1' ? 'IPv4' : 'IPv6';
  return {
    numbers: [number],
    title: `every kind of traffic over ${family}${mtu === undefined ? '' : `, MTU ${mtu}`}`,
    tools: TRAFFIC_TOOLS,
    async run(lab, pair) {
      const [a, b] = await tunnel(lab, pair);
      await endpoints(lab, a, b, host);
      if (mtu !== undefined) {
        await ping(lab, 1, V4[1]);
        // Of a tunnel that is up, as when the kernel's own tests do it.
        await setMtu(lab, [a, b], mtu);
        const large = `-M do -s ${mtu - 48}`;
        await floods(lab, AMOUNT.pings, undefined, large);
      }
      await everyTraffic(lab);
    },
  };
}

const counters: Scenario = {
  numbers: [1],
  title: 'exact counters after 10 pings, and a handshake time',
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    const before = Math.floor(Date.now() / 1000);
    // Behind the first nine ping waits for as long as two of them took, behind the only one until it is answered.
    await lab.in(1, `ping -n -q -c 9 -i 0.05 -W 10 ${V4[1]}; ping -n -q -c 1 -W 10 ${V4[1]}`);
    const pings = 10 * dataMessage(84, 1420);
    assert.deepEqual(await transfer(lab, a, b), [RESPONSE + pings, INITIATION + pings], 'rx and tx of the initiator');
    assert.deepEqual(await transfer(lab, b, a), [INITIATION + pings, RESPONSE + pings], 'rx and tx of the responder');
    for (const [self, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      const time = await latestHandshake(lab, self, peer);
      assert.ok(time >= before && time <= Date.now() / 1000, `handshake at ${time}, pings from ${before}`);
    }
  },
};

const MTUS: readonly number[] = FULL
  ? Array.from({ length: 221 }, (_, i) => 1280 + i)
  : [1280, 1281, 1295, 1296, 1297, 1333, 1420, 1499, 1500];

const padding: Scenario = {
  numbers: [6],
  title: 'padding never exceeds the MTU',
  skip: notByWireguardGo('a moved device: wireguard-go hears no more of its MTU'),
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    await ping(lab, 1, V4[1]);
    for (const mtu of MTUS) {
      await setMtu(lab, [a, b], mtu);
      const lengths = [mtu, mtu - 1, mtu - 15, mtu - 16, mtu - 17];
      const expected = lengths.map((length) => dataMessage(length, mtu));
      // A moved device tells its daemon nothing: how soon it notices a new MTU is its own affair.
      let sent: number[] = [];
      await until(
        () => `packets of ${lengths} bytes at MTU ${mtu} to take ${expected}, not ${sent}`,
        async () => {
          sent = [];
          for (const length of lengths) sent.push(await cost(lab, a, b, length));
          return String(sent) === String(expected);
        },
      );
    }
  },
};

/**
 *   namespace 1                                  namespace 2
 *   [inner a] 10.77.0.1 -> 192.168.241.2:22      10.77.0.2 [inner b]
 *   [a] 192.168.241.1      ---- lo of 0 ----     192.168.241.2 [b]
 */
const nested: Scenario = {
  numbers: [11],
  title: 'every kind of traffic through a tunnel inside a tunnel',
  tools: TRAFFIC_TOOLS,
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    const inner = [await lab.device(pair[0], 1), await lab.device(pair[1], 2)] as const;
    const v4 = ['10.77.0.1', '10.77.0.2'] as const;
    const v6 = ['fd77::1', 'fd77::2'] as const;
    for (const [side, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const { name } = inner[side];
      await lab.wg(`set ${name} listen-port 22 peer ${inner[other].publicKey} endpoint ${V4[other]}:22 \
        allowed-ips ${v4[other]}/32,${v6[other]}/128`);
      await lab.ip(side + 1, `address add ${v4[side]}/24 dev ${name}`);
      await lab.ip(side + 1, `address add ${v6[side]}/112 dev ${name} nodad`);
      await lab.ip(side + 1, `link set ${name} mtu 1340 up`);
    }
    await everyTraffic(lab, { v4, v6 });
  },
};

export const TRAFFIC: readonly Scenario[] = [
  counters,
  everything(2, '127.0.0.1'),
  everything(3, '127.0.0.1', BIG_MTU),
  everything(4, '[::1]'),
  everything(5, '[::1]', BIG_MTU),
  padding,
  nested,
];
