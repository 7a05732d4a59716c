/** The table of scenarios and pairs, as SCENARIOS.md has it. */
import { CONTROL, PAIRS, type PairName, type Scenario, skipReason } from './scenario.js';

const HEAD = `# Namespace scenarios

What a tunnel must survive in real network namespaces, by the numbers of the acceptance list, against each pair of
implementations: the first one runs device *a*, the second one device *b*. Made from the tests' own data: after a
change run \`npm run build && node dist/test/netns/table.test.js --write\`.

- \`typetun/wireguard-go\` uses the newest release of wireguard-go where it is installed, \`wireguard-go/typetun\` the
  distribution's; a letter behind "run" names the one release that both use instead, and why.
- \`${CONTROL}\` tests the scenarios themselves: it runs in the full tier (\`npm run test:full\`), or by
  \`TYPETUN_TEST_PAIRS=${CONTROL}\`. What is left out elsewhere because of wireguard-go has to fail there.
`;

export function table(groups: Readonly<Record<string, readonly Scenario[]>>): string {
  const rows = Object.entries(groups).flatMap(([group, scenarios]) =>
    scenarios.map((scenario) => ({ group, scenario })),
  );
  rows.sort((one, other) => one.scenario.numbers[0]! - other.scenario.numbers[0]!);
  const notes: string[] = [];
  const noted = (word: string, note: string): string => {
    if (!notes.includes(note)) notes.push(note);
    return `${word} ${letter(notes.indexOf(note))}`;
  };
  const cell = (scenario: Scenario, pair: PairName): string => {
    const reason = skipReason(scenario, pair);
    if (reason !== undefined) return noted('skip', reason);
    const { release } = scenario;
    if (release === undefined || !pair.includes('wireguard-go')) return 'run';
    return noted('run', `${release.only} on each side that is not typetun: ${release.because}`);
  };
  const lines = rows.map(({ group, scenario }) => {
    const cells = PAIRS.map((pair) => cell(scenario, pair));
    return `| ${[scenario.numbers.join(', '), scenario.title, `${group}.test.ts`, ...cells].join(' | ')} |`;
  });
  const head = `| no. | scenario | file | ${PAIRS.join(' | ')} |\n|---|---|---|${'---|'.repeat(PAIRS.length)}`;
  const legend = notes.map((note, i) => `- ${letter(i)}: ${note}`);
  return `${HEAD}\n${head}\n${lines.join('\n')}\n\n${legend.join('\n')}\n`;
}

function letter(index: number): string {
  return String.fromCharCode('a'.charCodeAt(0) + index);
}
