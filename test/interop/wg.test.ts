/** The stock `wg` against the daemon: every form of show, set, setconf, addconf, syncconf and showconf. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type Device, type Lab, missing, withLab, withNamespaces } from '../netns/harness.js';
import { endpoints, latestHandshake, ping, tunnel, V4, V6 } from '../netns/topology.js';

const TIMEOUT_MS = 60_000;
const PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const PUBLIC = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=';
const PEER = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const BARE = 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=';
const PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';

const CONFIG = `[Interface]
ListenPort = 51777
FwMark = 0x1234
PrivateKey = ${PRIVATE}

[Peer]
PublicKey = ${PEER}
PresharedKey = ${PSK}
AllowedIPs = 10.1.0.0/16, fd77::/64
Endpoint = [2001:db8::7]:40000
PersistentKeepalive = 25

[Peer]
PublicKey = ${BARE}
`;

/** What `wg show DEVICE FORM` prints for {@link CONFIG}. */
const FORMS: Readonly<Record<string, string>> = {
  'public-key': PUBLIC,
  'private-key': PRIVATE,
  'listen-port': '51777',
  fwmark: '0x1234',
  peers: `${PEER}\n${BARE}`,
  'preshared-keys': `${PEER}\t${PSK}\n${BARE}\t(none)`,
  endpoints: `${PEER}\t[2001:db8::7]:40000\n${BARE}\t(none)`,
  'allowed-ips': `${PEER}\t10.1.0.0/16 fd77::/64\n${BARE}\t(none)`,
  'latest-handshakes': `${PEER}\t0\n${BARE}\t0`,
  'persistent-keepalive': `${PEER}\t25\n${BARE}\toff`,
  transfer: `${PEER}\t0\t0\n${BARE}\t0\t0`,
  dump: [
    `${PRIVATE}\t${PUBLIC}\t51777\t0x1234`,
    `${PEER}\t${PSK}\t[2001:db8::7]:40000\t10.1.0.0/16,fd77::/64\t0\t0\t0\t25`,
    `${BARE}\t(none)\t(none)\t(none)\t0\t0\t0\toff`,
  ].join('\n'),
};

