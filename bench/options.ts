/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import type { ContestantId } from './contestants.js';
import { NETWORK_SUBJECTS } from './network.js';

const MICRO_SUBJECTS = ['aead', 'offload', 'replay', 'tables', 'config', 'wg'] as const;
export type MicroSubject = (typeof MICRO_SUBJECTS)[number];

/** Of daemons that are started for it alone. */
export const DAEMON_SUBJECTS = ['handshakes', 'flood', 'scale', 'stall'] as const;

const SUBJECTS: readonly string[] = [...NETWORK_SUBJECTS, ...DAEMON_SUBJECTS, 'rootless', ...MICRO_SUBJECTS];

const CONTESTANTS: readonly ContestantId[] = [
  'typetun',
  'wireguard-go',
  'gotatun',
  'boringtun',
  'wireguard-go-debian',
  'typetun-evp',
  'ceiling',
];
/** Left out of a quick run: a percentile that wants thousands of pings, ten streams a round, floods. */
const SLOW_SUBJECTS: readonly string[] = ['tail', 'rootless', 'flood', 'stall'];
const QUICK_CONTESTANTS: readonly ContestantId[] = ['typetun', 'wireguard-go', 'ceiling'];

export const USAGE: string = `usage: npm run bench -- [options]

  --quick              2 minutes instead of 15: two implementations, short runs
  --only A,B           of: ${SUBJECTS.join(' ')}
  --with A,B           of: ${CONTESTANTS.join(' ')}
  --rounds N           rounds of each figure (3)
  --seconds N          of each throughput figure (2; quick: 1)
  --soak MINUTES       memory under changing load for so long, and nothing else
  --no-build           leave out who is not installed, instead of building it
  --json FILE          where the results go (bench/results/latest.json)
  --publish            write docs/performance.json, .md and .svg too
  --from FILE          measure nothing: print, and publish if asked, what a file holds
`;

export interface Options {
  readonly quick: boolean;
  readonly subjects: ReadonlySet<string>;
  readonly contestants: readonly ContestantId[];
  readonly rounds: number;
  readonly seconds: number;
  /** Minutes of soak, 0 for a usual run. */
  readonly soak: number;
  readonly build: boolean;
  readonly json: string;
  readonly publish: boolean;
  readonly from: string | undefined;
}

/** @throws Error with a text for people */
function among<T extends string>(
  option: string,
  list: string | undefined,
  known: readonly T[],
): readonly T[] | undefined {
  if (list === undefined) return undefined;
  return list.split(',').map((word) => {
    const found = known.find((one) => one === word);
    if (found === undefined) throw new Error(`--${option}: "${word}" is none of ${known.join(' ')}`);
    return found;
  });
}

/** @throws Error with a text for people */
function count(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`--${option}: "${text}" is no number from 1 to 9999`);
  return Number(text);
}

/** @returns undefined when help was asked for @throws Error with a text for people */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      with: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      soak: { type: 'string' },
      'no-build': { type: 'boolean', default: false },
      json: { type: 'string', default: 'bench/results/latest.json' },
      publish: { type: 'boolean', default: false },
      from: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const soak = count('soak', values.soak, 0);
  return {
    quick: values.quick,
    subjects: new Set(
      among('only', values.only, SUBJECTS) ?? SUBJECTS.filter((one) => !values.quick || !SLOW_SUBJECTS.includes(one)),
    ),
    contestants:
      among('with', values.with, CONTESTANTS) ??
      (soak > 0 ? ['typetun'] : values.quick ? QUICK_CONTESTANTS : CONTESTANTS),
    rounds: count('rounds', values.rounds, 3),
    seconds: count('seconds', values.seconds, values.quick ? 1 : 2),
    soak,
    build: !values['no-build'],
    json: values.json,
    publish: values.publish,
    from: values.from,
  };
}
