/**
 * What a flow of packets feels while its device is told of very many peers, or tells of them: the slowest of pings
 * every 2 ms through a tunnel, by what was asked of the device meanwhile.
 */
import { randomBytes } from 'node:crypto';
import type { Device } from '../test/netns/harness.js';
import { V4 } from '../test/netns/topology.js';
import { type Group, Table } from './results.js';
import { ask, type DaemonRun, manyPeers } from './scale.js';
import { lower, raise, type Tunnel } from './stage.js';

const PEERS = 100_000;
const PREFIXES = 1_000_000;
const QUICK = 10_000;
const INTERVAL_S = 0.002;
const GETS = 3;
/** Without work: so long. */
const QUIET_MS = 3_000;

/** A `set` of one peer with so many prefixes; the key and the flags stand in front. */
function manyPrefixes(count: number, head: string): Buffer {
  const lines = [`set=1\n${head}`];
  for (let i = 0; i < count; i++) lines.push(`allowed_ip=11.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}/32\n`);
  return Buffer.from(`${lines.join('')}\n`);
}

/** Pings while `work` is under way. @returns milliseconds of the slowest of them, and how many were not answered */
async function slowest({ lab }: Tunnel, work: () => Promise<unknown>): Promise<{ ms: number; lost: number }> {
  const ping = lab.spawn(1, ['ping', '-n', '-i', `${INTERVAL_S}`, '-w', '120', V4[1]]);
  await ping.prints('bytes from');
  await work();
  ping.child.kill('SIGINT');
  await ping.end(10_000);
  const times = [...ping.stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms));
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(ping.stdout) ?? [];
  return { ms: Math.max(...times), lost: Number(sent) - Number(received) };
}

/** What is asked of the device, one after the other. */
function works(
  { name }: Device,
  peers: number,
  prefixes: number,
): readonly (readonly [id: string, what: string, () => Promise<unknown>])[] {
  const set = manyPeers(peers);
  const keys = [...set.toString().matchAll(/public_key=\w+\n/g)].map(([line]) => line);
  const one = `public_key=${randomBytes(32).toString('hex')}\n`;
  const get = async (): Promise<void> => {
    for (let i = 0; i < GETS; i++) await ask(name, 'get=1\n\n');
  };
  return [
    ['nothing', 'nothing', () => new Promise((resolve) => setTimeout(resolve, QUIET_MS))],
    ['set', 'a set of many peers', () => ask(name, set)],
    ['again', 'the same set again', () => ask(name, set)],
    ['gets', 'gets of them', get],
    [
      'replace',
      'their allowed IPs replaced',
      () => ask(name, `set=1\n${keys.map((key) => `${key}replace_allowed_ips=true\n`).join('')}\n`),
    ],
    ['removal', 'their removal', () => ask(name, `set=1\n${keys.map((key) => `${key}remove=true\n`).join('')}\n`)],
    ['one', 'a set of one peer with many prefixes', () => ask(name, manyPrefixes(prefixes, one))],
    ['one-gets', 'gets of that peer', get],
    [
      'one-replace',
      'the same with replace_allowed_ips',
      () => ask(name, manyPrefixes(prefixes, `${one}replace_allowed_ips=true\n`)),
    ],
    ['one-removal', 'its removal', () => ask(name, `set=1\n${one}remove=true\n\n`)],
  ];
}

/**
 * Of typetun alone: wireguard-go refuses so many peers, the others take a minute for them.
 * @returns milliseconds of the slowest ping, by what was asked
 */
export async function measureStall({ contestants: all, rounds, quick, say, fail }: DaemonRun): Promise<Group[]> {
  const contestants = all.filter(({ id }) => id === 'typetun');
  const table = new Table(rounds);
  const [peers, prefixes] = quick ? [QUICK, QUICK] : [PEERS, PREFIXES];
  for (let round = 0; round < rounds; round++) {
    for (const contestant of contestants) {
      let tunnel: Tunnel | undefined;
      try {
        tunnel = await raise(contestant);
        for (const [id, what, work] of works(tunnel.devices[0], peers, prefixes)) {
          table.figure('stall', `stall-${id}`, `slowest ping during ${what}`, 'ms', 'less');
          const { ms, lost } = await slowest(tunnel, work);
          table.put(`stall-${id}`, contestant.id, round, ms);
          say(`round ${round + 1} of ${rounds}  ${contestant.title}, ${what}: ${ms} ms, ${lost} lost`);
        }
      } catch (error) {
        fail(`${contestant.title}, asked much while it is pinged: ${(error as Error).message.split('\n')[0]}`);
      } finally {
        if (tunnel) await lower(tunnel.lab);
      }
    }
  }
  const columns = contestants.map(({ id, title, version }) => ({ id, title, ...(version && { version }) }));
  return [
    { id: 'stall', title: 'Pings while much is asked', columns, baseline: 'wireguard-go', figures: table.figures() },
  ];
}
