/** Nothing in the package can switch the cipher off: the one that does nothing is the bench's alone. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chooseBackend } from '../../src/crypto/index.js';

const ROOT = resolve(import.meta.dirname, '../../..');
const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { exports: Record<string, string> };
const entries = Object.values(exports).filter((path) => path.endsWith('.js'));

/** What is packed, as text: every compiled source. */
const packed: ReadonlyMap<string, string> = new Map(
  readdirSync(join(ROOT, 'dist/src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.js'))
    .map((path) => [path, readFileSync(join(ROOT, 'dist/src', path), 'utf8')]),
);

/** The declarations that a user of an entry can see, by following its imports. */
function declarations(entry: string, seen = new Map<string, string>()): ReadonlyMap<string, string> {
  const path = entry.replace(/\.js$/, '.d.ts');
  if (seen.has(path)) return seen;
  const text = readFileSync(path, 'utf8');
  seen.set(path, text);
  for (const [, specifier] of text.matchAll(/(?:from|import\() ?['"](\.[^'"]+)['"]/g)) {
    declarations(join(dirname(path), specifier!), seen);
  }
  return seen;
}

const filesWith = (text: RegExp): string[] => [...packed].filter(([, code]) => text.test(code)).map(([path]) => path);

describe('the cipher', () => {
  it('has no packed entry but the one of src/crypto', () => {
    // The data plane takes its cipher from the worker's entry, of which there is one.
    assert.deepEqual(filesWith(/\bserve\(\(/), ['engine/worker.js']);
    const worker = packed.get('engine/worker.js')!;
    const imported = [...worker.matchAll(/from '([^']+)'/g)].map(([, from]) => from);
    assert.deepEqual(imported, ['../crypto/index.js', './serve.js']);
    assert.match(worker, /^serve\(\(arena, \{ aead \}(?:, \w+)*\) => createCrypto\(arena, aead(?:, \w+)*\)\);$/m);
    assert.deepEqual(filesWith(/new Worker\(/), ['engine/index.js']);
    assert.deepEqual(filesWith(/ceiling/i), []);
  });

  it('is asked for by one variable, which names what exists', () => {
    const names = new Set([...packed.values()].flatMap((code) => code.match(/\bTYPETUN_(?!OFFLOAD\b)[A-Z_]+/g) ?? []));
    assert.deepEqual(
      [...names].filter((name) => /AEAD|CIPHER|CRYPT|PLAIN|NULL/.test(name)),
      ['TYPETUN_AEAD'],
    );
    for (const name of [
      'none',
      'null',
      'off',
      '0',
      'false',
      'no',
      'plain',
      'identity',
      'ceiling',
      '-primitives',
      ' ',
    ]) {
      assert.throws(() => chooseBackend({ TYPETUN_AEAD: name }), { code: 'ERR_AEAD_UNKNOWN' }, name);
    }
  });

  it('cannot be handed to anything that the package exports', async () => {
    assert.ok(entries.length > 0);
    for (const entry of entries) {
      const path = join(ROOT, entry);
      const names = Object.keys((await import(pathToFileURL(path).href)) as object);
      assert.deepEqual(
        names.filter((name) => /cipher|suite|crypto|aead|worker|serve|engine|plane/i.test(name)),
        [],
        entry,
      );
      for (const [file, text] of declarations(path)) {
        // The core declares these types; what counts is who asks a caller for them.
        if (file.startsWith(join(ROOT, 'dist/src/core/'))) continue;
        assert.doesNotMatch(text, /\b(BatchCipher|MakeCrypto|createCrypto)\b|: Suite\b/, relative(ROOT, file));
      }
    }
  });
});
