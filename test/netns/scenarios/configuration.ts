/** Configurations that are large, strange or refused. One device, in a namespace of its own; there is no traffic. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOW_ORDER_POINTS } from '../../core/values.js';
import { commandOf, type Device, type Lab } from '../harness.js';
import type { Scenario } from '../scenario.js';
import type { Pair } from '../topology.js';

interface PeerConfig {
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
}

/** Numbers from 0. */
function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Many public keys, by one process. */
async function publicKeys(lab: Lab, count: number): Promise<string[]> {
  const keys = await lab.sh(`for ((i = 0; i < ${count}; i++)); do wg genkey | wg pubkey; done`);
  return keys.split('\n');
}

async function device(lab: Lab, pair: Pair): Promise<Device> {
  await lab.namespace(0);
  return lab.device(pair[0], 0);
}

/** Loads peers by `wg setconf` from a file. */
async function load(lab: Lab, { name }: Device, peers: readonly PeerConfig[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-netns-'));
  try {
    const file = join(directory, 'config');
    const sections = peers.map(({ publicKey, allowedIps }) => {
      return ['[Peer]', `PublicKey = ${publicKey}`, ...allowedIps.map((prefix) => `AllowedIPs = ${prefix}`)].join('\n');
    });
    writeFileSync(file, `[Interface]\n${sections.join('\n')}\n`);
    await lab.wg(`setconf ${name} ${file}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The prefixes of each peer, as `wg show DEVICE allowed-ips` gives them. */
async function allowedIps(lab: Lab, { name }: Device): Promise<Map<string, string[]>> {
  const lines = (await lab.wg(`show ${name} allowed-ips`)).split('\n').filter(Boolean);
  return new Map(
    lines.map((line) => {
      const [key = '', prefixes = ''] = line.split('\t');
      return [key, prefixes === '(none)' ? [] : prefixes.split(' ').sort()];
    }),
  );
}

/** Loads peers, and makes sure that all of it is shown: by field, in a dump, as a configuration file. */
async function loadAndShow(lab: Lab, self: Device, peers: readonly PeerConfig[]): Promise<void> {
  await load(lab, self, peers);
  const expected = new Map(peers.map((peer) => [peer.publicKey, [...peer.allowedIps].sort()]));
  assert.deepEqual(await allowedIps(lab, self), expected, 'allowed-ips');
  const dump = (await lab.wg(`show ${self.name} dump`)).split('\n').slice(1);
  const dumped = dump.map((line) => [
    line.split('\t')[0]!,
    line
      .split('\t')[3]!
      .split(/,|\(none\)/)
      .filter(Boolean)
      .sort(),
  ]);
  assert.deepEqual(new Map(dumped as [string, string[]][]), expected, 'dump');
  const file = await lab.wg(`showconf ${self.name}`);
  assert.equal(file.match(/^\[Peer\]$/gm)?.length, peers.length, 'showconf');
}

/** A scenario that loads peers: prefixes of each, by its place. */
function loading(
  number: number,
  title: string,
  peers: number,
  prefixes: (peer: number) => readonly string[],
): Scenario {
  return {
    numbers: [number],
    title,
    single: true,
    async run(lab, pair) {
      const self = await device(lab, pair);
      const keys = await publicKeys(lab, peers);
      await loadAndShow(
        lab,
        self,
        keys.map((publicKey, i) => ({ publicKey, allowedIps: prefixes(i) })),
      );
    },
  };
}

const incremental: Scenario = {
  numbers: [29],
  title: 'six of 394 allowed IPs removed one by one',
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const [publicKey = ''] = await publicKeys(lab, 1);
    const all = range(197).flatMap((i) => [`10.3.${i}.0/24`, `abcd:${i + 1}::/64`]);
    await load(lab, self, [{ publicKey, allowedIps: all }]);
    const gone = ['10.3.0.0/24', 'abcd:1::/64', '10.3.100.0/24', 'abcd:101::/64', '10.3.196.0/24', 'abcd:197::/64'];
    // The distribution's wg does not know "allowed-ips -..." yet.
    const words = commandOf('typetun')?.join(' ');
    for (const [i, prefix] of gone.entries()) {
      await lab.sh(`${words} wg set ${self.name} peer ${publicKey} allowed-ips -${prefix}`);
      const left = all.filter((other) => !gone.slice(0, i + 1).includes(other)).sort();
      assert.deepEqual(await allowedIps(lab, self), new Map([[publicKey, left]]), `without ${prefix}`);
    }
  },
};

const missingInterface: Scenario = {
  numbers: [30],
  title: 'commands on a missing interface fail cleanly',
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const before = await lab.wg(`show ${self.name} dump`);
    for (const words of ['show missing', 'show missing dump', 'showconf missing', 'set missing listen-port 1']) {
      const said = await lab.sh(`wg ${words} 2>&1 && echo worked || echo "exit $?"`);
      assert.match(
        said,
        /^Unable to (access|modify) interface: (No such device|Operation not supported|Protocol not supported)\nexit 1$/,
        words,
      );
    }
    assert.equal(await lab.sh('ls /var/run/wireguard/missing.sock 2>/dev/null || true'), '');
    assert.equal(await lab.wg(`show ${self.name} dump`), before);
  },
};

const cleared: Scenario = {
  numbers: [31],
  title: 'keys and preshared keys set and cleared',
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const [publicKey = ''] = await publicKeys(lab, 1);
    const psk = await lab.sh('wg genpsk');
    const show = (field: string): Promise<string> => lab.wg(`show ${self.name} ${field}`);
    assert.equal(await show('private-key'), self.privateKey);
    assert.equal(await show('public-key'), self.publicKey);
    await lab.wg(`set ${self.name} peer ${publicKey}`);
    assert.equal(await show('preshared-keys'), `${publicKey}\t(none)`);
    await lab.wg(`set ${self.name} peer ${publicKey} preshared-key <(echo ${psk})`);
    assert.equal(await show('preshared-keys'), `${publicKey}\t${psk}`);
    await lab.wg(`set ${self.name} peer ${publicKey} preshared-key /dev/null`);
    assert.equal(await show('preshared-keys'), `${publicKey}\t(none)`);
    await lab.wg(`set ${self.name} private-key /dev/null`);
    assert.equal(await show('private-key'), '(none)');
    assert.equal(await show('public-key'), '(none)');
    assert.equal(await show('peers'), publicKey);
    await lab.wg(`set ${self.name} private-key <(echo ${self.privateKey})`);
    assert.equal(await show('public-key'), self.publicKey);
  },
};

const ownKey: Scenario = {
  numbers: [32],
  title: "the interface's own public key is no peer, whichever of the two comes first",
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const peers = (): Promise<string> => lab.wg(`show ${self.name} peers`);
    await lab.wg(`set ${self.name} peer ${self.publicKey} allowed-ips 10.0.0.0/8`);
    assert.equal(await peers(), '', 'key first');
    await lab.wg(`set ${self.name} private-key /dev/null peer ${self.publicKey} allowed-ips 10.0.0.0/8`);
    assert.equal(await peers(), self.publicKey, 'without a private key it is any other');
    await lab.wg(`set ${self.name} private-key <(echo ${self.privateKey})`);
    assert.equal(await peers(), '', 'peer first');
    await lab.wg(`set ${self.name} private-key /dev/null`);
    await lab.wg(`set ${self.name} private-key <(echo ${self.privateKey}) peer ${self.publicKey}`);
    assert.equal(await peers(), '', 'both at once');
  },
};

const clamped: Scenario = {
  numbers: [33],
  title: 'a private key is shown clamped',
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const clamp = (bytes: Buffer): Buffer => {
      const copy = Buffer.from(bytes);
      copy[0] = copy[0]! & 248;
      copy[31] = (copy[31]! & 127) | 64;
      return copy;
    };
    for (const bytes of [Buffer.alloc(32, 255), Buffer.alloc(32, 7), Buffer.alloc(32, 1)]) {
      const expected = clamp(bytes).toString('base64');
      await lab.wg(`set ${self.name} private-key <(echo ${bytes.toString('base64')})`);
      assert.equal(await lab.wg(`show ${self.name} private-key`), expected);
      assert.equal(await lab.wg(`show ${self.name} public-key`), await lab.sh(`wg pubkey <<< ${expected}`));
    }
  },
};

const overlapping: Scenario = {
  numbers: [34],
  title: 'a prefix given to another peer moves to it; overlapping ones stay apart',
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const [x = '', y = ''] = await publicKeys(lab, 2);
    const set = (key: string, prefixes: string): Promise<string> =>
      lab.wg(`set ${self.name} peer ${key} allowed-ips ${prefixes}`);
    const holds = async (expected: Record<string, string[]>): Promise<void> =>
      assert.deepEqual(Object.fromEntries(await allowedIps(lab, self)), expected);
    await set(x, '0.0.0.0/0,10.0.0.0/8,10.1.0.0/16,::/0,fd00::/8');
    await holds({ [x]: ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '::/0', 'fd00::/8'] });
    await set(y, '10.0.0.0/8,fd00::/8');
    await holds({ [x]: ['0.0.0.0/0', '10.1.0.0/16', '::/0'], [y]: ['10.0.0.0/8', 'fd00::/8'] });
    if (self.implementation === 'typetun') await self.daemon.prints(/Allowed IP 10\.0\.0\.0\/8 moved from /);
    // Host bits do not make it another prefix.
    await set(y, '10.1.2.3/16,::1/0');
    await holds({ [x]: ['0.0.0.0/0'], [y]: ['10.1.0.0/16', '::/0'] });
    await set(y, '10.1.2.3/32,10.1.2.3/32');
    await holds({ [x]: ['0.0.0.0/0'], [y]: ['10.1.2.3/32'] });
    await set(x, '""');
    await holds({ [x]: [], [y]: ['10.1.2.3/32'] });
    await lab.wg(`set ${self.name} peer ${x} remove peer ${y} remove`);
    await holds({});
  },
};

const lowOrder: Scenario = {
  numbers: [35],
  title: 'seven low-order public keys are accepted as peers, and nothing is sent to them',
  tools: ['nft'],
  single: true,
  async run(lab, pair) {
    const self = await device(lab, pair);
    const keys = LOW_ORDER_POINTS.map((hex) => Buffer.from(hex, 'hex').toString('base64'));
    await lab.ip(0, `address add 10.0.0.1/24 dev ${self.name}`);
    await lab.ip(0, `link set ${self.name} up`);
    await lab.in(
      0,
      `nft 'add table inet count; add chain inet count out { type filter hook output priority 0; }
            add rule inet count out udp dport 1111 counter'`,
    );
    const words = keys.map((key, i) => {
      return `peer ${key} persistent-keepalive 1 endpoint 127.0.0.1:1111 allowed-ips 10.0.0.${100 + i}/32`;
    });
    await lab.wg(`set ${self.name} ${words.join(' ')}`);
    assert.deepEqual((await lab.wg(`show ${self.name} peers`)).split('\n').sort(), [...keys].sort());
    const pings = keys.map((_, i) => `ping -n -q -c 2 -i 0.2 -W 1 10.0.0.${100 + i} & p="$p $!"`);
    await lab.in(0, `${pings.join('\n')}\nfor i in $p; do wait $i && exit 1; done; true`);
    const sent = (await lab.wg(`show ${self.name} transfer`)).split('\n').map((line) => line.split('\t').slice(1));
    assert.deepEqual(sent, Array(7).fill(['0', '0']));
    assert.match(await lab.in(0, 'nft list table inet count'), /counter packets 0 bytes 0/);
    assert.ok(!self.daemon.ended, self.daemon.output);
  },
};

export const CONFIGURATION: readonly Scenario[] = [
  loading(25, 'one peer with 130,560 allowed IPs: set, shown and dumped', 1, () =>
    range(255).flatMap((a) =>
      range(256).flatMap((b) => [`${a + 1}.${b}.0.0/16`, `${(a + 1).toString(16)}::${(b + 1).toString(16)}/128`]),
    ),
  ),
  loading(26, '40 peers with 52 allowed IPs each', 40, (peer) => range(52).map((i) => `${peer + 1}.${i}.0.0/16`)),
  loading(27, '29 bare peers and one', 30, (peer) => (peer < 29 ? [] : ['255.2.3.4/32', 'abcd::255/128'])),
  loading(28, 'a bare peer and one with 197 IPv6 allowed IPs', 2, (peer) =>
    peer === 0 ? [] : range(197).map((i) => `abcd::${(i + 1).toString(16)}/128`),
  ),
  incremental,
  missingInterface,
  cleared,
  ownKey,
  clamped,
  overlapping,
  lowOrder,
];
