/**
 * The stock wg-quick with WG_QUICK_USERSPACE_IMPLEMENTATION=typetun, and typetun's own, in a namespace of their own:
 *
 *   namespace c                                  namespace s
 *   [wg-quick's device] 10.77.0.2, fd77::2       [device] 10.77.0.1, fd77::1
 *        :                                          :     198.51.100.7, 2001:db8:7::7 on lo: "the Internet"
 *   192.0.2.2, 2001:db8::2 ------- veth ------- 192.0.2.1, 2001:db8::1
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Device, kernelType, type Lab, missing, until, withLab, withNamespaces } from '../netns/harness.js';
import { ping } from '../netns/topology.js';
import { flood } from '../netns/traffic.js';

const TYPETUN = fileURLToPath(new URL('../../../bin/typetun', import.meta.url));
const TIMEOUT_MS = 90_000;
const PORT = 51820;
const INTERNET = { v4: '198.51.100.7', v6: '2001:db8:7::7' } as const;

let files = 0;

const TOOLS = {
  stock: { command: 'wg-quick', env: { WG_QUICK_USERSPACE_IMPLEMENTATION: TYPETUN }, skip: kernelType },
  typetun: { command: `${process.execPath} ${TYPETUN} wg-quick`, env: {}, skip: () => false },
} as const;

withNamespaces(import.meta.filename, () => {
  for (const tool of ['stock', 'typetun'] as const) register(tool);
});

function register(tool: keyof typeof TOOLS): void {
  const { command, env } = TOOLS[tool];
  const skip = missing(['wg-quick', 'nft', 'sysctl']) || TOOLS[tool].skip();
  describe(`wg-quick of ${tool}`, { skip }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'typetun-wg-quick-'));
    after(() => rmSync(directory, { recursive: true }));

    /** A server in s that knows a client's key, and the client's file. */
    async function prepare(lab: Lab, allowedIps: string, more = ''): Promise<{ path: string; server: Device }> {
      await lab.namespace('c', 's');
      await lab.veth('c', 'veth', 's', 'veth');
      for (const [ns, host] of [
        ['c', 2],
        ['s', 1],
      ] as const) {
        await lab.ip(ns, `address add 192.0.2.${host}/24 dev veth`);
        await lab.ip(ns, `address add 2001:db8::${host}/64 dev veth nodad`);
      }
      await lab.ip('c', 'route add default via 192.0.2.1');
      await lab.ip('c', '-6 route add default via 2001:db8::1');
      const server = await lab.device('typetun', 's');
      const { privateKey, publicKey } = await lab.keys();
      await lab.wg(`set ${server.name} listen-port ${PORT} peer ${publicKey} allowed-ips 10.77.0.2/32,fd77::2/128`);
      await lab.in(
        's',
        `
        ip address add 10.77.0.1/24 dev ${server.name}; ip address add fd77::1/64 dev ${server.name} nodad
        ip address add ${INTERNET.v4}/32 dev lo; ip address add ${INTERNET.v6}/128 dev lo
        ip link set ${server.name} up`,
      );
      const path = join(directory, `ttq${process.pid % 100_000}x${files++}.conf`);
      const config = `[Interface]
PrivateKey = ${privateKey}
Address = 10.77.0.2/24, fd77::2/64
${more}
[Peer]
PublicKey = ${server.publicKey}
Endpoint = 192.0.2.1:${PORT}
AllowedIPs = ${allowedIps}
`;
      writeFileSync(path, config, { mode: 0o600 });
      return { path, server };
    }

    const quick = (lab: Lab, verb: 'up' | 'down' | 'save', path: string): Promise<string> =>
      lab.in('c', `${command} ${verb} ${path} 2>&1`, { env });

    const nameOf = (path: string): string => basename(path, '.conf');

    /** The process that a device's daemon is: it has the device's name as its last word. */
    function daemonOf(lab: Lab, path: string): Promise<string> {
      return lab.sh(`pgrep -f -- '[t]ypetun.* ${nameOf(path)}$' || true`);
    }

    async function assertTypetun(lab: Lab, path: string): Promise<void> {
      assert.match(await lab.ip('c', `-details link show ${nameOf(path)}`), /\btun type tun\b/);
      const pid = await daemonOf(lab, path);
      assert.match(pid, /^\d+$/, 'one daemon');
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /typetun\b|main\.js\b/);
      assert.match(await lab.sh('wg show interfaces'), new RegExp(`\\b${nameOf(path)}\\b`));
    }

    async function assertGone(lab: Lab, path: string, before: string): Promise<void> {
      await until('the daemon to end', async () => (await daemonOf(lab, path)) === '');
      assert.equal(await lab.succeeds('c', `ip link show ${nameOf(path)}`), false);
      assert.doesNotMatch(await lab.sh('ls /var/run/wireguard'), new RegExp(`^${nameOf(path)}\\.sock$`, 'm'));
      assert.equal(await state(lab), before, 'rules, routes and tables are as they were');
    }

    /** Everything in c that wg-quick may change. */
    const state = (lab: Lab): Promise<string> =>
      lab.in(
        'c',
        'ip rule; ip -6 rule; ip route show table all | sort; nft list tables; iptables-save 2>/dev/null | grep "^-" || true',
      );

    it('brings a tunnel up and down', { timeout: TIMEOUT_MS }, () =>
      withLab(async (lab) => {
        const { path, server } = await prepare(lab, '10.77.0.0/24, fd77::/64');
        const before = await state(lab);
        const said = await quick(lab, 'up', path);
        assert.match(said, tool === 'stock' ? /Missing WireGuard kernel module/ : /^\[#\] typetun /);
        await assertTypetun(lab, path);
        await ping(lab, 'c', '10.77.0.1');
        await ping(lab, 'c', 'fd77::1');
        await ping(lab, 's', '10.77.0.2');
        // The MTU of the path to the endpoint, less 80.
        assert.match(await lab.ip('c', `link show ${nameOf(path)}`), /mtu 1420/);
        assert.match(await lab.wg(`show ${server.name} endpoints`), /\t192\.0\.2\.2:\d+$/);
        await quick(lab, 'down', path);
        await assertGone(lab, path, before);
      }),
    );

    it('routes everything through a full tunnel, and takes that back', { timeout: TIMEOUT_MS }, () =>
      withLab(async (lab) => {
        const { path, server } = await prepare(lab, '0.0.0.0/0, ::/0');
        const before = await state(lab);
        await quick(lab, 'up', path);
        await assertTypetun(lab, path);
        const name = nameOf(path);
        assert.match(await lab.wg(`show ${name} fwmark`), /^0xca6c$/);
        // What leaves by the uplink: the tunnel's datagrams, and nothing else but who asks for neighbours.
        const counter = (match: string): string =>
          `chain ${match.replaceAll(' ', '')} { type filter hook postrouting priority 300; oifname "veth" ${match} counter; }`;
        await lab.in(
          'c',
          `nft -f - <<'END'\ntable inet uplink {\n${counter(`udp dport ${PORT}`)}\n${counter('icmp type echo-request')}\n${counter('icmpv6 type echo-request')}\n}\nEND`,
        );
        for (const host of [INTERNET.v4, INTERNET.v6]) {
          assert.match(await lab.ip('c', `route get ${host}`), new RegExp(` dev ${name} `));
          await flood(lab, 'c', host, 50);
        }
        // By bytes: datagrams that were sent in one call are one packet here.
        const listed = await lab.in('c', 'nft list table inet uplink');
        const bytes = [...listed.matchAll(/counter packets \d+ bytes (\d+)/g)].map(([, n]) => Number(n));
        await lab.in('c', 'nft delete table inet uplink');
        // 84 bytes of a ping are padded to 96, with 32 more around them.
        assert.ok(bytes[0]! >= 100 * (96 + 32), `${bytes[0]} encrypted bytes`);
        assert.deepEqual(bytes.slice(1), [0, 0], 'no packet leaves in the clear');
        assert.match(await lab.wg(`show ${server.name} transfer`), /\t[1-9]\d{3,}\t[1-9]\d{3,}$/);
        // The endpoint itself is only reached outside of the tunnel by what carries the mark.
        assert.match(await lab.ip('c', 'route get 192.0.2.1 mark 0xca6c'), / dev veth /);
        // Somebody on the same link who sends to the tunnel's address is refused (the nft rule).
        await lab.ip('s', 'route replace 10.77.0.2/32 via 192.0.2.2 dev veth');
        const spoof = 'ping -c 1 -W 1 -I 192.0.2.1 10.77.0.2';
        assert.equal(await lab.succeeds('s', spoof), false);
        // And it is this rule that refuses it.
        await lab.in('c', `nft delete table ip wg-quick-${name}`);
        assert.equal(await lab.succeeds('s', spoof), true);
        await quick(lab, 'down', path);
        await assertGone(lab, path, before);
      }),
    );

    it('runs hooks, keeps a port, and saves what was set', { timeout: TIMEOUT_MS }, () =>
      withLab(async (lab) => {
        const note = join(directory, `hooks${files}`);
        const hook = (word: string): string =>
          `${word} = echo ${word} %i $(ip -br link show %i 2>/dev/null | wc -l) >> ${note}\n`;
        const more = `ListenPort = 41414\nMTU = 1300\nSaveConfig = true\n${['PreUp', 'PostUp', 'PreDown', 'PostDown'].map(hook).join('')}`;
        const { path, server } = await prepare(lab, '10.77.0.0/24', more);
        const before = await state(lab);
        await quick(lab, 'up', path);
        await ping(lab, 'c', '10.77.0.1');
        assert.match(await lab.wg(`show ${server.name} endpoints`), /:41414$/);
        await lab.wg(`set ${nameOf(path)} peer ${server.publicKey} persistent-keepalive 17`);
        await quick(lab, 'down', path);
        await assertGone(lab, path, before);
        const name = nameOf(path);
        // How many devices of the name there are: at PreUp none in this version of the stock tool, one in newer ones.
        const seen = readFileSync(note, 'utf8').trimEnd().split('\n');
        assert.equal(seen[0], `PreUp ${name} ${tool === 'stock' ? 0 : 1}`);
        assert.deepEqual(seen.slice(1), [`PostUp ${name} 1`, `PreDown ${name} 1`, `PostDown ${name} 0`]);
        assert.match(readFileSync(path, 'utf8'), /ListenPort = 41414[\s\S]*PersistentKeepalive = 17/);
        await quick(lab, 'up', path);
        await ping(lab, 'c', '10.77.0.1');
        await quick(lab, 'down', path);
        await assertGone(lab, path, before);
      }),
    );

    it('leaves nothing when up fails half way', { timeout: TIMEOUT_MS }, () =>
      withLab(async (lab) => {
        const { path } = await prepare(lab, '10.77.0.0/24', 'PostUp = false\n');
        const before = await state(lab);
        await assert.rejects(quick(lab, 'up', path));
        await assertGone(lab, path, before);
      }),
    );
  });
}
