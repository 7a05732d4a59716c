/**
 * Tunnels among other routes: NAT, bound sockets, policy routing. Both devices are where their sockets are.
 *
 *   namespace 1                      namespace 0: a router                     namespace 2
 *   [a]                              SNAT of 192.168.1.0/24 to 10.0.0.1                         [b]
 *       inside 192.168.1.100 ------- 192.168.1.1    10.0.0.1 ------- outside 10.0.0.100
 *              fd01::100     ------- fd01::1        fd02::1  -------         fd02::100
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Device, Lab } from '../harness.js';
import { notByWireguardGo, type Scenario } from '../scenario.js';
import { endpointOf, endpoints, type Pair, PORTS, ping, setEndpoint, tunnel, V4, V6 } from '../topology.js';
import { flood } from '../traffic.js';

/** Addresses behind b that only its device has. */
const FAR_V4 = '192.168.99.7';
const FAR_V6 = '2001:db8:99::7';
const FWMARK = 51820;

/** The drawing above, a knowing b's endpoint; b's device has the far addresses, and a sends everything to b. */
async function routed(lab: Lab, pair: Pair): Promise<[Device, Device]> {
  await lab.namespace(0, 1, 2);
  await lab.veth(1, 'inside', 0, 'left');
  await lab.veth(2, 'outside', 0, 'right');
  for (const [ns, name, v4, v6] of [
    [1, 'inside', '192.168.1.100', 'fd01::100'],
    [0, 'left', '192.168.1.1', 'fd01::1'],
    [0, 'right', '10.0.0.1', 'fd02::1'],
    [2, 'outside', '10.0.0.100', 'fd02::100'],
  ] as const) {
    await lab.ip(ns, `address add ${v4}/24 dev ${name}`);
    await lab.ip(ns, `address add ${v6}/64 dev ${name} nodad`);
  }
  await lab.in(0, 'echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding');
  await lab.ip(1, 'route add default via 192.168.1.1');
  await lab.ip(1, 'route add default via fd01::1');
  await lab.ip(2, 'route add fd01::/64 via fd02::1');
  await lab.in(
    0,
    `nft 'add table ip nat; add chain ip nat after { type nat hook postrouting priority 100; }
          add rule ip nat after ip saddr 192.168.1.0/24 ip daddr 10.0.0.0/24 snat to 10.0.0.1'`,
  );
  const [a, b] = await tunnel(lab, pair, { birthplaces: [1, 2] });
  await lab.ip(2, `address add ${FAR_V4}/32 dev ${b.name}`);
  await lab.ip(2, `address add ${FAR_V6}/128 dev ${b.name} nodad`);
  await lab.wg(`set ${a.name} peer ${b.publicKey} allowed-ips 0.0.0.0/0,::/0 endpoint 10.0.0.100:${PORTS[1]}`);
  return [a, b];
}

const nat: Scenario = {
  numbers: [13],
  title: 'NAT whose mappings expire after 2 s, and persistent keepalives',
  tools: ['nft', 'conntrack'],
  async run(lab, pair) {
    const [a, b] = await routed(lab, pair);
    await lab.in(0, 'echo 2 | tee /proc/sys/net/netfilter/nf_conntrack_udp_timeout{,_stream}');
    // What the kernel multicasts over IPv6 would keep the mapping alive.
    await lab.wg(`set ${a.name} peer ${b.publicKey} allowed-ips ${V4[1]}/32`);
    await ping(lab, 1, V4[1]);
    assert.equal(await endpointOf(lab, b, a), `10.0.0.1:${PORTS[0]}`);
    // Longer than a mapping lives without traffic.
    await sleep(3500);
    assert.equal(await lab.succeeds(2, `ping -n -q -c 1 -W 1 ${V4[0]}`), false, 'ping without keepalives');
    // Else what b sent in vain holds the port, and the router takes another one for a.
    await lab.in(0, 'conntrack -F');
    // The first one goes out at once.
    await lab.wg(`set ${a.name} peer ${b.publicKey} persistent-keepalive 1`);
    await ping(lab, 2, V4[0]);
    await sleep(3500);
    await lab.in(2, `ping -n -q -c 1 -W 5 ${V4[0]}`);
    assert.equal(await endpointOf(lab, b, a), `10.0.0.1:${PORTS[0]}`);
  },
};

const bound: Scenario = {
  numbers: [14],
  title: 'ping bound to the device, which no route leads to',
  tools: ['nft'],
  async run(lab, pair) {
    const [a] = await routed(lab, pair);
    assert.match(await lab.ip(1, `route get ${FAR_V4}`), /via 192\.168\.1\.1/);
    await ping(lab, 1, FAR_V4, `-I ${a.name}`);
    await flood(lab, 1, V6[1], 20, `-I ${a.name}`);
  },
};

