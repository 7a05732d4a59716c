import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkSocketFree, listenUapi, UapiError, type UapiLimits, type UapiServer } from '../../src/uapi/server.js';
import { Client, randomFrom } from './helpers.js';
import { MemoryDevice } from './memory-device.js';

const KEY = 'e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a';
const PEER = `public_key=${KEY}\n`;

interface Setup {
  readonly device: MemoryDevice;
  readonly server: UapiServer;
  readonly log: string[];
  client(): Client;
}

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-uapi-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function setUp(t: TestContext, limits?: Partial<UapiLimits>): Promise<Setup> {
  const directory = join(temporaryDirectory(t), 'wireguard');
  const device = new MemoryDevice();
  const log: string[] = [];
  const server = await listenUapi({
    name: 'wg0',
    target: device,
    directory,
    log: (level, message) => log.push(`${level}: ${message}`),
    ...(limits && { limits }),
  });
  const clients: Client[] = [];
  t.after(async () => {
    for (const client of clients) client.close();
    await server.close();
  });
  const client = (): Client => {
    clients.push(new Client(server.path));
    return clients.at(-1)!;
  };
  return { device, server, log, client };
}

test('UapiServer answers several requests on one connection, in order', async (t) => {
  const { device, client } = await setUp(t);
  const c = client();
  c.send(`set=1\nlisten_port=5\n\nget=1\n\nset=1\nfwmark=7\n${PEER}\nget=1\n\n`);
  assert.equal(await c.answer(), 'errno=0\n');
  assert.equal(await c.answer(), 'listen_port=5\nerrno=0\n');
  assert.equal(await c.answer(), 'errno=0\n');
  assert.match((await c.answer())!, /^listen_port=5\nfwmark=7\npublic_key=[\s\S]*errno=0\n$/);
  assert.equal(device.changes, 2);
  for (const byte of `set=1\nlisten_port=6\n\nget=1\n\n`) {
    c.send(byte);
    await sleep(1);
  }
  assert.equal(await c.answer(), 'errno=0\n');
  assert.match((await c.answer())!, /^listen_port=6\n/);
});

test('UapiServer makes its directory 0755 and its socket for the owner alone', async (t) => {
  const { server } = await setUp(t);
  assert.equal(statSync(dirname(server.path)).mode & 0o777, 0o755);
  const socket = lstatSync(server.path);
  assert.ok(socket.isSocket());
  assert.equal(socket.mode & 0o077, 0);
  assert.deepEqual(readdirSync(dirname(server.path)), ['wg0.sock']);
});

test('UapiServer changes nothing for a request with a bad line, and goes on', async (t) => {
  const { device, client, log } = await setUp(t);
  const c = client();
  c.send(`set=1\nlisten_port=5\nprivate_key=${KEY}\n${PEER}allowed_ip=nonsense\nendpoint=1.2.3.4:5\n\n`);
  assert.equal(await c.answer(), 'errno=-22\n');
  assert.equal(device.changes, 0);
  c.send(`set=1\nno equals sign\n\n`);
  assert.equal(await c.answer(), 'errno=-71\n');
  c.send('get=1\n\n');
  assert.equal(await c.answer(), 'errno=0\n');
  assert.deepEqual(log, ['error: UAPI: set: allowed_ip has a bad value', 'error: UAPI: set: a line is not key=value']);
});

test('UapiServer passes on the errno of the device', async (t) => {
  const { device, client } = await setUp(t);
  device.refuseWith = -98;
  assert.equal(await client().send('set=1\nlisten_port=5\n\n').answer(), 'errno=-98\n');
  device.configure = () => Promise.reject(new Error('gone'));
  assert.equal(await client().send('set=1\nlisten_port=5\n\n').answer(), 'errno=-5\n');
  device.report = () => Promise.reject(new Error('gone'));
  assert.equal(await client().send('get=1\n\n').answer(), 'errno=-5\n');
});

