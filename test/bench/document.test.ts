import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { drawChart } from '../../bench/chart.js';
import { chartOf, measuredPart, publish, withMeasuredPart } from '../../bench/document.js';
import { groupTable, markdownTable, number } from '../../bench/markdown.js';
import { parseOptions } from '../../bench/options.js';
import { type Figure, type Group, type Results, Table } from '../../bench/results.js';
import { judge } from '../../bench/targets.js';
import { pingTimesUs } from '../../bench/traffic.js';

const COLUMNS = [
  { id: 'typetun', title: 'typetun', version: '1.2.3' },
  { id: 'wireguard-go', title: 'wireguard-go <newest>' },
];

function figure(
  id: string,
  better: 'more' | 'less',
  own: readonly (number | null)[],
  other: readonly number[],
): Figure {
  return {
    subject: 'tcp',
    id,
    title: `Figure ${id}`,
    unit: 'Gbit/s',
    better,
    values: { typetun: own, 'wireguard-go': other },
  };
}

function results(...figures: readonly Figure[]): Results {
  const groups: Group[] = [{ id: 'g', title: 'Group', columns: COLUMNS, baseline: 'wireguard-go', figures }];
  return {
    ...{ format: 1, command: 'npm run bench', version: '1.2.3', started: '2026-01-02T03:04:05.678Z', durationS: 9 },
    machine: {
      ...{ processor: 'P', processors: 2, memoryMib: 1, kernel: '6.1', system: 'S', node: 'v1', openssl: '3' },
      iperf3: '3.12',
    },
    groups,
    missing: ['boringtun: not installed'],
  };
}

describe('number', () => {
  it('shows three digits that count', () => {
    const cases: readonly (readonly [number, string])[] = [
      ...([
        [4.4149, '4.41'],
        [4, '4.00'],
        [101.4, '101'],
        [12345, '12,300'],
        [0, '0'],
      ] as const),
      ...([
        [0.4567, '0.457'],
        [0.0253, '0.0253'],
        [-20.54, '-20.5'],
        [999.6, '1,000'],
      ] as const),
    ];
    for (const [value, text] of cases) assert.equal(number(value), text);
  });
});

describe('markdownTable', () => {
  it('pads its columns and escapes bars', () => {
    const table = markdownTable(
      ['', 'x'],
      [
        ['a|b', '1'],
        ['c', '20,000'],
      ],
    );
    assert.deepEqual(table.split('\n'), [
      '|      |      x |',
      '| ---- | -----: |',
      '| a\\|b |      1 |',
      '| c    | 20,000 |',
    ]);
  });
});

describe('groupTable', () => {
  it('holds median, spread and ratio, and marks what should be small', () => {
    const table = groupTable(
      results(figure('tcp1', 'more', [3, 4, null], [2, 2, 4]), figure('cpu', 'less', [1], [4])).groups[0]!,
    );
    assert.match(table, /Figure tcp1, Gbit\/s +\| +3\.50 \(3\.00–4\.00\) ×1\.75 \| +2\.00 \(2\.00–4\.00\) \|/);
    assert.match(table, /Figure cpu, Gbit\/s ↓ +\| +1\.00 ×0\.25 \| +4\.00 \|/);
  });

  it('leaves a cell empty where nothing was measured', () => {
    assert.match(
      groupTable(results(figure('tcp1', 'more', [null], [2])).groups[0]!),
      /Figure tcp1, Gbit\/s \| +\| +2\.00 \|/,
    );
  });
});

describe('Table', () => {
  it('keeps a round that failed as null, and drops figures without any value', () => {
    const table = new Table(3);
    table.figure('tcp', 'a', 'A', 's', 'less');
    table.figure('tcp', 'b', 'B', 's', 'less');
    table.put('a', 'x', 2, 5);
    table.put('a', 'x', 0, Number.NaN);
    assert.deepEqual(
      table.figures().map(({ id, values }) => [id, values]),
      [['a', { x: [null, null, 5] }]],
    );
    assert.throws(() => table.put('c', 'x', 0, 1));
    assert.throws(() => table.put('a', 'x', 3, 1));
  });
});

describe('judge', () => {
  const verdictOf = (own: number, other = 1): string | undefined =>
    judge(results(figure('udp64', 'more', [own], [other])))[0]?.at(-1);

  it('tells missed, reached and beyond apart', () => {
    assert.equal(verdictOf(2.9), 'missed');
    assert.equal(verdictOf(3), 'reached');
    assert.equal(verdictOf(3.5), 'beyond');
  });

  it('takes the worse of two directions', () => {
    const [verdict] = judge(
      results(figure('tcp1', 'more', [9, 9], [3, 3]), figure('tcp1-reverse', 'more', [2, 4], [4, 2])),
    );
    assert.deepEqual(verdict?.slice(1), ['1.00', '0.500–2.00', '≥ 1.40', '≥ 2.00', 'missed']);
  });

  it('holds streams without root against the interface of root', () => {
    const values = { host: [2, 4], exec: [2, 3], connect: [1, 3] };
    const [exec, connect] = judge(results({ ...figure('rootless', 'more', [], []), values }));
    assert.deepEqual(exec?.slice(1), ['0.833', '0.750–1.00', '≥ 0.800', '', 'reached']);
    assert.deepEqual(connect?.slice(1), ['0.667', '0.500–0.750', '≥ 0.800', '', 'missed']);
  });

  it('wants small what should be small', () => {
    assert.equal(judge(results(figure('ping5-mean', 'less', [30], [100])))[0]?.at(-1), 'beyond');
    assert.equal(judge(results(figure('ping5-mean', 'less', [60], [100])))[0]?.at(-1), 'missed');
  });

  it('says nothing of what was not measured', () => assert.deepEqual(judge(results()), []));
});

