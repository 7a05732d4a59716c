/** The shape of a run's results, as they stand in the JSON file and as the tables are made of them. */

export interface Column {
  readonly id: string;
  readonly title: string;
  /** What exactly was measured, where that can be told: `v0.0.20250522`. */
  readonly version?: string;
}

export interface Figure {
  /** The word of `--only` that measures it. */
  readonly subject: string;
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  /** By column: one value a round, in order; `null` where the measurement failed in that round. */
  readonly values: Readonly<Record<string, readonly (number | null)[]>>;
}

/** Figures that have the same columns, of which one is what the others are held against. */
export interface Group {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly Column[];
  /** The column that ratios are taken to. */
  readonly baseline: string;
  readonly figures: readonly Figure[];
}

export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryMib: number;
  readonly kernel: string;
  readonly system: string;
  readonly node: string;
  readonly openssl: string;
  readonly iperf3: string;
}

export interface Results {
  /** Raised when this shape changes. */
  readonly format: 1;
  /** The command that made them, to be typed in a checkout. */
  readonly command: string;
  /** typetun's version, and the commit where there is one. */
  readonly version: string;
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly durationS: number;
  readonly machine: Machine;
  readonly groups: readonly Group[];
  /** What could not be had or measured, each with its reason. */
  readonly missing: readonly string[];
}

/** How long a measurement in this process may take: the rounds it makes, and whether each is short. */
export interface Effort {
  readonly rounds: number;
  readonly quick: boolean;
}

/** Gathers the values of a group round by round, whatever their order. */
export class Table {
  readonly #rounds: number;
  readonly #figures = new Map<string, Figure & { readonly values: Record<string, (number | null)[]> }>();

  constructor(rounds: number) {
    this.#rounds = rounds;
  }

  /** Announces a figure; the order of these calls is the order of the rows. Announced again it keeps what it has. */
  figure(subject: string, id: string, title: string, unit: string, better: Figure['better']): void {
    if (!this.#figures.has(id)) this.#figures.set(id, { subject, id, title, unit, better, values: {} });
  }

  /** @throws Error for a figure that was not announced, or a round beyond the last: mistakes of the bench */
  put(id: string, column: string, round: number, value: number): void {
    const figure = this.#figures.get(id);
    if (figure === undefined || round >= this.#rounds) throw new Error(`no place for ${id} in round ${round}`);
    figure.values[column] ??= Array<number | null>(this.#rounds).fill(null);
    figure.values[column][round] = Number.isFinite(value) ? value : null;
  }

  ids(): string[] {
    return [...this.#figures.keys()];
  }

  /** The figures that got a value. */
  figures(): Figure[] {
    return [...this.#figures.values()].filter(({ values }) =>
      Object.values(values).some((row) => row.some((value) => value !== null)),
    );
  }
}
