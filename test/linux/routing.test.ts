/**
 *   ┌ a ───────────────────┐     ┌ b ───────────────────────────────────┐
 *   │ v0  10.9.0.1/24      │─────│ v0  10.9.0.2/24  10.9.0.3/24         │
 *   │     fd09::1/64       │     │     fd09::2/64   fd09::3/64          │
 *   │ w0  10.8.0.1/24      │─────│ w0  10.8.0.2/24      d0 10.50.0.1/24 │
 *   │     fd08::1/64       │     │     fd08::2/64          fd50::1/64   │
 *   └──────────────────────┘     └──────────────────────────────────────┘
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChangeMonitor, ROUTING_GROUPS } from '../../src/linux/netlink.js';
import { POLLIN, Poller } from '../../src/linux/poll.js';
import { addressBytes, Side } from './side.js';
import { Cable, NO_NETNS, until } from './world.js';

const SUPPRESSED = 2;
const BYTES = Buffer.from('datagram');
const FAMILIES = [
  { name: 'IPv4', f: 4, net: '10.9.0.', net2: '10.8.0.', far: '10.50.0.1', bits: 24, host: 32 },
  { name: 'IPv6', f: 6, net: 'fd09::', net2: 'fd08::', far: 'fd50::1', bits: 64, host: 128 },
] as const;

/** An address as endpoint rows spell it. */
const full = (address: string): string => {
  const bytes = addressBytes(address);
  return bytes.length === 4
    ? address
    : Buffer.from(bytes)
        .toString('hex')
        .replace(/(.{4})(?=.)/g, '$1:');
};

for (const { name, f, net, net2, far, bits, host } of FAMILIES) {
  describe(`sticky source over ${name}`, { skip: NO_NETNS }, () => {
    let cable: Cable;
    let a: Side;
    let b: Side;
    let monitor: ChangeMonitor;
    before(() => {
      cable = new Cable();
      cable.b.addAddress(`${net}3`, bits, 'v0');
      monitor = cable.b.enter(() => new ChangeMonitor(ROUTING_GROUPS));
      a = new Side(cable.a);
      b = new Side(cable.b);
    });
    after(() => {
      a.close();
      b.close();
      monitor.close();
      cable.close();
    });

    /** a writes to `address` of b. @returns a row of b's for the answer, roamed as the core does it */
    const hear = (address: string): number => {
      a.send([{ bytes: BYTES, endpoint: a.to(address, b.port) }]);
      const [got] = b.take(1);
      assert.equal(got!.source, full(address));
      const row = b.endpoints.allocate();
      b.endpoints.roam(row, got!.row);
      return row;
    };

    /** b answers. @returns the address a sees */
    const answer = (row: number): string => {
      b.send([{ bytes: BYTES, endpoint: row }]);
      assert.equal(b.sender.failed + b.sender.full, 0);
      return a.take(1)[0]!.from;
    };

    /** As the engine does it. */
    const noticeChanges = (): void => {
      until('the routing state has changed', () => monitor.drain());
      b.sender.generation++;
    };

    it('answers from each address it was written to', () => {
      const rows = [3, 2, 3].map((last) => hear(`${net}${last}`));
      assert.deepEqual(
        rows.map(answer),
        [3, 2, 3].map((last) => full(`${net}${last}`)),
      );
      // Again, with nothing to check any more.
      assert.deepEqual(
        rows.map(answer),
        [3, 2, 3].map((last) => full(`${net}${last}`)),
      );
    });

    it('falls over in the same instant when the address is removed, noticed or not', () => {
      for (const notice of [false, true]) {
        const row = hear(`${net}3`);
        assert.equal(answer(row), full(`${net}3`));
        cable.b.run(`ip addr del ${net}3/${bits} dev v0`);
        if (notice) noticeChanges();
        assert.equal(answer(row), full(`${net}2`));
        assert.equal(b.flags(row) & SUPPRESSED, SUPPRESSED);
        assert.equal(answer(row), full(`${net}2`));
        cable.b.addAddress(`${net}3`, bits, 'v0');
        noticeChanges();
        // It is back, and so is the memory of it.
        assert.equal(answer(row), full(`${net}3`));
        assert.equal(b.flags(row) & SUPPRESSED, 0);
      }
    });

    it('keeps a run whole when its source is gone', () => {
      const row = hear(`${net}3`);
      cable.b.run(`ip addr del ${net}3/${bits} dev v0`);
      b.send(Array.from({ length: 20 }, () => ({ bytes: BYTES, endpoint: row })));
      assert.equal(a.take(20).length, 20);
      assert.deepEqual(a.messages, [1]);
      assert.ok(
        b.sockets.every(({ gso }) => gso),
        'GSO was not to blame',
      );
      cable.b.addAddress(`${net}3`, bits, 'v0');
      noticeChanges();
    });

    it('answers from an address of another interface', () => {
      cable.b.run('ip link add d0 type veth peer name d1; ip link set d1 up; ip link set d0 up');
      cable.b.addAddress(far, bits, 'd0');
      cable.a.run(`ip -${f} route add ${far}/${host} via ${net}2`);
      noticeChanges();
      const row = hear(far);
      assert.equal(answer(row), full(far));
      assert.equal(b.flags(row) & SUPPRESSED, 0);
    });

    it('lets go when a better route leaves elsewhere, and takes it up again', () => {
      cable.a.run(`ip link add w0 type veth peer name w0 netns ${cable.b.pid}`);
      for (const side of [cable.a, cable.b]) {
        side.run(`echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/w0/rp_filter
          ip link set w0 up`);
      }
      cable.a.addAddress(`${net2}1`, bits, 'w0');
      cable.b.addAddress(`${net2}2`, bits, 'w0');
      noticeChanges();
      const row = hear(`${net}2`);
      assert.equal(answer(row), full(`${net}2`));
      monitor.drain();
      cable.b.run(`ip -${f} route add ${net}1/${host} via ${net2}1 dev w0`);
      noticeChanges();
      assert.equal(answer(row), full(`${net2}2`));
      assert.equal(b.flags(row) & SUPPRESSED, SUPPRESSED);
      cable.b.run(`ip -${f} route del ${net}1/${host} via ${net2}1 dev w0`);
      noticeChanges();
      assert.equal(answer(row), full(`${net}2`));
    });

    it('answers itself over loopback', () => {
      for (const last of [2, 3]) {
        b.send([{ bytes: BYTES, endpoint: b.to(`${net}${last}`, b.port) }]);
        const [got] = b.take(1);
        const row = b.endpoints.allocate();
        b.endpoints.roam(row, got!.row);
        b.send([{ bytes: BYTES, endpoint: row }]);
        assert.equal(b.take(1)[0]!.from, full(`${net}${last}`));
        assert.equal(b.flags(row) & SUPPRESSED, 0);
      }
    });
  });
}

