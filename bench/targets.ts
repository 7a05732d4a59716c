/** What typetun set out to reach, each as a number of one run, held against what that run measured. */
import { FLOODS } from '../test/netns/flood.js';
import { type FloodFigure, floodFigure } from './flood.js';
import { number } from './markdown.js';
import type { Figure, Results } from './results.js';
import { compare, type Summary, summarize } from './statistics.js';

/** The ratio of the medians, and the least and the greatest of the rounds' own ratios. */
interface Measured {
  readonly value: number;
  readonly rounds?: Summary;
}

interface Target {
  readonly title: string;
  /** @returns undefined where the run has not measured it */
  measured(results: Results): Measured | undefined;
  /** Whether the number should be above what is demanded. */
  readonly more: boolean;
  readonly demanded: number;
  readonly hoped?: number;
  readonly unit?: string;
}

export const TARGET_HEADER: readonly string[] = ['', 'measured', 'round by round', 'demanded', 'hoped for', ''];

function valuesOf({ groups }: Results, id: string): Figure['values'] {
  return groups.flatMap(({ figures }) => figures).find((one) => one.id === id)?.values ?? {};
}

function ratio(results: Results, id: string, own: string, other: string): Measured | undefined {
  const values = valuesOf(results, id);
  const found = compare(values[own] ?? [], values[other] ?? []);
  return found && { value: found.ofMedians, rounds: found.pairwise };
}

function middle(results: Results, id: string, column: string): Measured | undefined {
  const summary = summarize(valuesOf(results, id)[column] ?? []);
  return summary && { value: summary.median, rounds: summary };
}

/** TCP in its slower direction. @param id of the figure in the first direction */
function tcpTarget(
  title: string,
  id: string,
  [demanded, hoped]: readonly [number, number?],
  who: readonly [string, string],
): Target {
  return {
    ...{ title: `${title}, the slower direction`, more: true, demanded, ...(hoped !== undefined && { hoped }) },
    measured(results) {
      const both = ['', '-reverse'].map((way) => ratio(results, `${id}${way}`, ...who));
      const known = both.filter((one) => one !== undefined);
      return known.sort((a, b) => a.value - b.value)[0];
    },
  };
}

const AGAINST_GO = ['typetun', 'wireguard-go'] as const;

function ratioTarget(title: string, id: string, more: boolean, [demanded, hoped]: readonly [number, number]): Target {
  return { ...{ title, more, demanded, hoped }, measured: (results) => ratio(results, id, ...AGAINST_GO) };
}

/** Under the flood that it is worst under. */
function floodTarget(title: string, figure: FloodFigure, more: boolean, demanded: number, unit: string): Target {
  const measured = (results: Results): Measured | undefined => {
    const found = FLOODS.map((kind) => middle(results, floodFigure(kind, figure), 'typetun'));
    const known = found.filter((one) => one !== undefined);
    return known.sort((a, b) => (more ? a.value - b.value : b.value - a.value))[0];
  };
  return { title: `50,000 messages a second, the worst kind: ${title}`, measured, more, demanded, unit };
}

const TARGETS: readonly Target[] = [
  tcpTarget('TCP, 1 stream, to wireguard-go', 'tcp1', [1.4, 2], AGAINST_GO),
  tcpTarget('TCP, 4 streams, to wireguard-go', 'tcp4', [1.5, 2], AGAINST_GO),
  ratioTarget('UDP, 64 B, received, to wireguard-go', 'udp64', true, [3, 3.5]),
  ratioTarget('UDP, 1300 B, received, to wireguard-go', 'udp1300', true, [2, 2.5]),
  ratioTarget('ping every 5 ms, mean, to wireguard-go', 'ping5-mean', false, [0.5, 0.35]),
  tcpTarget('TCP, 1 stream, share of our own ceiling', 'tcp1', [0.45, 0.6], ['typetun', 'ceiling']),
  tcpTarget(
    'TCP, 1 stream, with TYPETUN_AEAD=evp, to wireguard-go',
    'tcp1',
    [1.1, 1.3],
    ['typetun-evp', 'wireguard-go'],
  ),
  {
    ...{
      title: 'ping at 80 % of the peak, p99.9, beyond that of wireguard-go',
      more: false,
      demanded: 2000,
      unit: 'µs',
    },
    measured(results) {
      const [own, other] = AGAINST_GO.map((who) => middle(results, 'tail', who));
      return own && other && { value: own.value - other.value };
    },
  },
  ...([32, 128] as const).map((bits): Target => {
    const title = `look-up among 1,000,000 IPv${bits === 32 ? 4 : 6} prefixes, to that among 1,000`;
    const measured = (results: Results): Measured | undefined => ratio(results, `lookup${bits}-2`, '1000000', '1000');
    return { title, more: false, demanded: 3, measured };
  }),
  {
    ...{ title: 'handshakes in a second of processor time, to wireguard-go', more: true, demanded: 1.2 },
    measured: (results) => ratio(results, 'handshakes-cpu', ...AGAINST_GO),
  },
  floodTarget('TCP, share of that with the flood passing by', 'share', true, 80, '%'),
  floodTarget('growth of resident memory', 'growth', false, 10, 'MiB'),
  floodTarget('a new peer is in', 'newcomer', false, 10, 's'),
  tcpTarget('`typetun exec`, to an interface of root’s', 'rootless', [0.8], ['exec', 'host']),
  tcpTarget('`device.connect`, to an interface of root’s', 'rootless', [0.8], ['connect', 'host']),
  {
    ...{ title: 'set of 100,000 peers', more: false, demanded: 1500, unit: 'ms' },
    measured: (results) => middle(results, 'load100000', 'typetun'),
  },
  {
    ...{ title: 'memory of each of 100,000 peers without a session', more: false, demanded: 1024, unit: 'B' },
    measured: (results) => middle(results, 'memory100000', 'typetun'),
  },
  {
    ...{ title: 'slowest ping of another flow during `get` of 100,000 peers', more: false, demanded: 20, unit: 'ms' },
    measured: (results) => middle(results, 'stall-gets', 'typetun'),
  },
  {
    ...{ title: 'resident memory of a daemon after load', more: false, demanded: 70, unit: 'MiB' },
    measured: (results) => middle(results, 'rss-load', 'typetun'),
  },
  {
    ...{ title: 'growth of resident memory under load for an hour', more: false, demanded: 5, unit: '%' },
    measured: (results) => middle(results, 'soak-growth', 'typetun'),
  },
  {
    ...{ title: 'processor time of a daemon with an idle session', more: false, demanded: 0.05, unit: '%' },
    measured: (results) => middle(results, 'idle-cpu', 'typetun'),
  },
];

/** @returns a row for each target that this run has a number for, under {@link TARGET_HEADER} */
export function judge(results: Results): string[][] {
  const rows: string[][] = [];
  for (const { title, measured, more, demanded, hoped, unit = '' } of TARGETS) {
    const found = measured(results);
    if (found === undefined) continue;
    const { value, rounds } = found;
    const meets = (limit: number): boolean => (more ? value >= limit : value <= limit);
    const limitText = (limit: number): string => `${more ? '≥' : '≤'} ${number(limit)} ${unit}`.trimEnd();
    rows.push([
      title,
      `${number(value)} ${unit}`.trimEnd(),
      rounds === undefined || rounds.count === 1 ? '' : `${number(rounds.min)}–${number(rounds.max)}`,
      limitText(demanded),
      hoped === undefined ? '' : limitText(hoped),
      !meets(demanded) ? 'missed' : hoped !== undefined && meets(hoped) ? 'beyond' : 'reached',
    ]);
  }
  return rows;
}