test('UapiServer refuses what is no operation, and hangs up', async (t) => {
  const { device, client } = await setUp(t);
  const bad = ['\n', 'set=2\n\n', 'get=2\n\n', 'get=1\nx\n', 'set=1\r\n', 'GET / HTTP/1.1\r\n\r\n', 'x'.repeat(1000)];
  for (const text of bad) {
    const c = client();
    assert.equal(await c.send(text).answer(), 'errno=-22\n', JSON.stringify(text));
    await c.hungUp();
  }
  assert.equal(device.changes, 0);
});

test('UapiServer changes nothing for any prefix of a request', async (t) => {
  const { device, client } = await setUp(t);
  const whole = `set=1\nprivate_key=${KEY}\nlisten_port=5\n${PEER}endpoint=1.2.3.4:5\nallowed_ip=1.2.3.4/32\n\n`;
  for (let end = 1; end < whole.length; end++) {
    const c = client();
    c.socket.end(whole.slice(0, end));
    assert.equal(await c.answer(), end < 6 ? 'errno=-22\n' : 'errno=-71\n');
    await c.hungUp();
  }
  assert.equal(device.changes, 0);
  const c = client();
  c.socket.end(whole);
  assert.equal(await c.answer(), 'errno=0\n');
});

test('UapiServer survives random bytes', async (t) => {
  const { device, client } = await setUp(t);
  const random = randomFrom(5);
  for (let round = 0; round < 200; round++) {
    const c = client();
    if (random(2) === 0) c.send('set=1\n');
    // Not an empty line at once: that is an empty set, and a good one.
    c.socket.end(Buffer.concat([Buffer.from('x'), randomBytes(random(3000))]));
    assert.match((await c.answer()) ?? '', /^errno=-(?:22|71)\n$/);
  }
  assert.equal(device.changes, 0);
  assert.equal(await client().send('get=1\n\n').answer(), 'errno=0\n');
});

test('UapiServer cuts off a request above its cap', async (t) => {
  const { device, client } = await setUp(t, { maxRequestBytes: 100_000 });
  const c = client();
  c.send(`set=1\n${'listen_port=1\n'.repeat(100_000)}\n`);
  assert.equal(await c.answer(), 'errno=-27\n');
  await c.hungUp();
  assert.equal(device.changes, 0);
  assert.equal(await client().send('get=1\n\n').answer(), 'errno=0\n');
});

test('UapiServer caps the bytes of all set requests under way', async (t) => {
  const { client } = await setUp(t, { maxPendingBytes: 50_000 });
  const first = client();
  first.send(`set=1\n${'listen_port=1\n'.repeat(2500)}`);
  await sleep(50);
  const second = client();
  assert.equal(await second.send(`set=1\n${'listen_port=2\n'.repeat(2500)}`).answer(), 'errno=-12\n');
  assert.equal(await first.send('\n').answer(), 'errno=0\n');
  assert.equal(
    await client()
      .send(`set=1\n${'listen_port=2\n'.repeat(2500)}\n`)
      .answer(),
    'errno=0\n',
  );
});

test('UapiServer cuts off a silent client, a dripping client and one that does not read', async (t) => {
  const { device, client } = await setUp(t, { idleTimeMs: 150, requestTimeMs: 400, betweenRequestsTimeMs: 1_000 });
  const silent = client().send('set=1\nlisten_port=5\n');
  const start = performance.now();
  await silent.hungUp();
  const silentFor = performance.now() - start;
  const dripping = client().send('set=1\n');
  const drip = setInterval(() => dripping.send('f'), 20);
  const between = client();
  await dripping.hungUp();
  clearInterval(drip);
  assert.ok(performance.now() - start > silentFor);
  assert.equal(await between.send('get=1\n\n').answer(), 'errno=0\n');
  await between.hungUp();

  const allowedIps = Array.from({ length: 100_000 }, (_, i) => ({
    address: Uint8Array.of(10, i >> 16, (i >> 8) & 0xff, i & 0xff),
    cidr: 32,
  }));
  device.apply({ peers: [{ publicKey: new Uint8Array(32), allowedIps }] });
  const deaf = client();
  deaf.socket.pause();
  deaf.send('get=1\n\n');
  // It holds up nobody meanwhile.
  assert.equal(await client().send('set=1\nlisten_port=9\n\n').answer(), 'errno=0\n');
  await sleep(600);
  deaf.socket.resume();
  assert.equal(await deaf.answer(), undefined);
});

