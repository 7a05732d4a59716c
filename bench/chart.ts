/** The chart of docs/performance.md: one panel a figure, one bar an implementation, drawn as SVG. */
import { number } from './markdown.js';
import type { Column, Figure } from './results.js';
import { type Summary, summarize } from './statistics.js';

export interface Panel {
  readonly title: string;
  readonly figure: Figure;
  /** The bars, from the top; columns without a value are left out. */
  readonly columns: readonly Column[];
}

const PANELS_ACROSS = 2;
const PANEL_WIDTH = 430;
const MARGIN = 16;
const TITLE_HEIGHT = 42;
const ROW_HEIGHT = 26;
const BAR_HEIGHT = 14;
const NAME_WIDTH = 140;
const VALUE_WIDTH = 76;
const BAR_WIDTH: number = PANEL_WIDTH - 2 * MARGIN - NAME_WIDTH - VALUE_WIDTH;

/** Both schemes bring their own background, so that the chart can stand on any page. Not every viewer knows CSS variables. */
const STYLE = `
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title, .own-name { font-weight: 600 }
  .title { font-size: 13px }
  text.faint { font-size: 11px; fill: #59636e }
  .paper { fill: #ffffff; stroke: #d1d9e0 }
  .axis { stroke: #d1d9e0 }
  .own { fill: #1f9a78 }
  .other { fill: #a3adb8 }
  .spread { stroke: #1f2328; stroke-width: 1.2; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    text.faint { fill: #9198a1 }
    .paper { fill: #0d1117; stroke: #3d444d }
    .axis { stroke: #3d444d }
    .own { fill: #2ea583 }
    .other { fill: #656f7a }
    .spread { stroke: #f0f6fc }
  }
`;

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

interface Bar {
  readonly column: Column;
  readonly summary: Summary;
}

function barsOf({ figure, columns }: Panel): Bar[] {
  return columns.flatMap((column) => {
    const summary = summarize(figure.values[column.id] ?? []);
    return summary === undefined ? [] : [{ column, summary }];
  });
}

const heightOf = (bars: readonly Bar[]): number => TITLE_HEIGHT + bars.length * ROW_HEIGHT + MARGIN;

function drawBar({ column, summary }: Bar, top: number, scale: number): string {
  const middle = top + ROW_HEIGHT / 2;
  const at = (value: number): string => (MARGIN + NAME_WIDTH + value * scale).toFixed(1);
  const own = column.id.startsWith('typetun');
  const length = Math.max(1, summary.median * scale).toFixed(1);
  const [x, y] = [MARGIN + NAME_WIDTH, middle - BAR_HEIGHT / 2];
  return [
    `<text x="${x - 8}" y="${middle + 4}" text-anchor="end"${own ? ' class="own-name"' : ''}>${escapeXml(column.title)}</text>`,
    `<rect x="${x}" y="${y}" width="${length}" height="${BAR_HEIGHT}" rx="2" class="${own ? 'own' : 'other'}"/>`,
    // From the least to the greatest of the rounds.
    `<path d="M${at(summary.min)} ${middle}H${at(summary.max)}M${at(summary.min)} ${middle - 3}v6M${at(summary.max)} ${middle - 3}v6" class="spread"/>`,
    `<text x="${PANEL_WIDTH - MARGIN}" y="${middle + 4}" text-anchor="end">${number(summary.median)}</text>`,
  ].join('\n');
}

function drawPanel(panel: Panel, bars: readonly Bar[], left: number, top: number): string {
  const greatest = Math.max(...bars.map(({ summary }) => summary.max));
  const scale = greatest > 0 ? BAR_WIDTH / greatest : 0;
  const hint = `${panel.figure.unit}, ${panel.figure.better} is better`;
  const foot = TITLE_HEIGHT + bars.length * ROW_HEIGHT;
  const axis = MARGIN + NAME_WIDTH;
  return [
    `<g transform="translate(${left} ${top})">`,
    `<text class="title" x="${MARGIN}" y="18">${escapeXml(panel.title)}</text>`,
    `<text class="faint" x="${MARGIN}" y="33">${escapeXml(hint)}</text>`,
    `<path d="M${axis} ${TITLE_HEIGHT}V${foot}" class="axis"/>`,
    ...bars.map((bar, i) => drawBar(bar, TITLE_HEIGHT + i * ROW_HEIGHT, scale)),
    '</g>',
  ].join('\n');
}

/**
 * Draws panels, two across. A panel without any value is left out.
 * @param description for those who do not see it
 * @returns an SVG document
 */
export function drawChart(panels: readonly Panel[], description: string): string {
  const drawn: string[] = [];
  const known = panels.map((panel) => ({ panel, bars: barsOf(panel) })).filter(({ bars }) => bars.length > 0);
  let top = MARGIN;
  for (let i = 0; i < known.length; i += PANELS_ACROSS) {
    const row = known.slice(i, i + PANELS_ACROSS);
    for (const [column, { panel, bars }] of row.entries())
      drawn.push(drawPanel(panel, bars, column * PANEL_WIDTH, top));
    top += Math.max(...row.map(({ bars }) => heightOf(bars)));
  }
  const width = PANELS_ACROSS * PANEL_WIDTH;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" viewBox="0 0 ${width} ${top}" role="img">
<title>${escapeXml(description)}</title>
<style>${STYLE}</style>
<rect class="paper" x="0.5" y="0.5" width="${width - 1}" height="${top - 1}" rx="6"/>
${drawn.join('\n')}
</svg>
`;
}
