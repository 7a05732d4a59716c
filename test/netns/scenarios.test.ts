/**
 * Scenarios of a tunnel in namespaces (drawn in lab.ts), by their numbers in the acceptance list; each
 * against every pair of implementations that it names. SCENARIOS.md lists what runs and what does not.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { cannotRun, commandOf, type Implementation, type Lab, withLab } from './lab.js';

type Pair = readonly [Implementation, Implementation];
const OURS: Pair = ['typetun', 'typetun'];
const INITIATOR: Pair = ['typetun', 'wireguard-go-newest'];
const RESPONDER: Pair = ['wireguard-go', 'typetun'];

const TIMEOUT = 120_000;
const transfer = async (lab: Lab, name: string): Promise<number[]> =>
  (await lab.sh(`wg show ${name} transfer`)).split('\t').slice(1).map(Number);

function scenario(
  title: string,
  pairs: readonly Pair[],
  tools: readonly string[],
  body: (lab: Lab, pair: Pair) => Promise<void>,
): void {
  for (const pair of pairs) {
    const absent = pair.find((implementation) => commandOf(implementation) === undefined);
    const skip = cannotRun(...tools) || (absent ? `${absent} is not installed` : false);
    it(`${title} [${pair.join(' - ')}]`, { skip, timeout: TIMEOUT }, () => withLab((lab) => body(lab, pair)));
  }
}

describe('scenarios', { concurrency: 2 }, () => {
  scenario(
    '1: exact counters after 10 pings, handshake time not 0',
    [OURS, INITIATOR, RESPONDER],
    [],
    async (lab, pair) => {
      const [a, b] = await lab.tunnel(pair);
      await lab.endpoints(a, b, '127.0.0.1');
      // Address discovery and the like would be counted too: IPv6 stays silent.
      await lab.ping(1, '192.168.241.2', '-c 10 -i 0.02 -W 1');
      const [rx = 0, tx = 0] = await transfer(lab, a.name);
      // 84 bytes padded to 96, 32 more: ten each way, and the handshake; a keepalive may confirm it.
      assert.equal(rx % 32, (92 + 1280) % 32);
      assert.ok(tx >= 148 + 1280 && rx >= 92 + 1280, `${rx} ${tx}`);
      assert.notEqual((await lab.sh(`wg show ${a.name} latest-handshakes`)).split('\t')[1], '0');
      assert.notEqual((await lab.sh(`wg show ${b.name} latest-handshakes`)).split('\t')[1], '0');
    },
  );

  scenario(
    '2-3: traffic over an IPv4 outer path, MTU 1420 and 34736',
    [OURS, INITIATOR, RESPONDER],
    ['iperf3'],
    async (lab, pair) => {
      const [a, b] = await lab.tunnel(pair);
      await lab.endpoints(a, b, '127.0.0.1');
      await lab.traffic();
      for (const [i, side] of [a, b].entries()) await lab.sh(`ip -n ${lab.ns(i + 1)} link set ${side.name} mtu 34736`);
      await lab.traffic();
    },
  );

  scenario(
    '4-5: traffic over an IPv6 outer path, MTU 1420 and 34736',
    [OURS, INITIATOR, RESPONDER],
    ['iperf3'],
    async (lab, pair) => {
      const [a, b] = await lab.tunnel(pair);
      await lab.endpoints(a, b, '[::1]');
      await lab.traffic();
      for (const [i, side] of [a, b].entries()) await lab.sh(`ip -n ${lab.ns(i + 1)} link set ${side.name} mtu 34736`);
      await lab.traffic();
    },
  );

  scenario('6: padding never exceeds the MTU', [OURS], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    await lab.endpoints(a, b, '127.0.0.1');
    for (const mtu of [1280, 1333, 1407, 1420, 1500]) {
      await lab.sh(`ip -n ${lab.ns(1)} link set ${a.name} mtu ${mtu}`);
      await lab.ping(1, '192.168.241.2', `-c 2 -i 0.05 -W 2 -M do -s ${mtu - 28}`);
    }
    const before = (await transfer(lab, a.name))[1] ?? 0;
    await lab.ping(1, '192.168.241.2', `-c 1 -W 2 -s ${1500 - 28}`);
    assert.equal(((await transfer(lab, a.name))[1] ?? 0) - before, 1500 + 32);
  });

  scenario('7-8: roaming over IPv4 and IPv6', [OURS, INITIATOR, RESPONDER], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    for (const host of ['127.0.0.1', '[::1]'] as const) {
      await lab.sh(`wg set ${a.name} listen-port 1; wg set ${b.name} listen-port 2`);
      await lab.endpoints(a, b, host);
      await lab.ping(1, '192.168.241.2');
      await lab.sh(`wg set ${a.name} listen-port 9997`);
      await lab.ping(1, '192.168.241.2');
      const endpoint = (await lab.sh(`wg show ${b.name} endpoints`)).split('\t')[1];
      assert.equal(endpoint, `${host}:9997`);
      await lab.ping(2, '192.168.241.1');
    }
  });

  scenario('9: a prefix of another peer is not delivered, yet the endpoint roams', [OURS], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    await lab.endpoints(a, b, '127.0.0.1');
    await lab.ping(1, '192.168.241.2');
    const other = await lab.sh('wg genkey | wg pubkey');
    await lab.sh(`wg set ${b.name} peer ${other} allowed-ips 192.168.241.1/32`);
    await lab.sh(`wg set ${a.name} listen-port 9997`);
    assert.equal(await lab.succeeds(1, 'ping -q -c 1 -W 1 192.168.241.2'), false);
    const endpoints = await lab.sh(`wg show ${b.name} endpoints`);
    assert.ok(endpoints.includes('127.0.0.1:9997'), endpoints);
    assert.match(b.log, /192\.168\.241\.1\/32 moved/);
  });

  scenario('10: a private key changed under traffic, handshake at once', [OURS, INITIATOR], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    await lab.endpoints(a, b, '127.0.0.1');
    await lab.ping(1, '192.168.241.2');
    const key = await lab.sh('wg genkey');
    const publicKey = await lab.sh(`wg pubkey <<< ${key}`);
    await lab.sh(`wg set ${a.name} private-key <(echo ${key})`);
    await lab.sh(
      `wg set ${b.name} peer ${publicKey} allowed-ips 192.168.241.1/32,fd00::1/128 peer ${a.publicKey} remove`,
    );
    await lab.ping(1, '192.168.241.2', '-c 2 -i 0.2 -W 1');
  });

  scenario('12: an endpoint routed into its own tunnel does not grow into a storm', [OURS], [], async (lab) => {
    await lab.namespace(0);
    const a = await lab.daemon('typetun', 0);
    const peer = await lab.sh('wg genkey | wg pubkey');
    await lab.sh(
      `wg set ${a.name} listen-port 7 peer ${peer} allowed-ips 0.0.0.0/0 endpoint 10.0.0.9:7
       ip -n ${lab.ns(0)} address add 10.0.0.1/24 dev ${a.name}
       ip -n ${lab.ns(0)} link set ${a.name} up`,
    );
    await lab.succeeds(0, 'ping -q -c 200 -f -W 1 10.0.0.9');
    const [, tx = 0] = await transfer(lab, a.name);
    assert.ok(tx < 70_000, `${tx} bytes sent`);
  });

  scenario('14: ping bound to the interface', [OURS, INITIATOR], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    await lab.endpoints(a, b, '127.0.0.1');
    await lab.ping(1, '192.168.241.2', `-c 3 -i 0.05 -W 2 -I ${a.name}`);
  });

  scenario('25: one peer with 130,560 allowed IPs: set and dump', [OURS], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    const config = `/tmp/typetun-allowed-${lab.ns(0)}`;
    await lab.sh(
      `{ echo '[Peer]'; echo 'PublicKey = ${b.publicKey}'
         for i in {0..254}; do echo -n 'AllowedIPs = '; for j in {0..255}; do echo -n "\${s}10.$i.$j.0/24,fd00:$i:$j::/48"; s=,; done; s=; echo; done; } > ${config}
       wg setconf ${a.name} ${config}; rm ${config}`,
    );
    const shown = await lab.sh(`wg show ${a.name} allowed-ips`);
    assert.equal(shown.split(/[\t ]/).length - 1, 130_560);
  });

  scenario('26: 40 peers with 52 allowed IPs each', [OURS], [], async (lab, pair) => {
    const [a] = await lab.tunnel(pair);
    const keys = await lab.sh('for i in {1..40}; do wg genkey | wg pubkey; done');
    const words = keys.split('\n').map((key, i) => {
      const prefixes = Array.from({ length: 52 }, (_, j) => `10.${i}.${j}.0/24`);
      return `peer ${key} allowed-ips ${prefixes.join(',')}`;
    });
    await lab.sh(`wg set ${a.name} ${words.join(' ')}`);
    const lines = (await lab.sh(`wg show ${a.name} allowed-ips`)).split('\n');
    assert.equal(lines.length, 41);
    assert.ok(lines.slice(1).every((line) => line.split(/[\t ]/).length === 53));
  });

  scenario('30: commands on a missing interface fail cleanly', [OURS], [], async (lab) => {
    await lab.namespace(0);
    assert.equal(await lab.succeeds(0, 'wg show does-not-exist'), false);
    assert.equal(await lab.succeeds(0, 'wg set does-not-exist listen-port 1'), false);
  });

  scenario('31: keys and preshared keys set and cleared', [OURS, INITIATOR], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    await lab.endpoints(a, b, '127.0.0.1');
    const psk = await lab.sh('wg genpsk');
    for (const [side, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      await lab.sh(`wg set ${side.name} peer ${peer.publicKey} preshared-key <(echo ${psk})`);
    }
    await lab.ping(1, '192.168.241.2');
    assert.equal((await lab.sh(`wg show ${a.name} preshared-keys`)).split('\t')[1], psk);
    await lab.sh(`wg set ${a.name} private-key /dev/null peer ${b.publicKey} preshared-key /dev/null`);
    assert.equal(await lab.sh(`wg show ${a.name} private-key`), '(none)');
    assert.equal((await lab.sh(`wg show ${a.name} preshared-keys`)).split('\t')[1], '(none)');
  });

  scenario('32-34: own key as peer, clamped key, overlapping prefixes', [OURS], [], async (lab) => {
    await lab.namespace(0);
    const a = await lab.daemon('typetun', 0);
    await lab.sh(`wg set ${a.name} peer ${a.publicKey} allowed-ips 10.0.0.0/8`);
    assert.equal(await lab.sh(`wg show ${a.name} peers`), '');
    await lab.sh(`wg set ${a.name} private-key /dev/null peer ${a.publicKey} allowed-ips 10.0.0.0/8`);
    assert.equal(await lab.sh(`wg show ${a.name} peers`), a.publicKey);
    await lab.sh(`wg set ${a.name} private-key <(echo ${a.privateKey})`);
    assert.equal(await lab.sh(`wg show ${a.name} peers`), '');
    const ones = Buffer.alloc(32, 255);
    await lab.sh(`wg set ${a.name} private-key <(echo ${ones.toString('base64')})`);
    const clamped = Buffer.from(await lab.sh(`wg show ${a.name} private-key`), 'base64');
    assert.deepEqual([clamped[0], clamped[31]], [248, 127]);
    const [x, y] = [await lab.sh('wg genkey | wg pubkey'), await lab.sh('wg genkey | wg pubkey')];
    await lab.sh(`wg set ${a.name} peer ${x} allowed-ips 10.1.0.0/16,10.2.0.0/16 peer ${y} allowed-ips 10.1.0.0/16`);
    const shown = (await lab.sh(`wg show ${a.name} allowed-ips`)).split('\n').sort();
    assert.deepEqual(shown, [`${x}\t10.2.0.0/16`, `${y}\t10.1.0.0/16`].sort());
  });

  scenario('35: low-order public keys are accepted, and nothing is sent', [OURS], [], async (lab) => {
    await lab.namespace(0);
    const a = await lab.daemon('typetun', 0);
    const points = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ].map((hex) => Buffer.from(hex, 'hex').toString('base64'));
    await lab.sh(
      `ip -n ${lab.ns(0)} address add 10.0.0.1/24 dev ${a.name} && ip -n ${lab.ns(0)} link set ${a.name} up`,
    );
    for (const [i, key] of points.entries()) {
      await lab.sh(
        `wg set ${a.name} peer ${key} persistent-keepalive 1 endpoint 127.0.0.1:111 allowed-ips 10.0.0.${100 + i}/32`,
      );
      await lab.succeeds(0, `ping -q -c 1 -W 1 10.0.0.${100 + i}`);
    }
    const peers = (await lab.sh(`wg show ${a.name} transfer`)).split('\n');
    assert.equal(peers.length, 7);
    assert.ok(
      peers.every((line) => line.endsWith('\t0\t0')),
      peers.join('\n'),
    );
  });

  scenario(
    '36: the birthplace loses its name, traffic goes on; the target dies, the daemon ends',
    [OURS],
    [],
    async (lab, pair) => {
      const [a, b] = await lab.tunnel(pair);
      await lab.endpoints(a, b, '127.0.0.1');
      await lab.ping(1, '192.168.241.2');
      await lab.sh(`ip netns del ${lab.ns(0)}`);
      await lab.ping(1, '192.168.241.2');
      await lab.sh(`ip netns del ${lab.ns(1)}`);
      await lab.until('the daemon to end', () => a.process.exitCode !== null);
      assert.equal(a.process.exitCode, 0);
    },
  );

  scenario('37: a deleted device and a removed socket end the daemon', [OURS], [], async (lab, pair) => {
    const [a, b] = await lab.tunnel(pair);
    const deleted = once(a.process, 'exit');
    await lab.sh(`ip -n ${lab.ns(1)} link del ${a.name}`);
    assert.deepEqual((await deleted)[0], 0);
    const removed = once(b.process, 'exit');
    await lab.sh(`rm /var/run/wireguard/${b.name}.sock`);
    assert.deepEqual((await removed)[0], 0);
    assert.equal(await lab.succeeds(2, `ip link show ${b.name}`), false);
  });
});