const marked: Scenario = {
  numbers: [15],
  title: 'packets that a mark re-routes into the tunnel',
  tools: ['nft'],
  async run(lab, pair) {
    const [a, b] = await routed(lab, pair);
    // They keep the source address of the route that they would have taken.
    await lab.wg(`set ${b.name} peer ${a.publicKey} allowed-ips ${V4[0]}/32,192.168.1.0/24`);
    await lab.ip(2, `route add 192.168.1.0/24 dev ${b.name}`);
    assert.equal(await lab.succeeds(1, `ping -n -q -c 1 -W 1 ${FAR_V4}`), false, 'ping before there is a mark');
    await lab.ip(1, `route add default dev ${a.name} table 51`);
    await lab.ip(1, 'rule add fwmark 1 lookup 51');
    await lab.in(
      1,
      `nft 'add table ip marks; add chain ip marks out { type route hook output priority -150; }
            add rule ip marks out ip daddr ${FAR_V4} meta mark set 1'`,
    );
    await flood(lab, 1, FAR_V4, 20);
  },
};

const fullTunnel: Scenario = {
  numbers: [18],
  title: 'a full tunnel by fwmark, a table of its own and suppressed default routes',
  tools: ['nft'],
  async run(lab, pair) {
    const [a, b] = await routed(lab, pair);
    await lab.wg(`set ${a.name} fwmark ${FWMARK}`);
    for (const family of ['-4', '-6']) {
      await lab.ip(1, `${family} route add default dev ${a.name} table ${FWMARK}`);
      await lab.ip(1, `${family} rule add not fwmark ${FWMARK} table ${FWMARK}`);
      await lab.ip(1, `${family} rule add table main suppress_prefixlength 0`);
    }
    for (const host of ['10.0.0.100', '[fd02::100]']) {
      await setEndpoint(lab, a, b, `${host}:${PORTS[1]}`);
      await flood(lab, 1, FAR_V4, 100);
      await flood(lab, 1, FAR_V6, 100);
    }
    // Local networks stay reachable beside the tunnel.
    await ping(lab, 1, '192.168.1.1');
  },
};

/**
 *   namespace 3                namespace 1                              namespace 2
 *   client 10.3.0.2 ---------- 10.3.0.1, SNAT into [a] 192.168.241.1    [b]
 *          fd03::2  ---------- fd03::1                 fd00::1
 */
const unreachable: Scenario = {
  numbers: [19],
  title: 'ICMP unreachable to the sender, through NAT as well, for a destination without peer or endpoint',
  tools: ['nft'],
  skip: notByWireguardGo('wireguard-go sends no ICMP errors'),
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    const { publicKey } = await lab.keys();
    await lab.wg(`set ${a.name} peer ${publicKey} allowed-ips 192.168.241.98/32,fd00::98/128`);
    await lab.namespace(3);
    await lab.veth(3, 'client', 1, 'gate');
    for (const [ns, name, last] of [
      [3, 'client', 2],
      [1, 'gate', 1],
    ] as const) {
      await lab.ip(ns, `address add 10.3.0.${last}/24 dev ${name}`);
      await lab.ip(ns, `address add fd03::${last}/64 dev ${name} nodad`);
    }
    await lab.ip(3, 'route add default via 10.3.0.1');
    await lab.ip(3, 'route add default via fd03::1');
    await lab.in(1, 'echo 1 | tee /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding');
    for (const [family, source] of [
      ['ip', V4[0]],
      ['ip6', V6[0]],
    ] as const) {
      await lab.in(
        1,
        `nft 'add table ${family} nat; add chain ${family} nat after { type nat hook postrouting priority 100; }
              add rule ${family} nat after oifname ${a.name} snat to ${source}'`,
      );
    }
    for (const from of [1, 3]) {
      await ping(lab, from, V4[1]);
      for (const host of ['192.168.241.99', '192.168.241.98', 'fd00::99', 'fd00::98']) {
        const said = await lab.in(from, `ping -n -c 2 -i 0.3 -W 2 ${host} || true`);
        const what = host.includes(':')
          ? 'Destination unreachable: Address unreachable'
          : 'Destination Host Unreachable';
        assert.ok(said.includes(`From ${host} icmp_seq=1 ${what}`), `ping from ${from}: ${said}`);
      }
    }
  },
};

export const ROUTING: readonly Scenario[] = [nat, bound, marked, fullTunnel, unreachable];
