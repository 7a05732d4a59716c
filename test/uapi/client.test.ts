/** The client of the UAPI against our server, and against answers that no good server gives. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import {
  getDevice,
  listDevices,
  setDevice,
  type UapiClientError,
  type UapiClientErrorCode,
  visitDevice,
} from '../../src/uapi/client.js';
import { listenUapi } from '../../src/uapi/server.js';
import { MemoryDevice } from './memory-device.js';

const KEY = 'ab'.repeat(32);

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-client-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

async function serve(t: TestContext): Promise<{ device: MemoryDevice; directory: string }> {
  const directory = temporary(t);
  const device = new MemoryDevice();
  const server = await listenUapi({
    name: 'wg0',
    target: device,
    log: () => {},
    directory,
    resolveScope: (name) => (name === 'lo' ? 1 : undefined),
    scopeName: (index) => (index === 1 ? 'lo' : undefined),
  });
  t.after(() => server.close());
  return { device, directory };
}

/** A socket that gives every request the same answer, and hangs up. */
async function answer(t: TestContext, text: string, name = 'wg0', directory: string = temporary(t)): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(text, 'latin1'));
  });
  await new Promise<void>((resolve) => server.listen(join(directory, `${name}.sock`), resolve));
  t.after(() => server.close());
  return directory;
}

async function codeOf(work: Promise<unknown>): Promise<[UapiClientErrorCode, number]> {
  try {
    await work;
  } catch (error) {
    assert.equal((error as Error).name, 'UapiClientError', String(error));
    return [(error as UapiClientError).code, (error as UapiClientError).errno];
  }
  throw new assert.AssertionError({ message: 'no error' });
}

test('setDevice and getDevice give back what was set', async (t) => {
  const { device, directory } = await serve(t);
  const peers = Array.from({ length: 3_000 }, (_, i) => ({
    publicKey: Uint8Array.from({ length: 32 }, (__, j) => (j === 0 ? i & 255 : j === 1 ? i >> 8 : 9)),
    presharedKey: new Uint8Array(32).fill(i & 255),
    endpoint: { address: Uint8Array.of(192, 0, 2, i & 255), port: i },
    persistentKeepaliveInterval: i,
    replaceAllowedIps: true,
    allowedIps: Array.from({ length: 5 }, (__, j) => ({ address: Uint8Array.of(10, j, i >> 8, i & 255), cidr: 32 })),
  }));
  const privateKey = new Uint8Array(32).fill(0x48);
  await setDevice('wg0', { privateKey, listenPort: 7, fwmark: 0xffffffff, replacePeers: true, peers }, { directory });
  device.peerMap.values().next().value!.lastHandshakeTimeMs = 1_700_000_000_250;
  const status = await getDevice('wg0', { directory });
  assert.deepEqual(Uint8Array.from(status.privateKey ?? []), privateKey);
  assert.doesNotMatch(inspect(status) + JSON.stringify(status.privateKey), /72, *72|"0":72/);
  assert.deepEqual([status.listenPort, status.fwmark], [7, 0xffffffff]);
  assert.equal(status.peers.length, peers.length);
  for (const [i, peer] of status.peers.entries()) {
    const { replaceAllowedIps: _, ...expected } = peers[i]!;
    const lastHandshake =
      i === 0 ? { seconds: 1_700_000_000n, nanoseconds: 250_000_000 } : { seconds: 0n, nanoseconds: 0 };
    const presharedKey = Uint8Array.from(peer.presharedKey);
    assert.deepEqual({ ...peer, presharedKey }, { ...expected, lastHandshake, rxBytes: 0n, txBytes: 0n });
  }
  await setDevice('wg0', { peers: [{ publicKey: peers[0]!.publicKey, remove: true }] }, { directory });
  assert.equal(device.peerMap.size, 2_999);
  status.wipe();
  assert.ok(status.privateKey!.every((byte) => byte === 0));
});

test('a link-local endpoint keeps its interface', async (t) => {
  const { directory } = await serve(t);
  const address = Uint8Array.of(0xfe, 0x80, ...new Uint8Array(13), 1);
  const peer = { publicKey: new Uint8Array(32).fill(1), endpoint: { address, port: 5, scopeId: 1 } };
  await setDevice('wg0', { peers: [peer] }, { directory });
  const status = await getDevice('wg0', { directory });
  assert.deepEqual(status.peers[0]!.endpoint, { address, port: 5, scopeId: 1, scope: 'lo' });
});

test('visitDevice hands over the interface first, and each peer', async (t) => {
  const directory = await answer(t, `listen_port=5\npublic_key=${KEY}\npublic_key=${KEY}\nerrno=0\n\n`);
  const seen: string[] = [];
  await visitDevice(
    'wg0',
    { interface: ({ listenPort }) => seen.push(`port ${listenPort}`), peer: () => seen.push('peer') },
    { directory },
  );
  assert.deepEqual(seen, ['port 5', 'peer', 'peer']);
});

