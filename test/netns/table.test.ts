import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { GROUPS } from './scenarios/index.js';
import { table } from './table.js';

const SOURCES = join(import.meta.dirname, '../../../test/netns');
const FILE = join(SOURCES, 'SCENARIOS.md');
/** The acceptance list's numbers. */
const NUMBERS = Array.from({ length: 37 }, (_, i) => i + 1);

if (process.argv.includes('--write')) writeFileSync(FILE, table(GROUPS));

it('the committed table SCENARIOS.md is that of the registered tests', () => {
  assert.equal(readFileSync(FILE, 'utf8'), table(GROUPS));
});

it('every number of the acceptance list has a scenario', () => {
  const covered = new Set(Object.values(GROUPS).flatMap((scenarios) => scenarios.flatMap(({ numbers }) => numbers)));
  assert.deepEqual(
    [...covered].sort((a, b) => a - b),
    NUMBERS,
  );
});

it('each group of scenarios is registered by the test file of its name, and titles are unlike each other', () => {
  const files = readdirSync(SOURCES).filter((file) => file.endsWith('.test.ts'));
  const registering = files.filter((file) =>
    /^withNamespaces\(.*=> register\(/m.test(readFileSync(join(SOURCES, file), 'utf8')),
  );
  assert.deepEqual(
    registering.sort(),
    Object.keys(GROUPS)
      .map((group) => `${group}.test.ts`)
      .sort(),
  );
  for (const group of Object.keys(GROUPS)) {
    const source = readFileSync(join(SOURCES, `${group}.test.ts`), 'utf8');
    assert.ok(source.includes(`register(${group.toUpperCase()})`), `${group}.test.ts registers its own group`);
  }
  const titles = Object.values(GROUPS).flatMap((scenarios) => scenarios.map(({ title }) => title));
  assert.equal(new Set(titles).size, titles.length);
});