describe('sticky source over link-local IPv6', { skip: NO_NETNS }, () => {
  it('keeps scope and source', () => {
    const cable = new Cable();
    const a = new Side(cable.a);
    const b = new Side(cable.b);
    const linkLocal = /inet6 (fe80::[0-9a-f:]+)\/64/;
    until('addresses are settled', () => !/tentative/.test(cable.a.run('ip -6 addr') + cable.b.run('ip -6 addr')));
    const address = linkLocal.exec(cable.b.run('ip -6 addr show dev v0'))![1]!;
    const index = Number(cable.a.run('ip -o link show v0').split(':')[0]);
    a.send([{ bytes: BYTES, endpoint: a.to(address, b.port, index) }]);
    const [got] = b.take(1);
    assert.equal(got!.source, full(address));
    b.send([{ bytes: BYTES, endpoint: got!.row }]);
    assert.equal(b.sender.failed, 0);
    assert.equal(a.take(1)[0]!.from, full(address));
    a.close();
    b.close();
    cable.close();
  });
});

describe('ChangeMonitor', { skip: NO_NETNS }, () => {
  it('hears of addresses, routes, rules and links of both families, and of nothing else', () => {
    const cable = new Cable();
    const monitor = cable.a.enter(() => new ChangeMonitor(ROUTING_GROUPS));
    const poller = new Poller(1);
    poller.set(0, monitor.fd, POLLIN);
    until('silence', () => !monitor.drain() && poller.wait(200) === 0);
    assert.equal(monitor.drain(), false);
    const changes = [
      'ip addr add 10.77.0.1/24 dev v0',
      'ip addr add fd77::1/64 dev v0 nodad',
      'ip route add 10.78.0.0/24 via 10.9.0.2',
      'ip -6 route add fd78::/64 via fd09::2',
      'ip rule add fwmark 1 table 77',
      'ip -6 rule add fwmark 1 table 77',
      'ip link set v0 mtu 1400',
    ];
    for (const change of changes) {
      cable.a.run(change);
      assert.ok(poller.wait(5000) > 0, change);
      assert.equal(monitor.drain(), true, change);
      until('silence', () => !monitor.drain() && poller.wait(50) === 0);
    }
    monitor.close();
    cable.close();
  });

  it('takes an overflow for a change', () => {
    const cable = new Cable();
    const monitor = cable.a.enter(() => new ChangeMonitor(ROUTING_GROUPS));
    cable.a.run(
      'for i in $(seq 3000); do echo "addr add 10.$((i / 250 + 100)).$((i % 250)).1/32 dev v0"; done | ip -batch -',
    );
    let rounds = 0;
    while (monitor.drain()) assert.ok(++rounds < 1000);
    assert.ok(rounds > 0);
    cable.a.run('ip addr add 10.99.0.1/32 dev v0');
    assert.equal(monitor.drain(), true, 'it still hears');
    monitor.close();
    cable.close();
  });
});
