/** What typetun set out to reach, each as a number of one run, held against what that run measured. */
import { number } from './markdown.js';
import type { Figure, Group, Results } from './results.js';
import { compare, summarize } from './statistics.js';

interface Target {
  readonly title: string;
  /** The measured number. @returns undefined where the run has not measured it */
  measured(results: Results): number | undefined;
  /** Whether the number should be above what is demanded. */
  readonly more: boolean;
  readonly demanded: number;
  readonly hoped?: number;
  readonly unit?: string;
}

export interface Verdict {
  readonly title: string;
  readonly measured: string;
  readonly demanded: string;
  readonly hoped: string;
  readonly verdict: 'reached' | 'beyond' | 'missed';
}

function find({ groups }: Results, id: string): [Figure, Group] | undefined {
  for (const group of groups) {
    const figure = group.figures.find((one) => one.id === id);
    if (figure) return [figure, group];
  }
  return undefined;
}

/** The ratio of two columns' medians in one figure. */
function ratio(results: Results, id: string, own: string, other: string): number | undefined {
  const values = find(results, id)?.[0].values;
  return values && compare(values[own] ?? [], values[other] ?? [])?.ofMedians;
}

function middle(results: Results, id: string, column: string): number | undefined {
  return summarize(find(results, id)?.[0].values[column] ?? [])?.median;
}

/** The worse one of two directions. @returns undefined where neither was measured */
function least(...values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function tcpTarget(
  title: string,
  streams: number,
  demanded: number,
  hoped: number,
  own = 'typetun',
  other = 'wireguard-go',
): Target {
  return {
    ...{ title, more: true, demanded, hoped },
    measured: (results) =>
      least(ratio(results, `tcp${streams}`, own, other), ratio(results, `tcp${streams}-reverse`, own, other)),
  };
}

function ratioTarget(title: string, id: string, more: boolean, demanded: number, hoped: number): Target {
  return { ...{ title, more, demanded, hoped }, measured: (results) => ratio(results, id, 'typetun', 'wireguard-go') };
}

const TARGETS: readonly Target[] = [
  tcpTarget('TCP, 1 stream, the slower direction, against wireguard-go', 1, 1.4, 2),
  tcpTarget('TCP, 4 streams, the slower direction, against wireguard-go', 4, 1.5, 2),
  ratioTarget('UDP, 64 B, received, against wireguard-go', 'udp64', true, 3, 3.5),
  ratioTarget('UDP, 1300 B, received, against wireguard-go', 'udp1300', true, 2, 2.5),
  ratioTarget('ping every 5 ms, mean, against wireguard-go', 'ping5-mean', false, 0.5, 0.35),
  tcpTarget('TCP, 1 stream, the slower direction, share of our own ceiling', 1, 0.45, 0.6, 'typetun', 'ceiling'),
  tcpTarget(
    'TCP, 1 stream, the slower direction, with the EVP back end, against wireguard-go',
    1,
    1.1,
    1.3,
    'typetun-evp',
  ),
  {
    ...{ title: 'ping at 80 % of the peak, p99.9, beyond wireguard-go', more: false, demanded: 2000, unit: 'µs' },
    measured(results) {
      const [own, other] = [middle(results, 'tail', 'typetun'), middle(results, 'tail', 'wireguard-go')];
      return own === undefined || other === undefined ? undefined : own - other;
    },
  },
  {
    ...{ title: 'resident memory of a daemon after load', more: false, demanded: 70, unit: 'MiB' },
    measured: (results) => middle(results, 'rss-load', 'typetun'),
  },
  {
    ...{ title: 'processor time of an idle daemon', more: false, demanded: 0.05, unit: '%' },
    measured: (results) => middle(results, 'idle-cpu', 'typetun'),
  },
];

/** The targets that this run has a number for. */
export function judge(results: Results): Verdict[] {
  const verdicts: Verdict[] = [];
  for (const { title, measured, more, demanded, hoped, unit = '' } of TARGETS) {
    const value = measured(results);
    if (value === undefined) continue;
    const meets = (limit: number): boolean => (more ? value >= limit : value <= limit);
    const text = (limit: number): string => `${more ? '≥' : '≤'} ${number(limit)} ${unit}`.trimEnd();
    verdicts.push({
      title,
      measured: `${number(value)} ${unit}`.trimEnd(),
      demanded: text(demanded),
      hoped: hoped === undefined ? '' : text(hoped),
      verdict: !meets(demanded) ? 'missed' : hoped !== undefined && meets(hoped) ? 'beyond' : 'reached',
    });
  }
  return verdicts;
}
