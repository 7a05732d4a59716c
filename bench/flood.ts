/**
 * What a flood of 50,000 messages a second costs its victim: TCP into it, undisturbed, while the flood passes its
 * network by (before and after), and while the flood is for it; how much its memory grows; and how long a new peer takes until it is in.
 *
 * The flooder, both daemons, both ends of TCP and the kernel share the machine's processors. A flood that passes by
 * costs them what sending and carrying it costs: what it takes from TCP beyond that, the victim has spent on it.
 */
import { admit, beginFlood, endFlood, FLOODS, type Flood, raiseFloodStage } from '../test/netns/flood.js';
import { Lab } from '../test/netns/harness.js';
import { V4 } from '../test/netns/topology.js';
import type { Contestant } from './contestants.js';
import { type Group, Table } from './results.js';
import type { DaemonRun } from './scale.js';
import { lower, residentMib } from './stage.js';
import { tcp } from './traffic.js';

const RATE = 50_000;
const TCP_SECONDS = 2;
/** Who asks for a cookie and has lost a message tries again after 5 s, and again. */
const NEWCOMER_MS = 12_000;
const FLOOD_SECONDS = 40;

const TITLES: Readonly<Record<Flood['kind'], string>> = {
  garbage: 'garbage',
  'bad-mac1': 'wrong mac1',
  mac1: 'right mac1',
};

/** What is measured under each kind of flood. */
const FIGURES = [
  ['sent', 'messages sent', '1/s', 'more'],
  ['share', 'TCP, share of that with the flood passing by', '%', 'more'],
  ['quiet', 'TCP, share of that without a flood', '%', 'more'],
  ['growth', 'growth of resident memory', 'MiB', 'less'],
  ['newcomer', 'a new peer is in after (12: not even then)', 's', 'less'],
] as const;

export type FloodFigure = (typeof FIGURES)[number][0];

/** The identifier of a figure. */
export function floodFigure(kind: Flood['kind'], figure: FloodFigure): string {
  return `flood-${kind}-${figure}`;
}

async function gbit(lab: Lab): Promise<number> {
  return (await tcp(lab, TCP_SECONDS, 1, '2 to 1')).bitsPerSecond / 1e9;
}

async function measureKind(
  { command, env }: Contestant,
  kind: Flood['kind'],
  put: (figure: FloodFigure, value: number) => void,
): Promise<void> {
  const lab = new Lab();
  try {
    const stage = await raiseFloodStage(lab, { command, env: { LOG_LEVEL: 'error', ...env } });
    await lab.in(2, `ping -n -q -c 1 -w 10 ${V4[0]}`);
    await gbit(lab);
    const quiet = await gbit(lab);
    const flood: Flood = { kind, rate: RATE, seconds: FLOOD_SECONDS, sources: 1 };
    const besidePassing = async (): Promise<number> => {
      const passing = await beginFlood(lab, stage, flood, true);
      const speed = await gbit(lab);
      await endFlood(passing);
      return speed;
    };
    const earlier = await besidePassing();
    const before = residentMib([stage.a]);
    const coming = await beginFlood(lab, stage, flood);
    const flooded = await gbit(lab);
    const start = performance.now();
    const late = await admit(lab, stage, NEWCOMER_MS).catch((error: Error) => error);
    put('newcomer', (performance.now() - start) / 1000);
    put('growth', residentMib([stage.a]) - before);
    const { sent, seconds } = await endFlood(coming);
    put('sent', sent / seconds);
    put('share', (200 * flooded) / (earlier + (await besidePassing())));
    put('quiet', (100 * flooded) / quiet);
    if (late) throw late;
  } finally {
    await lower(lab);
  }
}

/** Of these contestants typetun and wireguard-go. */
export async function measureFlood({ contestants: all, rounds, say, fail }: DaemonRun): Promise<Group[]> {
  const contestants = all.filter(({ id }) => id === 'typetun' || id === 'wireguard-go');
  const table = new Table(rounds);
  for (const kind of FLOODS) {
    for (const [figure, title, unit, better] of FIGURES) {
      table.figure('flood', floodFigure(kind, figure), `${TITLES[kind]}: ${title}`, unit, better);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const kind of FLOODS) {
      for (const contestant of contestants) {
        const put: Parameters<typeof measureKind>[2] = (figure, value) => {
          table.put(floodFigure(kind, figure), contestant.id, round, value);
          say(
            `round ${round + 1} of ${rounds}  ${contestant.title.padEnd(22)} flood, ${TITLES[kind]}: ${figure} = ${value.toPrecision(3)}`,
          );
        };
        try {
          await measureKind(contestant, kind, put);
        } catch (error) {
          const reason = (error as Error).message.split('\n')[0];
          fail(`${contestant.title}, flood, ${TITLES[kind]}, round ${round + 1}: ${reason}`);
        }
      }
    }
  }
  const columns = contestants.map(({ id, title, version }) => ({ id, title, ...(version && { version }) }));
  const title = `Under a flood of ${RATE.toLocaleString('en')} messages a second`;
  return [{ id: 'flood', title, columns, baseline: 'wireguard-go', figures: table.figures() }];
}