describe('drawChart', () => {
  const panel = { title: 'A & B', figure: figure('tcp1', 'more', [4, 5, 6], [2, 2, 2]), columns: COLUMNS };

  it('draws a bar for each column, as long as its median', () => {
    const svg = drawChart([panel], 'what it shows');
    const widths = [...svg.matchAll(/<rect x="\d+" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
    assert.equal(widths.length, 2);
    assert.ok(Math.abs(widths[0]! / widths[1]! - 2.5) < 0.01, `${widths}`);
  });

  it('escapes words, brings both colour schemes, and is one element', () => {
    const svg = drawChart([panel], 'x < y');
    assert.ok(svg.includes('A &amp; B') && svg.includes('wireguard-go &lt;newest&gt;') && svg.includes('x &lt; y'));
    assert.ok(svg.includes('prefers-color-scheme: dark'));
    assert.match(svg, /^<svg [^>]*>[\s\S]*<\/svg>\n$/);
    assert.equal(svg.match(/<g /g)?.length, svg.match(/<\/g>/g)?.length);
  });

  it('leaves out a column and a panel without values', () => {
    const empty = { title: 'Empty', figure: figure('x', 'more', [null], []), columns: COLUMNS };
    const half = { ...panel, figure: figure('y', 'more', [null], [3]) };
    const svg = drawChart([empty, half], '');
    assert.ok(!svg.includes('Empty'));
    assert.equal(svg.match(/class="other"/g)?.length, 1);
    assert.equal(svg.match(/class="own"/g), null);
  });
});

describe('document', () => {
  const run = results(figure('tcp1', 'more', [4], [2]));

  it('holds the command, the machine, the versions, the figures and what is missing', () => {
    const part = measuredPart(run);
    for (const text of [
      '`npm run bench`',
      '2026-01-02 03:04 UTC',
      'Linux 6.1',
      'typetun: 1.2.3',
      '×2.00',
      'boringtun: not installed',
    ]) {
      assert.ok(part.includes(text), text);
    }
    assert.ok(part.includes('](performance.svg)'));
    assert.ok(chartOf(run).includes('TCP, 1 stream'));
  });

  it('replaces what an earlier run wrote, and nothing else', () => {
    const document = readFileSync(resolve(import.meta.dirname, '../../../docs/performance.md'), 'utf8');
    const once = withMeasuredPart(document, 'RUN ONE');
    const twice = withMeasuredPart(once, 'RUN TWO');
    assert.ok(once.includes('RUN ONE') && twice.includes('RUN TWO') && !twice.includes('RUN ONE'));
    assert.equal(twice.replace('RUN TWO', 'RUN ONE'), once);
    assert.throws(() => withMeasuredPart('no place', 'x'), /performance\.md lacks/);
  });

  it('is written with its chart and its figures', () => {
    const docs = mkdtempSync(join(tmpdir(), 'typetun-bench-'));
    try {
      assert.throws(() => publish(run, docs), /ENOENT/);
      writeFileSync(
        join(docs, 'performance.md'),
        readFileSync(resolve(import.meta.dirname, '../../../docs/performance.md')),
      );
      publish(run, docs);
      assert.deepEqual(JSON.parse(readFileSync(join(docs, 'performance.json'), 'utf8')), run);
      assert.ok(readFileSync(join(docs, 'performance.svg'), 'utf8').startsWith('<svg'));
      assert.ok(readFileSync(join(docs, 'performance.md'), 'utf8').includes('boringtun: not installed'));
    } finally {
      rmSync(docs, { recursive: true });
    }
  });
});

describe('parseOptions', () => {
  it('takes everything, three rounds, and short runs when quick', () => {
    const [usual, quick] = [parseOptions([]), parseOptions(['--quick'])];
    assert.equal(usual?.rounds, 3);
    assert.ok(usual?.subjects.has('tcp') && usual.subjects.has('aead') && usual.contestants.includes('boringtun'));
    assert.ok(usual.subjects.has('tail') && !quick?.subjects.has('tail') && usual.seconds > quick!.seconds);
    assert.ok(!quick?.contestants.includes('boringtun'));
  });

  it('refuses unknown words and numbers, naming them', () => {
    for (const [args, message] of [
      [['--only', 'tcp,sctp'], /"sctp" is none of tcp/],
      [['--with', 'openvpn'], /"openvpn" is none of typetun/],
      [['--rounds', '0'], /"0" is no number/],
      [['--seconds', '1.5'], /"1\.5" is no number/],
      [['--fast'], /fast/],
      [['tcp'], /tcp/],
    ] as const) {
      assert.throws(() => parseOptions(args), message);
    }
  });

  it('is undefined for --help', () => assert.equal(parseOptions(['-h']), undefined));
});

describe('pingTimesUs', () => {
  it('takes the times of the answers and nothing else', () => {
    const output = `PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.
64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.312 ms
64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=12 ms

--- 10.0.0.1 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 400ms
rtt min/avg/max/mdev = 0.312/6.156/12.000/5.844 ms
`;
    assert.deepEqual(pingTimesUs(output), [312, 12_000]);
  });
});
