/**
 * Memory over time: a tunnel under changing load (TCP both ways, many streams, small datagrams, silence), and whether
 * its daemons grow. Not part of a usual run: `npm run bench -- --soak 60`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from './contestants.js';
import { type Group, Table } from './results.js';
import { lower, raise, residentMib, type Tunnel } from './stage.js';
import { median } from './statistics.js';
import { tcp, udp } from './traffic.js';

/** Of each kind of load, and of the silence after them all. */
const TURN_S = 5;
/** The first and the last tenth are compared; before that, caches and compilers fill. */
const PART = 0.1;

/** One turn of every kind of load. */
async function load({ lab }: Tunnel): Promise<void> {
  await tcp(lab, TURN_S);
  await tcp(lab, TURN_S, 8, '2 to 1');
  await udp(lab, TURN_S, 64);
  await udp(lab, TURN_S, 1300);
  await sleep(TURN_S * 1000);
}

/** Of the first and of the last tenth of `values`, the median. */
function ends(values: readonly number[]): readonly [first: number, last: number] {
  const part = Math.max(1, Math.round(values.length * PART));
  return [median(values.slice(0, part)), median(values.slice(-part))];
}

/** @param minutes of load for each contestant, after two turns that do not count */
export async function measureSoak(
  contestants: readonly Contestant[],
  minutes: number,
  say: (line: string) => void,
): Promise<Group[]> {
  const table = new Table(1);
  table.figure('soak', 'soak-first', `resident memory in the first tenth of ${minutes} min`, 'MiB', 'less');
  table.figure('soak', 'soak-last', 'resident memory in the last tenth', 'MiB', 'less');
  table.figure('soak', 'soak-growth', 'growth', '%', 'less');
  for (const contestant of contestants) {
    const tunnel = await raise(contestant);
    try {
      for (let turn = 0; turn < 2; turn++) await load(tunnel);
      const samples: number[] = [];
      const end = performance.now() + minutes * 60_000;
      do {
        await load(tunnel);
        samples.push(residentMib(tunnel.devices));
        say(
          `${contestant.title}: ${samples.at(-1)!.toFixed(1)} MiB, ${((end - performance.now()) / 60_000).toFixed(1)} min to go`,
        );
      } while (performance.now() < end);
      const [first, last] = ends(samples);
      table.put('soak-first', contestant.id, 0, first);
      table.put('soak-last', contestant.id, 0, last);
      table.put('soak-growth', contestant.id, 0, (last / first - 1) * 100);
    } finally {
      await lower(tunnel.lab);
    }
  }
  const columns = contestants.map(({ id, title, version }) => ({ id, title, ...(version && { version }) }));
  return [{ id: 'soak', title: 'Memory over time', columns, baseline: 'wireguard-go', figures: table.figures() }];
}
