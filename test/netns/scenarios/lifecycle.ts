/**
 * How a device ends, and what becomes of it when namespaces go:
 *
 *   namespace 1               namespace 0                namespace 2
 *   [a] 192.168.241.1  ----   127.0.0.1:1   :2   ----   192.168.241.2 [b]
 *       fd00::1               [::1]:1       :2          fd00::2
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { type Device, type Lab, pidOf, until } from '../harness.js';
import { notByWireguardGo, type Scenario } from '../scenario.js';
import { endpoints, latestHandshake, PORTS, ping, tunnel, V4, V6, vethTunnel } from '../topology.js';
import { AMOUNT, floods } from '../traffic.js';

/** The daemon of a device ends by itself, its socket file goes; typetun says so by exit code 0. */
async function endsByItself(device: Device): Promise<void> {
  const { code } = await device.daemon.end(15_000);
  if (device.implementation !== 'typetun') return;
  assert.equal(code, 0, `exit code: ${device.daemon.output}`);
  assert.ok(!existsSync(`/var/run/wireguard/${device.name}.sock`), 'its socket');
}

async function devicesIn(lab: Lab, ns: number): Promise<string> {
  return lab.ip(ns, '-oneline link show type tun');
}

const namespacesGo: Scenario = {
  numbers: [36],
  title: 'the birthplace loses its name: traffic goes on; the target namespace dies: the daemon ends',
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    await ping(lab, 1, V4[1]);
    await lab.deleteNamespace(0);
    await floods(lab, AMOUNT.pings);
    await lab.wg(`set ${a.name} listen-port 4242`);
    await ping(lab, 1, V6[1]);
    await lab.deleteNamespace(1);
    await endsByItself(a);
    assert.ok(!b.daemon.ended, 'the other side goes on');
    assert.match(await lab.wg(`show ${b.name} endpoints`), /:4242$/);
  },
};

const moves: Scenario = {
  numbers: [36],
  title: 'a device moved on to a third namespace, and down and up again there: traffic goes on',
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    await ping(lab, 1, V4[1]);
    await lab.namespace(3);
    // A move takes addresses away, and the device comes down.
    await lab.ip(1, `link set ${a.name} netns ${lab.ns(3)}`);
    await lab.ip(3, `address add ${V4[0]}/24 dev ${a.name}`);
    await lab.ip(3, `link set ${a.name} up`);
    await ping(lab, 3, V4[1]);
    const sockets = (): Promise<string> => lab.in(0, `ss -Huln "sport = :${PORTS[0]}"`);
    assert.notEqual(await sockets(), '');
    await lab.ip(3, `link set ${a.name} down`);
    // wireguard-go is not told by a device that was moved.
    if (a.implementation === 'typetun') await until('its sockets to be closed', async () => (await sockets()) === '');
    await lab.ip(3, `link set ${a.name} up`);
    // Down ended the session, which b cannot know: it is a that begins.
    await ping(lab, 3, V4[1]);
    await ping(lab, 2, V4[0]);
    assert.notEqual(await sockets(), '');
  },
};

const bounces: Scenario = {
  numbers: [36],
  title: 'down and up again before the daemon came to look: the session ended all the same, and a new one begins',
  skip: notByWireguardGo('a session of wireguard-go survives a moment down that it did not see'),
  async run(lab, pair) {
    const [a, b] = await vethTunnel(lab, pair, true, { endpoints: ['10.0.0.2:2', '10.0.0.1:1'] });
    await ping(lab, 1, V4[1]);
    const first = await latestHandshake(lab, a, b);
    await until('a second to pass', async () => Math.floor(Date.now() / 1000) > first);
    const pid = pidOf(a);
    process.kill(pid, 'SIGSTOP');
    await lab.sh(`ip -n ${lab.ns(1)} link set ${a.name} down; ip -n ${lab.ns(1)} link set ${a.name} up`);
    process.kill(pid, 'SIGCONT');
    await ping(lab, 1, V4[1]);
    await until('a new session', async () => (await latestHandshake(lab, a, b)) > first);
    await ping(lab, 2, V4[0]);
  },
};

const ends: Scenario = {
  numbers: [37],
  title: 'every process, thread, socket and device is gone after SIGTERM, SIGINT, "link del" or removal of the socket',
  async run(lab, pair) {
    const endings: readonly ((device: Device, ns: number) => unknown)[] = [
      ({ daemon }) => daemon.child.kill('SIGTERM'),
      ({ daemon }) => daemon.child.kill('SIGINT'),
      ({ name }, ns) => lab.ip(ns, `link del ${name}`),
      ({ name }) => rmSync(`/var/run/wireguard/${name}.sock`),
    ];
    await lab.namespace(0, 1, 2);
    for (const end of endings) {
      const [a, b] = await tunnel(lab, pair, { psk: true, birthplaces: [0, 0] });
      await endpoints(lab, a, b, '[::1]');
      await ping(lab, 1, V4[1]);
      const threads = [a, b].flatMap(({ daemon: { child } }) => readdirSync(`/proc/${child.pid}/task`));
      assert.ok(threads.length > 2);
      for (const [side, device] of [a, b].entries()) await end(device, side + 1);
      for (const device of [a, b]) await endsByItself(device);
      await until('the sockets to be closed', async () => (await lab.in(0, 'ss -Huanp')) === '');
      assert.deepEqual([await devicesIn(lab, 0), await devicesIn(lab, 1), await devicesIn(lab, 2)], ['', '', '']);
      assert.deepEqual(
        threads.filter((thread) => existsSync(`/proc/${thread}`)),
        [],
        'threads',
      );
    }
  },
};

export const LIFECYCLE: readonly Scenario[] = [namespacesGo, moves, bounces, ends];