test('UapiServer streams a large answer whole', async (t) => {
  const { device, client } = await setUp(t);
  const peers = Array.from({ length: 20_000 }, (_, i) => {
    const publicKey = new Uint8Array(32);
    new DataView(publicKey.buffer).setUint32(0, i);
    return { publicKey, allowedIps: [{ address: publicKey.slice(0, 4), cidr: 32 }] };
  });
  device.apply({ peers });
  const answer = await client().send('get=1\n\n').answer();
  assert.equal(answer?.match(/^public_key=/gm)?.length, 20_000);
  assert.equal(answer?.match(/^allowed_ip=/gm)?.length, 20_000);
  assert.ok(answer?.endsWith('\nerrno=0\n'));
});

test('UapiServer lets the longest silent client go when there are too many', async (t) => {
  const { client } = await setUp(t, { maxConnections: 4 });
  const first = client();
  assert.equal(await first.send('get=1\n\n').answer(), 'errno=0\n');
  const rest: Client[] = [];
  for (let i = 0; i < 4; i++) {
    await sleep(5);
    rest.push(client());
    assert.equal(await rest[i]!.send('get=1\n\n').answer(), 'errno=0\n');
  }
  await first.hungUp();
  for (const c of rest) assert.equal(await c.send('get=1\n\n').answer(), 'errno=0\n');
});

test('UapiServer keeps clients whose request the device is at work on', async (t) => {
  const { device, client } = await setUp(t, { maxConnections: 2, idleTimeMs: 50 });
  let open = (): void => {};
  device.gate = new Promise((resolve) => {
    open = resolve;
  });
  const busy = [client().send('set=1\nlisten_port=1\n\n'), client().send('set=1\nlisten_port=2\n\n')];
  await sleep(200);
  const refused = client();
  await refused.hungUp();
  open();
  for (const c of busy) assert.equal(await c.answer(), 'errno=0\n');
});

test('UapiServer carries out set requests one after the other', async (t) => {
  const { device, client } = await setUp(t);
  const clients = Array.from({ length: 50 }, (_, i) => client().send(`set=1\nlisten_port=${i + 1}\n\n`));
  for (const c of clients) assert.equal(await c.answer(), 'errno=0\n');
  assert.equal(device.changes, 50);
  assert.equal(device.mostAtOnce, 1);
});

test('UapiServer serves many connections that come and go', async (t) => {
  const { client } = await setUp(t);
  for (let round = 0; round < 10; round++) {
    const clients = Array.from({ length: 100 }, () => client().send('get=1\n\n'));
    for (const [i, c] of clients.entries()) {
      if (i % 3 === 0) c.close();
      else assert.equal(await c.answer(), 'errno=0\n');
      c.close();
    }
  }
});

test('listenUapi refuses a socket that somebody listens on, and replaces a stale one', async (t) => {
  const directory = temporaryDirectory(t);
  const options = { name: 'wg0', target: new MemoryDevice(), directory, log: () => {} };
  const first = await listenUapi(options);
  await assert.rejects(
    listenUapi(options),
    (error) => error instanceof UapiError && error.code === 'ERR_SOCKET_IN_USE' && error.message.includes(first.path),
  );
  await assert.rejects(checkSocketFree('wg0', directory), UapiError);
  assert.equal(await new Client(first.path).send('get=1\n\n').answer(), 'errno=0\n');
  await first.close();
  await first.close();
  assert.equal(existsSync(first.path), false);
  assert.deepEqual(readdirSync(directory), []);

  await leaveStaleSocket(first.path);
  await checkSocketFree('wg0', directory);
  const second = await listenUapi(options);
  t.after(() => second.close());
  const c = new Client(second.path);
  assert.equal(await c.send('get=1\n\n').answer(), 'errno=0\n');
  c.close();
});

