/** Timing of short things in this process. */

/** @returns nanoseconds of one of `turns` turns */
export function timeNs(turn: () => void, turns = 1): number {
  const start = process.hrtime.bigint();
  for (let i = 0; i < turns; i++) turn();
  return Number(process.hrtime.bigint() - start) / turns;
}

/** The least of many short measurements: others may share the machine, and they only ever add. */
export function bestNs(turn: () => void, turns: number, repeats: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repeats; i++) best = Math.min(best, timeNs(turn, turns));
  return best;
}
