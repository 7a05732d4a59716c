/** The library's examples, run as their first lines say. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { commandOf, missing, withNamespaces } from '../netns/environment.js';
import { asUser, INSIDE, noUser, ROOT } from '../rootless/user.js';

const exec = promisify(execFile);
const TIMEOUT_MS = 60_000;
const EXAMPLES = join(ROOT, 'dist/examples');
const TYPETUN = join(ROOT, 'bin/typetun');

async function run(...words: string[]): Promise<string> {
  const [command = '', ...args] = words;
  return (await exec(command, args, { timeout: TIMEOUT_MS })).stdout;
}

/** Runs a script as root in a network and a /run/wireguard of its own. */
function alone(script: string): Promise<string> {
  const prepare = 'mkdir -p /run/wireguard; mount -t tmpfs tmpfs /run/wireguard; ip link set lo up';
  return run('unshare', '--net', '--mount', 'bash', '-c', `set -e; ${prepare}; ${script}`);
}

withNamespaces(import.meta.filename, () => {
  describe('examples of the library', { timeout: 3 * TIMEOUT_MS }, () => {
    it('are all tested here', () => {
      const programs = readdirSync(EXAMPLES).filter((name) => name.endsWith('.js'));
      assert.deepEqual(programs.sort(), ['config.js', 'core.js', 'host.js', 'rootless.js', 'uapi.js']);
    });

    it('core: a handshake, packets both ways, and one that is dropped', async () => {
      const said = await run(process.execPath, join(EXAMPLES, 'core.js'));
      for (const line of [
        'alice: a session is up',
        'bob: a session is up',
        'alice got 100 bytes',
        'bob got 100 bytes from 10.0.0.1',
      ]) {
        assert.ok(said.split('\n').includes(line), `${line} in ${said}`);
      }
      assert.match(said, /bob received \d+ bytes from 192\.0\.2\.1:51820, and dropped \{ badSource: 1 \}/);
    });

    it('config: a file read, changed and written', async () => {
      const said = await run(process.execPath, join(EXAMPLES, 'config.js'));
      assert.match(said, /^addresses 10\.0\.0\.2\/24\nname servers 10\.0\.0\.1\npeers 1 at line 6\n/);
      assert.match(said, /\nPersistentKeepalive = 25\n/);
      assert.match(said, /\nERR_CONFIG_PORT in line 2\n$/);
    });

    it('host: an interface that wg and ip see, and that is gone afterwards', { skip: missing([]) }, async () => {
      const said = await alone(
        `${process.execPath} ${EXAMPLES}/host.js wg0 2 & until wg show wg0 peers 2>/dev/null | grep -q =; do sleep 0.05; done
        wg show wg0 allowed-ips; ip -brief address show wg0; wait; ip link show wg0 2>&1 || true; ls -A /run/wireguard`,
      );
      assert.match(said, /wg0 is up: public key [A-Za-z0-9+/]{43}=, port \d+, 1 peer\n/);
      assert.match(said, /\t10\.66\.0\.2\/32 fd66::2\/128\n/);
      assert.match(said, /^wg0 .* 10\.66\.0\.1\/24 fd66::1\/64/m);
      assert.match(said, /^closed$/m);
      assert.doesNotMatch(said, /wg0\.sock/);
    });

    it('uapi: devices of typetun and of wireguard-go, one of them changed', {
      skip: missing([], ['wireguard-go']),
    }, async () => {
      const said = await alone(`
        ${TYPETUN} a0; ${commandOf('wireguard-go')?.join(' ')} b0 2>/dev/null
        key=$(wg genkey | wg pubkey)
        wg set a0 listen-port 1234 peer $key; wg set b0 peer $key
        ${process.execPath} ${EXAMPLES}/uapi.js b0 7
        ${process.execPath} ${EXAMPLES}/uapi.js c0 7 2>&1 || true
        ip link delete a0; ip link delete b0`);
      assert.match(said, /^a0: port 1234, 1 peers\n {2}\S{43}= received 0, sent 0, keepalive 0$/m);
      assert.match(said, /^b0: port \d+, 1 peers\n {2}\S{43}= received 0, sent 0, keepalive 7$/m);
      assert.match(said, /^ERR_UAPI_NO_DEVICE: nothing listens on \S+c0\.sock$/m);
    });

    it('say what is not permitted, in one line, and leave nothing', { skip: noUser() }, async () => {
      const examples = INSIDE.typetun.replace(/bin\/typetun$/, 'dist/examples');
      const prepare = 'chmod 0600 /dev/net/tun';
      for (const [words, said] of [
        [
          [...asUser(), INSIDE.node, `${examples}/host.js`, 'wg9'],
          /^EPERM: no permission to make wg9: run as root, .*\n$/,
        ],
        [
          [...asUser({ prepare }), INSIDE.node, `${examples}/host.js`, 'wg9'],
          /^EACCES: \/dev\/net\/tun cannot be opened .*\n$/,
        ],
        [
          [...asUser({ prepare }), INSIDE.node, `${examples}/rootless.js`],
          /^EACCES: \/dev\/net\/tun is closed to this user .*\n$/,
        ],
      ] as const) {
        const failure = (await run(...words).catch((error: unknown) => error)) as { code?: number; stderr?: string };
        assert.equal(failure.code, 1);
        assert.match(failure.stderr ?? '', said);
      }
    });

    it('rootless: HTTP through a tunnel, as an ordinary user', { skip: noUser() }, async () => {
      const said = await run(
        ...asUser(),
        INSIDE.node,
        `${INSIDE.typetun.replace(/bin\/typetun$/, '')}dist/examples/rootless.js`,
      );
      assert.match(said, /^connected from 10\.0\.0\.2 to 10\.0\.0\.1:80$/m);
      assert.match(said, /^the server says: hello 10\.0\.0\.2$/m);
    });
  });
});
