/**
 * A flood of initiations against one side of a tunnel, from a third party on its network:
 *
 *   namespace 1                          namespace 2
 *   [a] 192.168.241.1                    [b] 192.168.241.2, [c] a newcomer, flooder.ts
 *   veth1 10.0.0.1/24 ------------------ veth2 10.0.0.2/24
 *
 * While it lasts, packets flow, b gets a new session with a, and c its first one: through a cookie.
 * What it costs is measured in bench/flood.ts; here it is what holds at all.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FULL } from './environment.js';
import { until, withLab, withNamespaces } from './harness.js';
import { latestHandshake, V4, vethTunnel } from './topology.js';

const FLOODER = fileURLToPath(new URL('./flooder.js', import.meta.url));
const RATE = FULL ? 50_000 : 20_000;
const SECONDS = FULL ? 40 : 25;

withNamespaces(import.meta.filename, () => {
  for (const kind of ['garbage', 'mac1', 'short']) {
    it(`a flood of ${kind}: packets flow, a session is renewed, a new peer comes in`, { timeout: 180_000 }, () =>
      withLab(async (lab) => {
        const [a, b] = await vethTunnel(lab, ['typetun', 'typetun'], true, { endpoints: ['10.0.0.2:2', '10.0.0.1:1'] });
        const c = await lab.device('typetun', 2);
        await lab.ip(2, `address add 192.168.242.3/24 dev ${c.name}`);
        await lab.ip(2, `link set ${c.name} up`);
        await lab.wg(`set ${a.name} peer ${c.publicKey} allowed-ips 192.168.242.3/32`);
        await lab.in(2, `ping -n -q -c 1 -w 10 ${V4[0]}`);
        const first = await latestHandshake(lab, a, b);
        const flooder = lab.spawn(2, [
          process.execPath,
          FLOODER,
          '10.0.0.1',
          '1',
          a.publicKey,
          kind,
          `${RATE}`,
          `${SECONDS}`,
        ]);
        const isDropped = async (): Promise<boolean> => {
          const drops = await lab.drops(a);
          const reasons = { garbage: 'badMac1', mac1: 'underLoad', short: 'badType' };
          return (drops.get(reasons[kind as keyof typeof reasons]) ?? 0) > 1000;
        };
        await until('the flood to arrive', isDropped, 60_000);
        await lab.in(2, `ping -n -q -c 20 -i 0.05 -w 20 ${V4[0]}`);
        // A new session for a peer that had one: it begins where its interface comes up again.
        await lab.ip(2, `link set ${b.name} down`);
        await lab.ip(2, `link set ${b.name} up`);
        await lab.ip(2, `address replace 192.168.241.2/24 dev ${b.name}`);
        await lab.wg(`set ${b.name} peer ${a.publicKey} persistent-keepalive 1`);
        await lab.wg(
          `set ${c.name} peer ${a.publicKey} endpoint 10.0.0.1:1 allowed-ips 0.0.0.0/0 persistent-keepalive 1`,
        );
        await until('a new session of b', async () => (await latestHandshake(lab, a, b)) > first, 60_000);
        await until('the first session of c', async () => (await latestHandshake(lab, a, c)) > 0, 60_000);
        assert.ok(!flooder.ended, 'all that while the flood went on');
        await flooder.end(120_000);
        assert.ok(!a.daemon.ended);
      }),
    );
  }
});
