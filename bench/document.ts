/** Puts a run into docs/: the figures as JSON, the chart, and the measured part of performance.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawChart, type Panel } from './chart.js';
import { baselineOf, groupTable, markdownTable } from './markdown.js';
import type { Group, Results } from './results.js';
import { judge, TARGET_HEADER } from './targets.js';

/** What stands between these lines is written by the bench, the rest of the document by people. */
const BEGIN = '<!-- Written by `npm run bench -- --publish`: from here -->';
const END = '<!-- to here -->';

/** The figures that the chart shows, with what it calls them. */
const CHARTED: readonly (readonly [string, string])[] = [
  ['tcp1', 'TCP, 1 stream'],
  ['tcp4', 'TCP, 4 streams'],
  ['udp64', 'UDP, 64-byte datagrams received'],
  ['udp1300', 'UDP, 1300-byte datagrams received'],
  ['ping5-mean', 'Round trip, a ping every 5 ms, mean'],
  ['cpu', 'Processor time for 1 Gbit of TCP, both daemons'],
];
/** Not an implementation that one could run. */
const UNCHARTED: readonly string[] = ['ceiling'];

export function chartOf({ groups }: Results): string {
  const panels: Panel[] = [];
  for (const [id, title] of CHARTED) {
    for (const { figures, columns } of groups) {
      const figure = figures.find((one) => one.id === id);
      if (figure) panels.push({ title, figure, columns: columns.filter((column) => !UNCHARTED.includes(column.id)) });
    }
  }
  return drawChart(panels, 'typetun beside other userspace implementations of WireGuard, in one run on one machine');
}

function machineLines({ machine, command, version, started, durationS }: Results): string {
  const rows = [
    ['command', `\`${command}\``],
    ['date', `${started.slice(0, 16).replace('T', ' ')} UTC, ${durationS} s`],
    ['typetun', version],
    ['processor', `${machine.processor}, ${machine.processors} cores for everything`],
    ['memory', `${machine.memoryMib} MiB`],
    ['system', `${machine.system}, Linux ${machine.kernel}`],
    ['Node.js', `${machine.node}, with OpenSSL ${machine.openssl}`],
    ['iperf3', machine.iperf3],
  ];
  return rows.map(([name, value]) => `- ${name}: ${value}`).join('\n');
}

function groupSection(group: Group): string {
  const versions = group.columns.filter(({ version }) => version !== undefined);
  const told = versions.map(({ title, version }) => `${title}: ${version}`).join('; ');
  return [`### ${group.title}`, groupTable(group), [baselineOf(group), told && `${told}.`].filter(Boolean).join(' ')]
    .filter(Boolean)
    .join('\n\n');
}

/** The part of the document that the bench writes. */
export function measuredPart(results: Results): string {
  const verdicts = judge(results);
  const { missing } = results;
  return [
    '## The run',
    machineLines(results),
    '![Bars: throughput, latency and processor time by implementation](performance.svg)',
    ...(verdicts.length > 0 ? ['## Targets', markdownTable(TARGET_HEADER, verdicts)] : []),
    '## Figures',
    'A cell holds the median of the rounds, the least and the greatest of them, and the ratio of the medians; ↓: less is better.',
    ...results.groups.map(groupSection),
    ...(missing.length > 0 ? ['## Not measured', missing.map((reason) => `- ${reason}`).join('\n')] : []),
  ].join('\n\n');
}

/** @throws Error when the document has no place for the figures */
export function withMeasuredPart(document: string, part: string): string {
  const [from, to] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`performance.md lacks the lines "${BEGIN}" and "${END}"`);
  return `${document.slice(0, from)}${BEGIN}\n\n${part}\n\n${document.slice(to)}`;
}

/** @param docs the folder @throws Error when performance.md is not there, or has no place for the figures */
export function publish(results: Results, docs: string): void {
  const path = join(docs, 'performance.md');
  const document = withMeasuredPart(readFileSync(path, 'utf8'), measuredPart(results));
  writeFileSync(path, document);
  writeFileSync(join(docs, 'performance.svg'), chartOf(results));
  writeFileSync(join(docs, 'performance.json'), `${JSON.stringify(results, null, 1)}\n`);
}
