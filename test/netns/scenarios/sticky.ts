/**
 * Sticky source addresses: answers leave from the address that the peer last wrote to, but not for longer than
 * the address and the route to it last.
 *
 *   namespace 1                     namespace 2
 *   [a]   veth1 10.0.0.1/24 ------- veth2 10.0.0.2/24   [b]
 *               fd00:aa::1/96             fd00:aa::2/96
 */
import assert from 'node:assert/strict';
import { type Device, type Lab, until } from '../harness.js';
import type { Scenario } from '../scenario.js';
import { endpointOf, PORTS, ping, setEndpoint, V4, vethTunnel } from '../topology.js';

/** For scenarios that the newest release fails, on either side. */
const notByTheNewest = (because: string): Scenario['release'] & {} => ({ only: 'wireguard-go', because });

/** Sends from b to an address of a, which must answer from there: b's view of the endpoint stays. */
async function answersFrom(lab: Lab, a: Device, b: Device, host: string): Promise<void> {
  const endpoint = `${host}:${PORTS[0]}`;
  await setEndpoint(lab, b, a, endpoint);
  await ping(lab, 2, V4[0]);
  assert.equal(await endpointOf(lab, b, a), endpoint);
}

const sourceRemoved = (number: 20 | 21): Scenario => ({
  numbers: [number],
  title: `the ${number === 20 ? 'IPv4' : 'IPv6'} source address in use is removed: another takes over`,
  ...(number === 20 && {
    release: {
      only: 'wireguard-go-newest',
      because: "the distribution's goes on sending from an IPv4 address that is gone",
    },
  }),
  async run(lab, pair) {
    const [a, b] = await vethTunnel(lab, pair);
    const [old, fresh, host] =
      number === 20 ? ['10.0.0.1/24', '10.0.0.10/24', '10.0.0.2'] : ['fd00:aa::1/96', 'fd00:aa::10/96', '[fd00:aa::2]'];
    // Else the second IPv4 address of a subnet would go with the first.
    await lab.in(1, 'echo 1 > /proc/sys/net/ipv4/conf/veth1/promote_secondaries');
    await setEndpoint(lab, a, b, `${host}:${PORTS[1]}`);
    await ping(lab, 1, V4[1]);
    await lab.ip(1, `address add ${fresh} dev veth1 ${number === 21 ? 'nodad' : ''}`);
    await lab.ip(1, `address del ${old} dev veth1`);
    await ping(lab, 1, V4[1]);
    const address = String(fresh).replace(/\/.*/, '');
    assert.equal(await endpointOf(lab, b, a), `${number === 20 ? address : `[${address}]`}:${PORTS[0]}`);
  },
});

const replyToSender: Scenario = {
  numbers: [22],
  title: 'the answer leaves from the one of four addresses that was written to',
  release: notByTheNewest(
    'the newest takes the wrong one of two IPv6 addresses, as their owner and as the one who writes to them',
  ),
  async run(lab, pair) {
    const [a, b] = await vethTunnel(lab, pair, false);
    for (const last of [1, 2]) {
      await lab.ip(1, `address add 10.0.0.${last}/24 dev veth1`);
      await lab.ip(1, `address add fd00:aa::${last}/96 dev veth1 nodad`);
    }
    await lab.ip(2, 'address add 10.0.0.3/24 dev veth2');
    await lab.ip(2, 'address add fd00:aa::3/96 dev veth2 nodad');
    for (const host of ['10.0.0.1', '[fd00:aa::1]', '10.0.0.2', '[fd00:aa::2]', '10.0.0.1']) {
      await answersFrom(lab, a, b, host);
    }
  },
};

const otherInterface: Scenario = {
  numbers: [23],
  title: "the address written to is another interface's than the answer's",
  release: notByTheNewest('the newest answers from the address that the route prefers'),
  async run(lab, pair) {
    const [a, b] = await vethTunnel(lab, pair);
    await lab.veth(1, 'other', 1, 'otherpeer');
    await lab.ip(1, 'address add 10.50.0.1/24 dev other');
    await lab.ip(1, 'address add fd50::1/64 dev other nodad');
    await lab.ip(2, 'route add 10.50.0.0/24 dev veth2');
    await lab.ip(2, 'route add fd50::/64 via fd00:aa::1');
    await answersFrom(lab, a, b, '10.50.0.1');
    await answersFrom(lab, a, b, '[fd50::1]');
    await answersFrom(lab, a, b, '10.0.0.1');
  },
};

/**
 *   namespace 1                       namespace 2
 *   [a]  veth1 10.0.0.1 ------------- veth2 10.0.0.2   [b]
 *        veth3 10.0.0.3 ------------- veth4
 */
const betterRoute: Scenario = {
  numbers: [24],
  title: 'a route of better metric appears: the source switches',
  async run(lab, pair) {
    const [a, b] = await vethTunnel(lab, pair);
    await lab.veth(1, 'veth3', 2, 'veth4');
    await lab.ip(1, 'address add 10.0.0.3/24 dev veth3');
    await lab.ip(1, 'route flush dev veth1');
    await lab.ip(1, 'route flush dev veth3');
    await lab.ip(1, 'route add 10.0.0.0/24 dev veth1 src 10.0.0.1 metric 2');
    await setEndpoint(lab, a, b, `10.0.0.2:${PORTS[1]}`);
    await ping(lab, 1, V4[1]);
    assert.equal(await endpointOf(lab, b, a), `10.0.0.1:${PORTS[0]}`);
    await lab.ip(1, 'route add 10.0.0.0/24 dev veth3 src 10.0.0.3 metric 1');
    await until('the source to follow the route', async () => {
      await ping(lab, 1, V4[1]);
      return (await endpointOf(lab, b, a)) === `10.0.0.3:${PORTS[0]}`;
    });
  },
};

export const STICKY: readonly Scenario[] = [
  sourceRemoved(20),
  sourceRemoved(21),
  replyToSender,
  otherInterface,
  betterRoute,
];
