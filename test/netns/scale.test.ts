/**
 * Very many peers, and one with very many prefixes: told and told of whole, while packets of another peer go on; and
 * memory that does not grow from one round of adding and removing them to the next; and sessions with all of many.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FULL } from './environment.js';
import { type Device, type Lab, residentKib, uapi, until, withLab, withNamespaces } from './harness.js';
import { endpoints, ping, tunnel, V4 } from './topology.js';

const PEERS = FULL ? 100_000 : 5_000;
const PREFIXES = FULL ? 1_000_000 : 50_000;
const ROUNDS = FULL ? 10 : 4;
/** What the last round may leave over the second. A sample's memory is a small part of the process's. */
const MAX_GROWTH = FULL ? 1.05 : 2;
/** Peers with sessions, pings of each, and what one may take at most: keys, windows and contexts of the cipher. */
const LIVE = FULL ? 1_000 : 200;
const PINGS = 20;
const MAX_LIVE_KIB = 64;
/** What the first traffic of a process takes by itself. */
const WARM_UP_KIB = 48 << 10;
const SETTLE_MS = FULL ? 3_000 : 1_500;

function address(net: number, i: number): string {
  return `${net}.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}/32`;
}

function peerAddress(i: number): string {
  return `10.60.${i >> 8}.${i & 255}/32`;
}

function newKeys(count: number): string[] {
  const bytes = randomBytes(32 * count).toString('hex');
  return Array.from({ length: count }, (_, i) => bytes.slice(64 * i, 64 * (i + 1)));
}

async function set(device: Device, lines: readonly string[]): Promise<void> {
  assert.equal(await uapi(device.name, `set=1\n${lines.join('\n')}\n\n`), 'errno=0\n\n');
}

async function told(device: Device, line: string): Promise<string[]> {
  const answer = await uapi(device.name, 'get=1\n\n');
  assert.ok(answer.endsWith('errno=0\n\n'));
  return answer.split('\n').filter((one) => one.startsWith(line));
}

/** The least within some seconds: a collector may take its time. */
async function settledKib(device: Device): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (const end = performance.now() + SETTLE_MS; performance.now() < end; await sleep(100)) {
    least = Math.min(least, residentKib(device));
  }
  return least;
}

async function rounds(lab: Lab): Promise<void> {
  await lab.namespace(1);
  const device = await lab.device('typetun', 1, { env: { LOG_LEVEL: 'error' } });
  const after: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const keys = newKeys(PEERS);
    await set(
      device,
      keys.map((key, i) => `public_key=${key}\nallowed_ip=${address(10, i)}`),
    );
    assert.equal((await told(device, 'public_key=')).length, PEERS);
    // By one word, and one by one.
    if (round % 2 === 0) await set(device, ['replace_peers=true']);
    else
      await set(
        device,
        keys.map((key) => `public_key=${key}\nremove=true`),
      );
    assert.deepEqual(await told(device, 'public_key='), []);
    after.push(await settledKib(device));
  }
  const [, second = 0] = after;
  assert.ok(after.at(-1)! <= second * MAX_GROWTH, `resident after each round, KiB: ${after.join(' ')}`);
}

async function besides(lab: Lab): Promise<void> {
  const [a, b] = await tunnel(lab, ['typetun', 'typetun'], { daemon: { env: { LOG_LEVEL: 'error' } } });
  await endpoints(lab, a, b, '127.0.0.1');
  await ping(lab, 1, V4[1]);
  const pings = lab.spawn(1, ['ping', '-n', '-i', '0.01', V4[1]]);
  const [one = ''] = newKeys(1);
  const many = newKeys(PEERS);
  const prefixes = Array.from({ length: PREFIXES }, (_, i) => `allowed_ip=${address(11, i)}`);
  await set(
    a,
    many.map((key, i) => `public_key=${key}\nallowed_ip=${address(10, i)}`),
  );
  await set(a, [`public_key=${one}`, ...prefixes]);
  // One peer's prefixes come in many messages: all of them under its one head, in their order.
  const answer = await uapi(a.name, 'get=1\n\n');
  const from = answer.indexOf(`public_key=${one}\n`);
  assert.equal(answer.indexOf('public_key=', from + 1), -1, 'the last peer, told once');
  const own = answer.slice(from).split('\n');
  assert.deepEqual(
    own.filter((line) => line.startsWith('allowed_ip=')),
    prefixes,
  );
  assert.equal((await told(a, 'public_key=')).length, PEERS + 2);
  await set(a, [`public_key=${one}`, 'replace_allowed_ips=true', 'allowed_ip=11.0.0.7/32']);
  assert.equal((await told(a, 'allowed_ip=11.')).length, 1);
  await set(
    a,
    [one, ...many].map((key) => `public_key=${key}\nremove=true`),
  );
  assert.equal((await told(a, 'public_key=')).length, 1);
  pings.child.kill('SIGINT');
  await pings.end(20_000);
  // Those behind the last answer are on their way when ping is told to end.
  const answered = [...pings.stdout.matchAll(/icmp_seq=(\d+) /g)].map(([, number]) => Number(number));
  assert.ok(answered.length > 10, pings.stdout);
  assert.deepEqual(
    answered,
    Array.from(answered, (_, i) => i + 1),
    'every answer, in its order',
  );
}

/** Every one of many peers has a session at the same time, and traffic in both directions. */
async function crowd(lab: Lab): Promise<void> {
  await lab.namespace(1);
  const device = await lab.device('typetun', 1, { env: { LOG_LEVEL: 'error' } });
  await lab.wg(`set ${device.name} listen-port 5`);
  await lab.in(1, `ip address add 10.60.255.254/16 dev ${device.name}; ip link set ${device.name} up`);
  const program = fileURLToPath(new URL('./crowd.js', import.meta.url));
  const words = [process.execPath, program, '5', device.publicKey, `${LIVE}`, `${PINGS}`];
  const clients = lab.spawn(1, words, { input: null });
  await clients.prints(']\n');
  const keys = JSON.parse(clients.stdout) as string[];
  await set(
    device,
    keys.map((key, i) => `public_key=${Buffer.from(key, 'base64').toString('hex')}\nallowed_ip=${peerAddress(i)}`),
  );
  const before = await settledKib(device);
  clients.child.stdin!.write('go\n');
  await until('every peer to be answered', () => clients.stdout.split('\n').length > 2, 160_000);
  assert.deepEqual(JSON.parse(clients.stdout.split('\n')[1]!), new Array(LIVE).fill(PINGS));
  // All of them shook hands, and each was counted by itself.
  const handshakes = await told(device, 'last_handshake_time_sec=');
  assert.ok(handshakes.length === LIVE && handshakes.every((line) => !line.endsWith('=0')));
  const received = await told(device, 'rx_bytes=');
  assert.ok(received.every((line) => Number(line.slice(9)) >= 148 + PINGS * 64));
  const grown = (await settledKib(device)) - before;
  assert.ok(grown < LIVE * MAX_LIVE_KIB + WARM_UP_KIB, `${(grown / LIVE).toFixed(1)} KiB a live peer`);
  clients.child.stdin!.write('end\n');
  await clients.end(30_000);
}

withNamespaces(import.meta.filename, () => {
  it('peers added and removed again and again leave no memory behind', { timeout: 900_000 }, () => withLab(rounds));
  it('peers with sessions and traffic, all at the same time', { timeout: 360_000 }, () => withLab(crowd));
  it(
    'many peers, and one with many prefixes, are told whole while another peer loses no packet',
    {
      timeout: 600_000,
    },
    () => withLab(besides),
  );
});