withNamespaces(import.meta.filename, () => {
  describe('wg', { skip: missing([]), concurrency: 2 }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'typetun-interop-'));
    let files = 0;
    after(() => rmSync(directory, { recursive: true }));
    const config = (text: string): string => {
      const path = join(directory, `${files++}.conf`);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };

    /** A device that is down and has nothing but a key: nothing is sent anywhere. */
    const withDevice = (test: (lab: Lab, device: Device) => Promise<void>): Promise<void> =>
      withLab(async (lab) => {
        await lab.namespace(0);
        await test(lab, await lab.device('typetun', 0));
      });

    it('shows every form of what setconf set', { timeout: TIMEOUT_MS }, () =>
      withDevice(async (lab, { name }) => {
        await lab.wg(`setconf ${name} ${config(CONFIG)}`);
        for (const [form, text] of Object.entries(FORMS))
          assert.equal(await lab.wg(`show ${name} ${form}`), text, form);
        assert.ok((await lab.wg('show interfaces')).split(/\s+/).includes(name));
        const all = (await lab.wg('show all dump')).split('\n').filter((line) => line.startsWith(`${name}\t`));
        assert.deepEqual(
          all,
          FORMS['dump']?.split('\n').map((line) => `${name}\t${line}`),
        );
        const text = await lab.wg(`show ${name}`, { env: { WG_HIDE_KEYS: 'always', WG_COLOR_MODE: 'never' } });
        assert.match(
          text,
          new RegExp(
            `^interface: ${name}\n  public key: ${PUBLIC.replace(/[+]/g, '\\+')}\n  private key: \\(hidden\\)`,
          ),
        );
        assert.match(
          text,
          /preshared key: \(hidden\)\n {2}endpoint: \[2001:db8::7\]:40000\n {2}allowed ips: 10\.1\.0\.0\/16, fd77::\/64/,
        );
        assert.match(text, /persistent keepalive: every 25 seconds/);
      }),
    );

    it('gives back by showconf what setconf took', { timeout: TIMEOUT_MS }, () =>
      withDevice(async (lab, { name }) => {
        await lab.wg(`setconf ${name} ${config(CONFIG)}`);
        const shown = await lab.wg(`showconf ${name}`);
        await lab.wg(`setconf ${name} ${config('[Interface]\n')}`);
        assert.equal(await lab.wg(`show ${name} peers`), '');
        assert.equal(await lab.wg(`show ${name} fwmark`), 'off');
        await lab.wg(`setconf ${name} ${config(shown)}`);
        assert.equal(await lab.wg(`show ${name} dump`), FORMS['dump']);
      }),
    );

    it(
      'shows what wireguard-go shows for the same configuration',
      { timeout: TIMEOUT_MS, skip: missing([], ['wireguard-go']) },
      () =>
        withDevice(async (lab, { name }) => {
          const reference = await lab.device('wireguard-go', 0);
          // One peer: wireguard-go has no order among several.
          const one = config(CONFIG.replace(`[Peer]\nPublicKey = ${BARE}\n`, ''));
          for (const device of [name, reference.name]) await lab.wg(`setconf ${device} ${one}`);
          for (const form of ['', ...Object.keys(FORMS)]) {
            const [ours, theirs] = [
              await lab.wg(`show ${name} ${form}`),
              await lab.wg(`show ${reference.name} ${form}`),
            ];
            assert.equal(ours, theirs.replaceAll(reference.name, name), form || 'show');
          }
          assert.equal(await lab.wg(`showconf ${name}`), await lab.wg(`showconf ${reference.name}`));
        }),
    );

    it('sets, adds to, moves and removes single things', { timeout: TIMEOUT_MS }, () =>
      withDevice(async (lab, { name }) => {
        await lab.wg(`set ${name} private-key <(echo ${PRIVATE}) listen-port 51778 fwmark 7`);
        await lab.wg(
          `set ${name} peer ${PEER} preshared-key <(echo ${PSK}) endpoint 192.0.2.7:7 persistent-keepalive 9`,
        );
        await lab.wg(`set ${name} peer ${PEER} allowed-ips 10.1.2.3/16,fd77::1/64`);
        assert.equal(await lab.wg(`show ${name} allowed-ips`), `${PEER}\t10.1.0.0/16 fd77::/64`);
        await lab.wg(`set ${name} peer ${BARE} allowed-ips 10.1.0.0/16`);
        assert.equal(await lab.wg(`show ${name} allowed-ips`), `${PEER}\tfd77::/64\n${BARE}\t10.1.0.0/16`);
        await lab
          .wg(`set ${name} peer ${PEER} preshared-key /dev/null persistent-keepalive off fwmark 0`)
          .catch(() => '');
        await lab.wg(`set ${name} fwmark off peer ${PEER} preshared-key /dev/null persistent-keepalive off`);
        assert.equal(await lab.wg(`show ${name} preshared-keys`), `${PEER}\t(none)\n${BARE}\t(none)`);
        assert.equal(await lab.wg(`show ${name} fwmark`), 'off');
        await lab.wg(`set ${name} peer ${PEER} remove`);
        assert.equal(await lab.wg(`show ${name} peers`), BARE);
        await lab.wg(`set ${name} private-key /dev/null`);
        assert.equal(await lab.wg(`show ${name} private-key`), '(none)');
      }),
    );

    it('adds by addconf and leaves the rest', { timeout: TIMEOUT_MS }, () =>
      withDevice(async (lab, { name }) => {
        await lab.wg(`setconf ${name} ${config(CONFIG.slice(0, CONFIG.lastIndexOf('[Peer]')))}`);
        await lab.wg(`addconf ${name} ${config(`[Peer]\nPublicKey = ${BARE}\nAllowedIPs = 10.2.0.0/16\n`)}`);
        assert.equal(await lab.wg(`show ${name} allowed-ips`), `${PEER}\t10.1.0.0/16 fd77::/64\n${BARE}\t10.2.0.0/16`);
        assert.equal(await lab.wg(`show ${name} listen-port`), '51777');
      }),
    );

    it(
      'changes nothing when a line is bad, and fails for an interface that is not there',
      { timeout: TIMEOUT_MS },
      () =>
        withDevice(async (lab, { name }) => {
          await lab.wg(`setconf ${name} ${config(CONFIG)}`);
          await assert.rejects(
            lab.wg(`setconf ${name} ${config(`${CONFIG}AllowedIPs = 10.0.0.0/33\n`)}`),
            /10\.0\.0\.0\/33/,
          );
          assert.equal(await lab.wg(`show ${name} dump`), FORMS['dump']);
          await assert.rejects(lab.wg(`show ${name}x`), /Unable to access interface: /);
        }),
    );

    it('keeps the session over syncconf, and not over setconf', { timeout: TIMEOUT_MS }, () =>
      withLab(async (lab) => {
        const [a, b] = await tunnel(lab, ['typetun', 'typetun']);
        await endpoints(lab, a, b, '127.0.0.1');
        await ping(lab, 1, V4[1]);
        const before = await latestHandshake(lab, a, b);
        assert.ok(before > 0);
        const shown = await lab.wg(`showconf ${a.name}`);
        await lab.wg(
          `syncconf ${a.name} ${config(`${shown}\nPersistentKeepalive = 21\n\n[Peer]\nPublicKey = ${BARE}\n`)}`,
        );
        assert.match(
          await lab.wg(`show ${a.name} persistent-keepalive`),
          new RegExp(`\t21\n${BARE.replace('+', '\\+')}\toff$`),
        );
        // Neither side's session went: what b sends is understood at once, with no handshake in between.
        await lab.in(2, `ping -n -q -c 1 -w 10 ${V6[0]}`);
        assert.equal(await latestHandshake(lab, a, b), before);
        await lab.wg(`syncconf ${a.name} ${config(shown)}`);
        assert.equal(await lab.wg(`show ${a.name} peers`), b.publicKey);
        assert.equal(await latestHandshake(lab, a, b), before);
        await lab.wg(`setconf ${a.name} ${config(shown)}`);
        assert.equal(await latestHandshake(lab, a, b), 0);
        await ping(lab, 1, V4[1]);
      }),
    );
  });
});
