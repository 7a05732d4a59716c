import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { prune } from '../../scripts/prune.js';
import { countLines, type FunctionSize, functionSizes, type LineCount } from '../../scripts/size-report.js';
import { withSources } from '../../scripts/sources.js';

const SOURCE = `/** A docstring
 *
 * of four lines.
 */
export function one(): string {
  // a comment
  return 'http://not.a.comment'; // behind code

}
export const two = \`/* no
\${one(/* inside */)} // no
*/\`;
export const three = /\\/\\/[/*]/;
export class Four {
  get five(): number { return 5; }
}
`;

describe('size report', () => {
  let root = '';
  let lines: LineCount;
  let functions: FunctionSize[];
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'typetun-size-'));
    mkdirSync(join(root, 'src'));
    writeFileSync(join(root, 'tsconfig.json'), '{"include":["src"]}');
    writeFileSync(join(root, 'src/a.ts'), SOURCE);
    withSources(root, 'src', ([source]) => {
      lines = countLines(source!.ast);
      functions = functionSizes(source!.ast);
    });
  });
  after(() => rmSync(root, { recursive: true }));

  it('countLines tells code, comments and blank lines apart', () => {
    // The bare star of a docstring is a comment; the blank line in one() is blank.
    assert.deepEqual(lines, { code: 10, comment: 5, blank: 1 });
  });

  it('functionSizes counts from the signature, without the docstring', () => {
    assert.deepEqual(functions, [
      { name: 'one', lines: 5 },
      { name: 'five', lines: 1 },
    ]);
  });
});

describe('prune', () => {
  it('removes outputs without a source and keeps the others', () => {
    const root = mkdtempSync(join(tmpdir(), 'typetun-prune-'));
    try {
      for (const folder of ['test', 'dist/test']) mkdirSync(join(root, folder), { recursive: true });
      const kept = ['dist/test/kept.test.js', 'dist/test/kept.test.d.ts', 'dist/.tsbuildinfo', 'dist/test/data.json'];
      const stale = ['dist/test/gone.test.js', 'dist/test/gone.test.js.map', 'dist/test/gone.test.d.ts'];
      for (const path of ['test/kept.test.ts', ...kept, ...stale]) writeFileSync(join(root, path), '');
      assert.deepEqual(prune(root).sort(), ['test/gone.test.d.ts', 'test/gone.test.js', 'test/gone.test.js.map']);
      assert.deepEqual(
        kept.map((path) => existsSync(join(root, path))),
        kept.map(() => true),
      );
      assert.deepEqual(
        stale.map((path) => existsSync(join(root, path))),
        stale.map(() => false),
      );
      assert.deepEqual(prune(root), []);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
