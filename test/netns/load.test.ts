/**
 * A device under more load than it can take: nothing is allocated per packet, nothing grows, and nobody
 * starves: the other direction, handshakes, whoever asks for the state.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  commandOf,
  type Device,
  type Job,
  type Lab,
  missing,
  residentKib,
  until,
  withLab,
  withNamespaces,
} from './harness.js';
import { endpoints, latestHandshake, ping, tunnel, V4 } from './topology.js';
import { tcp } from './traffic.js';

const TOOLS = ['iperf3'];
const TYPETUN = commandOf('typetun') ?? [];
/** MiB before anything is counted: compilers and their feedback allocate. */
const WARM_UP = 96;
const COUNTED = 1024;
/** Inner packets of so many MiB, at the MTU of 1420: each passes one side as payload. */
const PACKETS: number = Math.floor((COUNTED << 20) / 1368);
/**
 * A number on the heap takes 16 bytes. What is made once in a batch (the time, the next timeout) is less
 * than that for each packet; a single one for each packet is more.
 */
const MAX_BYTES_A_PACKET = 14;
/** At most: it is ended when everything was tried. */
const LOAD_SECONDS = 100;
const MAX_GROWN_KIB = 24 << 10;

/**
 * What the data worker has allocated so far, by its collections: the heap before each, less what the one before
 * left of it. Of the threads, the worker is the one with most of them.
 * @returns MB
 */
function allocated({ daemon }: Device): number {
  const byThread = new Map<string, { count: number; sum: number; left: number }>();
  const lines = /\[\d+:(0x[0-9a-f]+)\]\s+\d+ ms: (?:Scavenge|Mark-Compact)[^\d]* ([\d.]+) \([\d.]+\) -> ([\d.]+)/g;
  for (const [, isolate = '', before, after] of daemon.output.matchAll(lines)) {
    const { count, sum, left } = byThread.get(isolate) ?? { count: 0, sum: 0, left: Number(before) };
    byThread.set(isolate, { count: count + 1, sum: sum + Number(before) - left, left: Number(after) });
  }
  const [worker] = [...byThread.values()].sort((one, other) => other.count - one.count);
  assert.ok(worker, 'the daemon tells of its collections');
  return worker.sum;
}

/** More datagrams of 64 bytes than go through. */
async function flood(lab: Lab, from: number, to: number, host: string): Promise<Job> {
  const server = lab.spawn(to, ['iperf3', '--server', '--one-off', '--forceflush', '--bind', host]);
  await server.prints('Server listening');
  return lab.spawn(from, ['iperf3', '--client', host, '-u', '-b', '0', '-l', '64', '-t', String(LOAD_SECONDS)]);
}

async function allocation(lab: Lab): Promise<void> {
  const [node = '', ...rest] = TYPETUN;
  const daemon = { command: [node, '--trace-gc', ...rest] };
  const [a, b] = await tunnel(lab, ['typetun', 'typetun'], { daemon });
  await endpoints(lab, a, b, '127.0.0.1');
  await tcp(lab, 1, 2, V4[1], WARM_UP);
  const before = [allocated(a), allocated(b)];
  await tcp(lab, 1, 2, V4[1], COUNTED);
  for (const [i, device] of [a, b].entries()) {
    const bytes = ((allocated(device) - before[i]!) * 1e6) / PACKETS;
    assert.ok(bytes < MAX_BYTES_A_PACKET, `${['sender', 'receiver'][i]}: ${bytes.toFixed(1)} bytes a packet`);
  }
}

async function starvation(lab: Lab): Promise<void> {
  const [a, b] = await tunnel(lab, ['typetun', 'typetun']);
  await endpoints(lab, a, b, '127.0.0.1');
  await ping(lab, 1, V4[1]);
  await tcp(lab, 1, 2, V4[1], WARM_UP);
  const rss = [a, b].map((device) => residentKib(device));
  const load = await flood(lab, 1, 2, V4[1]);
  // The state is told while the load lasts.
  for (let i = 0; i < 10; i++) {
    for (const device of [a, b]) await lab.wg(`show ${device.name}`);
  }
  // The other direction has its turn.
  await lab.in(2, `ping -n -q -c 2 -i 0.02 -w 10 ${V4[0]}`);
  // A session is made anew: a peer that is set up again has none.
  await lab.wg(`set ${a.name} peer ${b.publicKey} remove`);
  await lab.wg(`set ${a.name} peer ${b.publicKey} allowed-ips ${V4[1]}/32 endpoint 127.0.0.1:2`);
  await until('a handshake under load', async () => (await latestHandshake(lab, a, b)) > 0);
  assert.ok(!load.ended, 'all that while the load went on');
  await load.terminate(10_000);
  for (const [i, device] of [a, b].entries()) {
    const grown = residentKib(device) - rss[i]!;
    assert.ok(grown < MAX_GROWN_KIB, `${device.name} has grown by ${grown} KiB`);
  }
}

withNamespaces(import.meta.filename, () => {
  const skip = missing(TOOLS);
  it('a gibibyte of TCP allocates nothing per packet', { skip, timeout: 240_000 }, () => withLab(allocation));
  it('a flood of small datagrams starves nobody', { skip, timeout: 120_000 }, () => withLab(starvation));
});
