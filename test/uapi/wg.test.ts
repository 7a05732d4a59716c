/** The stock `wg` as the client of the socket, in the directory where it looks. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { UAPI_DIRECTORY } from '../../src/uapi/paths.js';
import { listenUapi } from '../../src/uapi/server.js';
import { MemoryDevice } from './memory-device.js';

const run = promisify(execFile);
const missing =
  spawnSync('wg', ['--version']).status !== 0
    ? 'wg is not installed'
    : process.getuid?.() !== 0
      ? `only root can write to ${UAPI_DIRECTORY}`
      : undefined;
if (missing !== undefined && process.env.CI) throw new Error(missing);
const options = missing === undefined ? {} : { skip: missing };

const PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const PUBLIC = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=';
const PEERS = ['xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=', 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0='] as const;
const PSK = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';
let count = 0;

interface Device {
  readonly name: string;
  readonly device: MemoryDevice;
  wg(...args: string[]): Promise<string>;
  file(content: string): string;
}

async function setUp(t: TestContext): Promise<Device> {
  const name = `tu${process.pid}x${count++}`;
  const directory = mkdtempSync(join(tmpdir(), 'typetun-wg-'));
  const device = new MemoryDevice();
  const server = await listenUapi({ name, target: device, log: () => {}, resolveScope: (it) => (it === 'lo' ? 1 : 0) });
  t.after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  const wg = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('wg', args, {
      env: { ...process.env, WG_HIDE_KEYS: 'never', WG_COLOR_MODE: 'never' },
    });
    return stdout;
  };
  const file = (content: string): string => {
    const path = join(directory, `file${count++}`);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  return { name, device, wg, file };
}

const CONFIG = `[Interface]
ListenPort = 51820
FwMark = 0xca6c
PrivateKey = ${PRIVATE}

[Peer]
PublicKey = ${PEERS[0]}
PresharedKey = ${PSK}
AllowedIPs = 10.0.0.0/8, 2001:db8::/32
Endpoint = 192.0.2.1:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${PEERS[1]}
AllowedIPs = 192.168.0.0/16
Endpoint = [2001:db8::1]:5
`;

test('wg setconf, and every form of wg show and showconf', options, async (t) => {
  const { name, device, wg, file } = await setUp(t);
  await wg('setconf', name, file(CONFIG));
  assert.equal((await wg('showconf', name)).trimEnd(), CONFIG.trimEnd());
  assert.match(await wg('show', 'interfaces'), new RegExp(`\\b${name}\\b`));
  assert.equal(await wg('show', name, 'private-key'), `${PRIVATE}\n`);
  assert.equal(await wg('show', name, 'public-key'), `${PUBLIC}\n`);
  assert.equal(await wg('show', name, 'listen-port'), '51820\n');
  assert.equal(await wg('show', name, 'fwmark'), '0xca6c\n');
  assert.equal(await wg('show', name, 'peers'), `${PEERS.join('\n')}\n`);
  assert.equal(await wg('show', name, 'preshared-keys'), `${PEERS[0]}\t${PSK}\n${PEERS[1]}\t(none)\n`);
  assert.equal(await wg('show', name, 'endpoints'), `${PEERS[0]}\t192.0.2.1:51820\n${PEERS[1]}\t[2001:db8::1]:5\n`);
  assert.equal(await wg('show', name, 'persistent-keepalive'), `${PEERS[0]}\t25\n${PEERS[1]}\toff\n`);
  assert.equal(
    await wg('show', name, 'allowed-ips'),
    `${PEERS[0]}\t10.0.0.0/8 2001:db8::/32\n${PEERS[1]}\t192.168.0.0/16\n`,
  );
  const [first] = device.peerMap.values();
  first!.rxBytes = 2 ** 40;
  first!.txBytes = Number.MAX_SAFE_INTEGER;
  first!.lastHandshakeTimeMs = 1_700_000_000_999;
  assert.equal(await wg('show', name, 'transfer'), `${PEERS[0]}\t${2 ** 40}\t9007199254740991\n${PEERS[1]}\t0\t0\n`);
  assert.equal(await wg('show', name, 'latest-handshakes'), `${PEERS[0]}\t1700000000\n${PEERS[1]}\t0\n`);
  assert.equal(
    await wg('show', name, 'dump'),
    `${PRIVATE}\t${PUBLIC}\t51820\t0xca6c\n` +
      `${PEERS[0]}\t${PSK}\t192.0.2.1:51820\t10.0.0.0/8,2001:db8::/32\t1700000000\t${2 ** 40}\t9007199254740991\t25\n` +
      `${PEERS[1]}\t(none)\t[2001:db8::1]:5\t192.168.0.0/16\t0\t0\t0\toff\n`,
  );
  assert.match(
    await wg('show', name),
    /listening port: 51820[\s\S]*preshared key: Fp[\s\S]*transfer: 1\.00 TiB received/,
  );
});

test('wg set changes single fields, and clears them', options, async (t) => {
  const { name, wg, file } = await setUp(t);
  const key = file(PRIVATE);
  const psk = file(PSK);
  await wg('set', name, 'private-key', key, 'listen-port', '1234', 'fwmark', '0x10');
  await wg(
    'set',
    name,
    'peer',
    PEERS[0],
    'preshared-key',
    psk,
    'endpoint',
    '[fe80::1%lo]:5',
    'persistent-keepalive',
    '9',
  );
  await wg(
    'set',
    name,
    'peer',
    PEERS[0],
    'allowed-ips',
    '10.0.0.0/8,::/0',
    'peer',
    PEERS[1],
    'allowed-ips',
    '10.0.0.0/8',
  );
  assert.equal(await wg('show', name, 'allowed-ips'), `${PEERS[0]}\t::/0\n${PEERS[1]}\t10.0.0.0/8\n`);
  assert.equal(await wg('show', name, 'endpoints'), `${PEERS[0]}\t[fe80::1%lo]:5\n${PEERS[1]}\t(none)\n`);
  await wg(
    'set',
    name,
    'peer',
    PEERS[0],
    'preshared-key',
    '/dev/null',
    'persistent-keepalive',
    'off',
    'allowed-ips',
    '',
  );
  assert.equal(await wg('show', name, 'preshared-keys'), `${PEERS[0]}\t(none)\n${PEERS[1]}\t(none)\n`);
  assert.equal(await wg('show', name, 'persistent-keepalive'), `${PEERS[0]}\toff\n${PEERS[1]}\toff\n`);
  assert.equal(await wg('show', name, 'allowed-ips'), `${PEERS[0]}\t(none)\n${PEERS[1]}\t10.0.0.0/8\n`);
  await wg('set', name, 'private-key', '/dev/null', 'fwmark', 'off', 'listen-port', '0', 'peer', PEERS[1], 'remove');
  assert.equal(
    await wg('show', name, 'dump'),
    `(none)\t(none)\t0\toff\n${PEERS[0]}\t(none)\t[fe80::1%lo]:5\t(none)\t0\t0\t0\toff\n`,
  );
});

test('wg addconf adds, and wg syncconf leaves exactly the file', options, async (t) => {
  const { name, device, wg, file } = await setUp(t);
  await wg('setconf', name, file(CONFIG));
  await wg('addconf', name, file(`[Peer]\nPublicKey = ${PUBLIC}\nAllowedIPs = 10.9.0.0/16\n`));
  assert.equal(device.peerMap.size, 3);
  await wg('syncconf', name, file(CONFIG.replace('192.168.0.0/16', '192.168.1.0/24')));
  assert.equal(await wg('show', name, 'peers'), `${PEERS.join('\n')}\n`);
  assert.match(await wg('show', name, 'allowed-ips'), /\t192\.168\.1\.0\/24\n$/);
  await wg('setconf', name, file('[Interface]\n'));
  assert.equal(await wg('show', name, 'dump'), '(none)\t(none)\t0\toff\n');
});

test('wg says what the device said when it refuses', options, async (t) => {
  const { name, device, wg } = await setUp(t);
  device.refuseWith = -98;
  await assert.rejects(wg('set', name, 'listen-port', '5'), /Address already in use/);
});

test('wg set and show with 2,000 peers of 20 prefixes each', options, async (t) => {
  const { name, device, wg, file } = await setUp(t);
  let config = '';
  for (let i = 0; i < 2_000; i++) {
    const key = Buffer.alloc(32);
    key.writeUInt32BE(i + 1);
    const ips = Array.from({ length: 20 }, (_, j) => `10.${i >> 8}.${i & 0xff}.${j}/32`);
    config += `[Peer]\nPublicKey = ${key.toString('base64')}\nAllowedIPs = ${ips.join(',')}\n`;
  }
  await wg('setconf', name, file(config));
  assert.equal(device.peerMap.size, 2_000);
  assert.equal((await wg('show', name, 'allowed-ips')).split(/\s/).length, 2_000 * 21 + 1);
});
