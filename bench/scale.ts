/**
 * Many peers: how long a daemon takes to be told of them and to tell of them over its UAPI socket, and what memory
 * each one costs while it has no session. One allowed IP a peer. Each measurement has a daemon of its own.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Device, Lab, residentKib } from '../test/netns/harness.js';
import type { Contestant } from './contestants.js';
import { type Group, Table } from './results.js';
import { lower } from './stage.js';

const SIZES: readonly number[] = [1, 1_000, 10_000, 100_000];
const QUICK_SIZES: readonly number[] = [1, 1_000];
/** From so many on, what a peer costs is more than what measuring costs. */
const LEAST_FOR_MEMORY = 10_000;
const ANSWER_LIMIT_MS = 60_000;
/** Memory is looked at until it falls no further: a collector may take its time. */
const SETTLE_MS = 1_500;

/** What a measurement of daemons without a tunnel is made with. */
export interface DaemonRun {
  readonly contestants: readonly Contestant[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly say: (line: string) => void;
  readonly fail: (reason: string) => void;
}

/** A `set` of so many peers, each with a random key and an address of its own. */
export function manyPeers(count: number): Buffer {
  const lines = ['set=1\n'];
  for (let i = 0; i < count; i++) {
    const address = `10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}`;
    lines.push(`public_key=${randomBytes(32).toString('hex')}\nallowed_ip=${address}/32\n`);
  }
  return Buffer.from(`${lines.join('')}\n`);
}

interface Answer {
  /** From the first byte asked to the last byte answered. */
  readonly ms: number;
  readonly bytes: number;
  /** `0` for success. */
  readonly errno: string;
}

/** One exchange, of which only the end is kept. */
function exchange(name: string, request: Buffer | string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let [bytes, tail] = [0, ''];
    const socket = connect(`/var/run/wireguard/${name}.sock`, () => socket.write(request));
    socket.setEncoding('latin1').setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error('no answer in time')));
    socket.on('data', (text: string) => {
      bytes += text.length;
      tail = (tail + text).slice(-64);
      const end = /errno=(-?\d+)\n\n$/.exec(tail);
      if (!end) return;
      resolve({ ms: performance.now() - start, bytes, errno: end[1] ?? '' });
      socket.end();
    });
    socket.on('error', reject).on('close', () => reject(new Error('the daemon hung up')));
  });
}

/** @throws Error when the daemon refuses, does not answer in time, or hangs up */
export async function ask(name: string, request: Buffer | string): Promise<Answer> {
  const answer = await exchange(name, request);
  if (answer.errno !== '0') throw new Error(`refused with errno ${answer.errno}`);
  return answer;
}

/** The least that is seen within {@link SETTLE_MS}. */
async function settledMib(device: Device): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (const start = performance.now(); performance.now() - start < SETTLE_MS; await sleep(100)) {
    least = Math.min(least, residentKib(device, 'RssAnon') / 1024);
  }
  return least;
}

interface ScaleFigures {
  readonly loadMs: number;
  readonly dumpMs: number;
  readonly bytesPerPeer: number;
}

async function measurePeers(contestant: Contestant, count: number): Promise<ScaleFigures> {
  const lab = new Lab();
  try {
    await lab.namespace(1);
    const { command, env } = contestant;
    const device = await lab.device('typetun', 1, { command, env: { LOG_LEVEL: 'error', ...env } });
    const request = manyPeers(count);
    const memory = count >= LEAST_FOR_MEMORY;
    const before = memory ? await settledMib(device) : 0;
    const loadMs = (await ask(device.name, request)).ms;
    const after = memory ? await settledMib(device) : 0;
    const { ms: dumpMs, bytes } = await ask(device.name, 'get=1\n\n');
    if (bytes < count * 64) throw new Error(`told of too little: ${bytes} bytes`);
    return { loadMs, dumpMs, bytesPerPeer: memory ? ((after - before) * 2 ** 20) / count : Number.NaN };
  } finally {
    await lower(lab);
  }
}

/** @returns milliseconds of `set` and of `get`, bytes a peer */
export async function measureScale({ contestants, rounds, quick, say, fail }: DaemonRun): Promise<Group[]> {
  const table = new Table(rounds);
  const sizes = quick ? QUICK_SIZES : SIZES;
  for (const size of sizes) {
    const peers = `${size.toLocaleString('en-US')} peer${size === 1 ? '' : 's'}`;
    table.figure('scale', `load${size}`, `set of ${peers}`, 'ms', 'less');
    table.figure('scale', `dump${size}`, `get of ${peers}`, 'ms', 'less');
    table.figure('scale', `memory${size}`, `memory of each of ${peers}`, 'B', 'less');
  }
  const unable = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    for (const size of sizes) {
      for (const contestant of contestants) {
        const what = `${contestant.title}, ${size.toLocaleString('en-US')} peers`;
        // Who cannot hold so many will not learn it: wireguard-go takes 65,536.
        if (unable.has(what)) continue;
        try {
          const { loadMs, dumpMs, bytesPerPeer } = await measurePeers(contestant, size);
          table.put(`load${size}`, contestant.id, round, loadMs);
          table.put(`dump${size}`, contestant.id, round, dumpMs);
          table.put(`memory${size}`, contestant.id, round, bytesPerPeer);
          say(`round ${round + 1} of ${rounds}  ${what}: set ${loadMs.toFixed(0)} ms`);
        } catch (error) {
          unable.add(what);
          fail(`${what}, from round ${round + 1} on: ${(error as Error).message.split('\n')[0]}`);
        }
      }
    }
  }
  const columns = contestants.map(({ id, title, version }) => ({ id, title, ...(version && { version }) }));
  return [{ id: 'scale', title: 'Many peers', columns, baseline: 'wireguard-go', figures: table.figures() }];
}
