/**
 * A device under more load than it can take: nothing is allocated per packet, nothing grows, and nobody
 * starves: the other direction, handshakes, whoever asks for the state.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { commandOf, type Device, type Job, type Lab, missing, until, withLab, withNamespaces } from './harness.js';
import { endpoints, latestHandshake, ping, tunnel, V4 } from './topology.js';
import { tcp } from './traffic.js';

const TOOLS = ['iperf3'];
const TYPETUN = commandOf('typetun') ?? [];
/** MiB before anything is counted: compilers and their feedback allocate. */
const WARM_UP = 96;
const COUNTED = 1024;
/**
 * A gibibyte is 780,000 packets in each device, and as many again in each of the other direction's groups:
 * sixteen bytes for each, one number on the heap, would be 12 MB and four scavenges at least.
 */
const MAX_SCAVENGES = 2;
const LOAD_SECONDS = 15;
const MAX_GROWN_KIB = 24 << 10;

/** Scavenges so far of the thread that has made most heap: the data worker. */
function scavenges({ daemon }: Device): number {
  const byThread = new Map<string, number>();
  for (const [, isolate = ''] of daemon.output.matchAll(/\[\d+:(0x[0-9a-f]+)\]\s+\d+ ms: Scavenge/g)) {
    byThread.set(isolate, (byThread.get(isolate) ?? 0) + 1);
  }
  return Math.max(...byThread.values());
}

function residentKib({ daemon }: Device): number {
  const status = readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]);
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
  const before = [scavenges(a), scavenges(b)];
  await tcp(lab, 1, 2, V4[1], COUNTED);
  const made = [scavenges(a) - before[0]!, scavenges(b) - before[1]!];
  assert.ok(Math.max(...made) <= MAX_SCAVENGES, `scavenges of the sender and the receiver: ${made}`);
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
  await ping(lab, 2, V4[0]);
  // A session is made anew: a peer that is set up again has none.
  await lab.wg(`set ${a.name} peer ${b.publicKey} remove`);
  await lab.wg(`set ${a.name} peer ${b.publicKey} allowed-ips ${V4[1]}/32 endpoint 127.0.0.1:2`);
  await until('a handshake under load', async () => (await latestHandshake(lab, a, b)) > 0);
  assert.ok(!load.ended, 'all that while the load went on');
  await load.end(60_000);
  for (const [i, device] of [a, b].entries()) {
    const grown = residentKib(device) - rss[i]!;
    assert.ok(grown < MAX_GROWN_KIB, `${device.name} has grown by ${grown} KiB`);
  }
}

withNamespaces(import.meta.filename, () => {
  const skip = missing(TOOLS);
  it('a gibibyte of TCP makes no garbage', { skip, timeout: 240_000 }, () => withLab(allocation));
  it('a flood of small datagrams starves nobody', { skip, timeout: 120_000 }, () => withLab(starvation));
});