test('numbers of 64 bits are exact, and unknown keys passed over', async (t) => {
  const text = `future=x\npublic_key=${KEY}\nrx_bytes=18446744073709551615\ntx_bytes=9007199254740993\nodd=\nerrno=0\n\n`;
  const { peers } = await getDevice('wg0', { directory: await answer(t, text) });
  assert.deepEqual([peers[0]!.rxBytes, peers[0]!.txBytes], [2n ** 64n - 1n, 2n ** 53n + 1n]);
});

const BAD = [
  '',
  '\n',
  'errno=0',
  'errno=0\n',
  'listen_port=5\n\n',
  'errno=-5\n\n',
  'listen_port=65536\nerrno=0\n\n',
  'listen_port\nerrno=0\n\n',
  'fwmark=4294967296\nerrno=0\n\n',
  `public_key=${KEY}0\nerrno=0\n\n`,
  `public_key=${'zz'.repeat(32)}\nerrno=0\n\n`,
  `public_key=${KEY}\nallowed_ip=10.0.0.0\nerrno=0\n\n`,
  `public_key=${KEY}\nallowed_ip=10.0.0.0/33\nerrno=0\n\n`,
  `public_key=${KEY}\nendpoint=10.0.0.0\nerrno=0\n\n`,
  `public_key=${KEY}\nendpoint=::1:5\nerrno=0\n\n`,
  `public_key=${KEY}\nrx_bytes=-1\nerrno=0\n\n`,
  `public_key=${KEY}\nlast_handshake_time_sec=9223372036854775808\nerrno=0\n\n`,
  `x=${'y'.repeat(5000)}\nerrno=0\n\n`,
];
for (const text of BAD) {
  test(`an answer ${JSON.stringify(text.slice(0, 100).replace(KEY, 'KEY'))} is a protocol error`, async (t) => {
    const directory = await answer(t, text);
    assert.deepEqual(await codeOf(getDevice('wg0', { directory })), ['ERR_UAPI_PROTOCOL', 71]);
  });
}

test('what the device refuses is an error with its number', async (t) => {
  const { device, directory } = await serve(t);
  device.refuseWith = -98;
  assert.deepEqual(await codeOf(setDevice('wg0', { listenPort: 5 }, { directory })), ['ERR_UAPI_REFUSED', 98]);
  const get = await answer(t, 'errno=5\n\n');
  assert.deepEqual(await codeOf(getDevice('wg0', { directory: get })), ['ERR_UAPI_REFUSED', 5]);
  const set = await answer(t, 'hello\n\n');
  assert.deepEqual(await codeOf(setDevice('wg0', {}, { directory: set })), ['ERR_UAPI_PROTOCOL', 71]);
});

test('a socket that nobody listens on is removed by whoever meets it', async (t) => {
  for (const meet of [getDevice, (name: string, options: object) => setDevice(name, {}, options)]) {
    const directory = temporary(t);
    const path = await stale(directory);
    assert.deepEqual(await codeOf(meet('wg0', { directory })), ['ERR_UAPI_NO_DEVICE', 0]);
    assert.ok(!existsSync(path));
  }
});

test('listDevices names what listens, removes what does not, and passes over the rest', async (t) => {
  const directory = await answer(t, '', 'wg1');
  const path = await stale(directory);
  writeFileSync(join(directory, 'file.sock'), '');
  assert.deepEqual(await listDevices({ directory }), ['wg1']);
  assert.ok(!existsSync(path) && existsSync(join(directory, 'file.sock')));
  assert.deepEqual(await listDevices({ directory: join(directory, 'none') }), []);
});

test('a name that is none, a file, and an abort are told apart', async (t) => {
  const directory = temporary(t);
  writeFileSync(join(directory, 'wg0.sock'), '');
  for (const name of ['', '../wg0', 'a\0b', 'nothing', 'x'.repeat(100), 'wg0']) {
    assert.deepEqual(await codeOf(getDevice(name, { directory })), ['ERR_UAPI_NO_DEVICE', 0], name);
  }
  const aborted = { directory, signal: AbortSignal.abort() };
  assert.deepEqual(await codeOf(getDevice('nothing', aborted)), ['ERR_UAPI_ABORTED', 0]);
  const silent: Server = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(join(directory, 'wg1.sock'), resolve));
  const controller = new AbortController();
  silent.once('connection', (socket) => {
    t.after(() => socket.destroy());
    controller.abort();
  });
  assert.deepEqual(await codeOf(getDevice('wg1', { directory, signal: controller.signal })), ['ERR_UAPI_ABORTED', 0]);
  silent.close();
});

/** A socket whose server went without removing it. */
async function stale(directory: string): Promise<string> {
  const path = join(directory, 'wg0.sock');
  const server = createServer();
  // Listening under another name: closing removes only the name that it was told.
  await new Promise<void>((resolve) => server.listen(`${path}.new`, resolve));
  const { linkSync } = await import('node:fs');
  linkSync(`${path}.new`, path);
  await new Promise((resolve) => server.close(resolve));
  return path;
}
