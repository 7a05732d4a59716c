/**
 * Handshakes a second of one responder: a thousand peers make initiations beforehand, and keep some in flight. What a
 * responder's own processor time gives is the figure to look at: it has no other implementation's threads in it.
 *
 *   namespace 1                          namespace 2
 *   the daemon, veth1 10.0.0.1 --------- veth2 10.0.0.2, handshake-client.ts
 */
import { fileURLToPath } from 'node:url';
import { Lab } from '../test/netns/harness.js';
import type { Contestant } from './contestants.js';
import type { HandshakeReport } from './handshake-client.js';
import { type Group, Table } from './results.js';
import { ask, type DaemonRun } from './scale.js';
import { cpuSeconds, lower } from './stage.js';

const CLIENT = fileURLToPath(new URL('./handshake-client.js', import.meta.url));
const PEERS = 1000;
const EACH = 6;
const QUICK_EACH = 2;
const PORT = 51820;
const LIMIT_MS = 60_000;

interface HandshakeFigures {
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

async function measureResponder({ title, command, env }: Contestant, each: number): Promise<HandshakeFigures> {
  const lab = new Lab();
  try {
    await lab.namespace(1, 2);
    await lab.veth(1, 'veth1', 2, 'veth2');
    for (const side of [1, 2]) await lab.ip(side, `address add 10.0.0.${side}/24 dev veth${side}`);
    const device = await lab.device('typetun', 1, { command, env: { LOG_LEVEL: 'error', ...env } });
    const words = [process.execPath, CLIENT, '10.0.0.1', `${PORT}`, device.publicKey, `${PEERS}`, `${each}`];
    const client = lab.spawn(2, words, { input: null });
    await client.prints('\n', LIMIT_MS);
    const keys = JSON.parse(client.stdout) as string[];
    const peers = keys.map((key, i) => `public_key=${key}\nallowed_ip=10.1.${i >> 8}.${i & 255}/32\n`);
    await ask(device.name, `set=1\nlisten_port=${PORT}\n${peers.join('')}\n`);
    await lab.ip(1, `link set ${device.name} up`);
    const before = cpuSeconds([device]);
    client.child.stdin?.end('go\n');
    await client.end(LIMIT_MS);
    const cpu = cpuSeconds([device]) - before;
    const report = JSON.parse(client.stdout.split('\n')[1] ?? '') as HandshakeReport;
    const { responses, cookies, lost, seconds } = report;
    if (responses < PEERS * each * 0.9)
      throw new Error(`${title}: ${responses} responses, ${cookies} cookies, ${lost} lost`);
    return { perSecond: responses / seconds, perCpuSecond: responses / cpu };
  } finally {
    await lower(lab);
  }
}

/** @returns handshakes a second of time, and of the responder's processor time */
export async function measureHandshakes({ contestants, rounds, quick, say, fail }: DaemonRun): Promise<Group[]> {
  const table = new Table(rounds);
  table.figure('handshakes', 'handshakes', 'handshakes answered', '1/s', 'more');
  table.figure('handshakes', 'handshakes-cpu', 'handshakes answered in a second of processor time', '1/s', 'more');
  const unable = new Set<Contestant>();
  for (let round = 0; round < rounds; round++) {
    for (const contestant of contestants.filter((one) => !unable.has(one))) {
      try {
        const { perSecond, perCpuSecond } = await measureResponder(contestant, quick ? QUICK_EACH : EACH);
        table.put('handshakes', contestant.id, round, perSecond);
        table.put('handshakes-cpu', contestant.id, round, perCpuSecond);
        say(`round ${round + 1} of ${rounds}  ${contestant.title}: ${perCpuSecond.toFixed(0)} handshakes a CPU second`);
      } catch (error) {
        unable.add(contestant);
        fail(`handshakes, from round ${round + 1} on: ${(error as Error).message.split('\n')[0]}`);
      }
    }
  }
  const columns = contestants
    .filter((one) => !unable.has(one))
    .map(({ id, title, version }) => ({ id, title, ...(version && { version }) }));
  const figures = table.figures();
  return [{ id: 'handshakes', title: 'Handshakes of one responder', columns, baseline: 'wireguard-go', figures }];
}
