/**
 * Endpoints inside tunnels: of another peer, of the peer itself. Both devices are where their sockets are.
 *
 *   namespace 1                     namespace 2
 *   [a]   veth1 10.0.0.1/24 ------- veth2 10.0.0.2/24   [b] [c]
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Device, Lab } from '../harness.js';
import { notByWireguardGo, type Scenario } from '../scenario.js';
import { type Pair, PORTS, ping, setEndpoint, transfer, V4, vethTunnel } from '../topology.js';

/** What a handful of packets that go round may cost, in bytes sent: the kernel's own tests allow as much. */
const STORM = 70_000;

const SKIP = notByWireguardGo('wireguard-go sends what comes round again and again');

/** Pings a host that cannot answer, and makes sure that no storm comes of it. */
async function noStorm(lab: Lab, self: Device, peer: Pick<Device, 'publicKey'>, host: string): Promise<void> {
  const [, before] = await transfer(lab, self, peer);
  assert.equal(await lab.succeeds(1, `ping -n -q -f -c 10 -W 1 ${host}`), false, `answers from ${host}`);
  // What goes round now would go on.
  await sleep(1000);
  const [, after] = await transfer(lab, self, peer);
  assert.ok(after - before < STORM, `${after - before} bytes sent`);
}

const intoItself: Scenario = {
  numbers: [12],
  title: 'an endpoint that is routed into its own tunnel makes no storm',
  skip: SKIP,
  async run(lab, pair) {
    const [a, b] = await vethTunnel(lab, pair);
    // Before there is a session, the initiation goes round; afterwards, data.
    await setEndpoint(lab, a, b, `${V4[1]}:${PORTS[1]}`);
    await noStorm(lab, a, b, V4[1]);
    await setEndpoint(lab, a, b, `10.0.0.2:${PORTS[1]}`);
    await ping(lab, 1, V4[1]);
    await setEndpoint(lab, a, b, `${V4[1]}:${PORTS[1]}`);
    await noStorm(lab, a, b, V4[1]);
    await setEndpoint(lab, a, b, `10.0.0.2:${PORTS[1]}`);
    await ping(lab, 1, V4[1]);
  },
};

/** A third device in namespace 2, whose endpoint is the address of b inside the tunnel of a and b. */
async function onion(lab: Lab, pair: Pair): Promise<[a: Device, b: Device, c: Device]> {
  const [a, b] = await vethTunnel(lab, pair);
  await setEndpoint(lab, a, b, `10.0.0.2:${PORTS[1]}`);
  const c = await lab.device(pair[1], 2);
  await lab.wg(`set ${c.name} listen-port 5 peer ${a.publicKey} allowed-ips 192.168.242.1/32`);
  await lab.wg(`set ${a.name} peer ${c.publicKey} allowed-ips 192.168.242.2/32 endpoint ${V4[1]}:5`);
  await lab.ip(1, `address add 192.168.242.1/24 dev ${a.name}`);
  await lab.ip(2, `address add 192.168.242.2/24 dev ${c.name}`);
  await lab.ip(2, `link set ${c.name} mtu 1340 up`);
  return [a, b, c];
}

const throughAnother: Scenario = {
  numbers: [16],
  title: "onion: a peer's endpoint is inside another peer's tunnel",
  async run(lab, pair) {
    const [a, b, c] = await onion(lab, pair);
    await ping(lab, 1, '192.168.242.2');
    const [received] = await transfer(lab, b, a);
    const [inner] = await transfer(lab, c, a);
    assert.ok(inner > 0 && received > inner, `${inner} bytes inside ${received}`);
  },
};

const throughItself: Scenario = {
  numbers: [17],
  title: 'onion into itself: no crash, and no storm',
  skip: SKIP,
  async run(lab, pair) {
    const [a, b, c] = await onion(lab, pair);
    await ping(lab, 1, '192.168.242.2');
    await setEndpoint(lab, a, c, '192.168.242.2:5');
    await noStorm(lab, a, c, '192.168.242.2');
    assert.ok(!a.daemon.ended, a.daemon.output);
    await ping(lab, 1, V4[1]);
    await ping(lab, 2, V4[0]);
    assert.ok((await transfer(lab, b, a))[0] > 0);
  },
};

export const LOOPS: readonly Scenario[] = [intoItself, throughAnother, throughItself];