test('listenUapi waits for a daemon that is about to end', async (t) => {
  const directory = temporaryDirectory(t);
  const options = { name: 'wg0', target: new MemoryDevice(), directory, log: () => {} };
  const first = await listenUapi(options);
  const free = checkSocketFree('wg0', directory);
  const second = listenUapi(options);
  // Both have met the first one by now.
  await sleep(200);
  await first.close();
  await free;
  await (await second).close();
  assert.deepEqual(readdirSync(directory), []);
});

/** A socket file whose listener is gone: linked away before its owner unlinks the name it knows. */
async function leaveStaleSocket(path: string): Promise<void> {
  const { linkSync } = await import('node:fs');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.first`, resolve));
  linkSync(`${path}.first`, path);
  await new Promise((resolve) => server.close(resolve));
}

test('listenUapi leaves alone what is not a socket', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'wg0.sock');
  writeFileSync(path, 'precious');
  const listening = listenUapi({ name: 'wg0', target: new MemoryDevice(), directory, log: () => {} });
  await assert.rejects(listening, (error) => error instanceof UapiError && error.code === 'ERR_SOCKET_PATH');
  assert.deepEqual(readdirSync(directory), ['wg0.sock']);
});

test('listenUapi: of many at once for one name, one wins', async (t) => {
  const directory = temporaryDirectory(t);
  await leaveStaleSocket(join(directory, 'wg0.sock'));
  const attempts = Array.from({ length: 8 }, () =>
    listenUapi({ name: 'wg0', target: new MemoryDevice(), directory, log: () => {} }),
  );
  const results = await Promise.allSettled(attempts);
  const winners = results.filter((result) => result.status === 'fulfilled');
  assert.equal(winners.length, 1);
  await winners[0]!.value.close();
  assert.deepEqual(readdirSync(directory), []);
});

test('UapiServer tells when its socket is removed or replaced, and unlinks only its own', async (t) => {
  const { server } = await setUp(t);
  rmSync(server.path);
  await server.removed;

  const second = await setUp(t);
  writeFileSync(`${second.server.path}.new`, '');
  chmodSync(`${second.server.path}.new`, 0o600);
  const { renameSync } = await import('node:fs');
  renameSync(`${second.server.path}.new`, second.server.path);
  await second.server.removed;
  await second.server.close();
  assert.ok(existsSync(second.server.path));
});

test('UapiServer notices that the whole directory is removed', async (t) => {
  const { server } = await setUp(t);
  rmSync(dirname(server.path), { recursive: true });
  await server.removed;
});

/** How often a process's first thread has gone to sleep: each time it was woken for something. */
function naps(pid: number | undefined): number {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

test('UapiServer sleeps while sockets of others come and go beside its own', async (t) => {
  const directory = temporaryDirectory(t);
  const script = `import { listenUapi } from ${JSON.stringify(new URL('../../src/uapi/server.js', import.meta.url).href)};
    const { removed } = await listenUapi({ name: 'wg0', target: {}, directory: ${JSON.stringify(directory)}, log() {} });
    process.stdout.write('listening');
    await removed;
    process.exit(0);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await sleep(200);
  const before = naps(child.pid);
  for (let i = 0; i < 100; i++) {
    writeFileSync(join(directory, 'other.sock'), '');
    rmSync(join(directory, 'other.sock'));
    await sleep(2);
  }
  assert.ok(naps(child.pid) - before < 20, `woken ${naps(child.pid) - before} times by 100 others`);
  rmSync(join(directory, 'wg0.sock'));
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('UapiServer.close ends open connections', async (t) => {
  const { server, client } = await setUp(t);
  const c = client();
  assert.equal(await c.send('get=1\n\n').answer(), 'errno=0\n');
  const half = client().send('set=1\nlisten');
  await sleep(20);
  await server.close();
  await Promise.all([c.hungUp(), half.hungUp()]);
});
