import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const module = JSON.stringify(new URL('../../src/cli/compiler.js', import.meta.url).href);

test('compileSoon gives V8 no flag that it does not know', () => {
  const script = `(await import(${module})).compileSoon()`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stderr], [0, '']);
});
