/** Results as Markdown tables, padded so that they can be read in a terminal too. */
import type { Figure, Group } from './results.js';
import { compare, summarize } from './statistics.js';

/** Three digits that count, and no exponent: `4.41`, `101`, `12,300`. */
export function number(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const rounded = Number(value.toPrecision(3));
  return rounded.toLocaleString('en-US', { minimumFractionDigits: Math.min(digits, 5), maximumFractionDigits: 5 });
}

/** A table with its columns padded. Cells must hold no line break; a `|` in them is escaped. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = header.map((_, i) => Math.max(3, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string => {
    // The first column is words, the others are numbers.
    const padded = widths.map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width)));
    return `| ${padded.join(' | ')} |`;
  };
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(cells[0]!), `| ${rule.join(' | ')} |`, ...cells.slice(1).map(line)].join('\n');
}

/** `4.41 (4.20–4.60)`, and the ratio to the baseline where this is not it. */
function cell(figure: Figure, column: string, baseline: string): string {
  const values = figure.values[column];
  const summary = values && summarize(values);
  if (!values || !summary) return '';
  const spread = summary.count === 1 ? '' : ` (${number(summary.min)}–${number(summary.max)})`;
  const ratio = column === baseline ? undefined : compare(values, figure.values[baseline] ?? []);
  return `${number(summary.median)}${spread}${ratio ? ` ×${ratio.ofMedians.toFixed(2)}` : ''}`;
}

/** What the ratios in a group's table are to, or nothing where there are none. */
export function baselineOf({ columns, baseline }: Group): string {
  const title = columns.find(({ id }) => id === baseline)?.title;
  return title === undefined || columns.length === 1 ? '' : `Ratios (×) are to ${title}.`;
}

export function groupTable({ columns, baseline, figures }: Group): string {
  const rows = figures.map((figure) => [
    `${figure.title}, ${figure.unit}${figure.better === 'less' ? ' ↓' : ''}`,
    ...columns.map(({ id }) => cell(figure, id, baseline)),
  ]);
  return markdownTable(['', ...columns.map(({ title }) => title)], rows);
}
