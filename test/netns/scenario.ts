/**
 * A scenario is one line (sometimes two) of the acceptance list, run against pairs of implementations. What runs
 * and what is skipped, and why, is in the table SCENARIOS.md, which is made from the same data.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { commandOf, FULL, type Implementation, missing } from './environment.js';
import { type Lab, withLab } from './harness.js';
import type { Pair } from './topology.js';

const TIME_LIMIT_MS = FULL ? 20 * 60_000 : 120_000;

/** Who is the first side of a tunnel (device a) and who the second (device b). */
export const PAIRS = [
  'typetun/typetun',
  'typetun/wireguard-go',
  'wireguard-go/typetun',
  'wireguard-go/wireguard-go',
] as const;
export type PairName = (typeof PAIRS)[number];
/** The scenarios themselves are tested by this pair, in the full tier and on demand. */
export const CONTROL: PairName = 'wireguard-go/wireguard-go';

export interface Scenario {
  /** Its numbers in the acceptance list. */
  readonly numbers: readonly number[];
  readonly title: string;
  /** Commands it starts, beyond those of every lab. */
  readonly tools?: readonly string[];
  /** It has one device, of the pair's first implementation: mixed pairs say nothing new. */
  readonly single?: boolean;
  /** The one release of wireguard-go that it runs against, and why the other one cannot do it. */
  readonly release?: { readonly only: Exclude<Implementation, 'typetun'>; readonly because: string };
  /** Pairs that it does not run against, and why. */
  readonly skip?: Readonly<Partial<Record<PairName, string>>>;
  run(lab: Lab, pair: Pair): Promise<void>;
}

/** Why wireguard-go is not held to what only the kernel's implementation and typetun do. */
export function notByWireguardGo(what: string): Readonly<Partial<Record<PairName, string>>> {
  return { 'wireguard-go/typetun': what, 'wireguard-go/wireguard-go': what };
}

/** Why a scenario does not run against a pair anywhere, or undefined when it does. */
export function skipReason(scenario: Scenario, pair: PairName): string | undefined {
  const isMixed = pair === 'typetun/wireguard-go' || pair === 'wireguard-go/typetun';
  if (scenario.single && isMixed) return 'one device, no second side';
  return scenario.skip?.[pair];
}

/** The implementations of a pair: each of the two releases of wireguard-go on one side, if both are here. */
function implementationsOf(pair: PairName, release?: Scenario['release']): Pair {
  const first: Implementation = commandOf('wireguard-go-newest') ? 'wireguard-go-newest' : 'wireguard-go';
  const [newest, distributed] = release ? [release.only, release.only] : [first, 'wireguard-go' as const];
  switch (pair) {
    case 'typetun/typetun':
      return ['typetun', 'typetun'];
    case 'typetun/wireguard-go':
      return ['typetun', newest];
    case 'wireguard-go/typetun':
      return [distributed, 'typetun'];
    case 'wireguard-go/wireguard-go':
      return [newest, distributed];
  }
}

/** The pairs of this run: `TYPETUN_TEST_PAIRS` (names with commas between), else all, the control in the full tier. */
function pairsOfThisRun(): readonly PairName[] {
  const wanted = process.env['TYPETUN_TEST_PAIRS'];
  if (wanted === undefined) return PAIRS.filter((pair) => FULL || pair !== CONTROL);
  const pairs = wanted.split(',') as PairName[];
  for (const pair of pairs)
    if (!PAIRS.includes(pair)) throw new Error(`TYPETUN_TEST_PAIRS: ${pair} is none of ${PAIRS}`);
  return pairs;
}

/** Registers a test for each cell of the table's rows. */
export function register(scenarios: readonly Scenario[]): void {
  for (const scenario of scenarios) {
    for (const name of pairsOfThisRun()) {
      const title = `${scenario.numbers.join(', ')}: ${scenario.title} [${name}]`;
      const pair = implementationsOf(name, scenario.release);
      const skip = skipReason(scenario, name) ?? missing(scenario.tools ?? [], pair);
      it(title, { skip, timeout: TIME_LIMIT_MS }, () => withLab((lab) => scenario.run(lab, pair)));
      if (name === CONTROL) registerFailures(scenario, title);
    }
  }
}

/** What the table leaves out because of wireguard-go must still fail there: a reason that is gone shows. */
function registerFailures(scenario: Scenario, title: string): void {
  const failing: Pair[] = [];
  if (scenario.skip?.[CONTROL] !== undefined) failing.push(implementationsOf(CONTROL));
  if (scenario.release) {
    const other = scenario.release.only === 'wireguard-go' ? 'wireguard-go-newest' : 'wireguard-go';
    failing.push([other, other]);
  }
  for (const pair of failing) {
    const skip = missing(scenario.tools ?? [], pair);
    it(`${title} fails with ${pair.join(' and ')}`, { skip, timeout: TIME_LIMIT_MS }, () =>
      assert.rejects(withLab((lab) => scenario.run(lab, pair))),
    );
  }
}
