/** What a row of measurements says: its middle, its ends, and how it stands beside another row of the same run. */

/** The middle value, or the mean of the two in the middle. @throws RangeError for no values */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values to take a median of');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The nearest-rank percentile: the smallest value that at least `percent` of the values do not exceed.
 * @param percent above 0, at most 100
 * @throws RangeError for no values, or a percentage outside its range
 */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) throw new RangeError('no values to take a percentile of');
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`${percent} is no percentage`);
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1]!;
}

/** @throws RangeError for no values */
export function mean(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values to take a mean of');
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Rounds that gave a value. */
  readonly count: number;
}

/** A round without a value (`null`: the measurement failed) is left out. @returns undefined when there is no value at all */
export function summarize(values: readonly (number | null)[]): Summary | undefined {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return undefined;
  return { median: median(known), min: Math.min(...known), max: Math.max(...known), count: known.length };
}

export interface Ratio {
  /** Of the two medians. */
  readonly ofMedians: number;
  /** The ratios round by round, where both have a value: what the machine did to a whole round is not in them. */
  readonly pairwise: Summary;
}

/** How `values` stands to `base`, measured in the same rounds. @returns undefined when no round has both, or the base is 0 */
export function compare(values: readonly (number | null)[], base: readonly (number | null)[]): Ratio | undefined {
  const [own, other] = [summarize(values), summarize(base)];
  const pairwise = summarize(
    values.map((value, round) => {
      const against = base[round] ?? null;
      return value === null || against === null || against === 0 ? null : value / against;
    }),
  );
  if (own === undefined || other === undefined || other.median === 0 || pairwise === undefined) return undefined;
  return { ofMedians: own.median / other.median, pairwise };
}
