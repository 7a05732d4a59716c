import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isOffline, type Packed, pack, ROOT, run } from './project.js';

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

describe('packed tarball', { timeout: 600_000 }, () => {
  let folder = '';
  let packed: Packed;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'typetun-pack-'));
    packed = pack(folder);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('holds the program and its papers', () => {
    const paths = packed.files.map((file) => file.path);
    const expected = ['bin/typetun', 'dist/src/cli/main.js', 'package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'];
    assert.deepEqual(
      expected.filter((path) => !paths.includes(path)),
      [],
    );
    assert.equal(packed.files.find((file) => file.path === 'bin/typetun')!.mode & 0o111, 0o111);
  });

  it('holds nothing else', () => {
    const known =
      /^(bin\/|(man|systemd|completions)\/typetun[^/]*$|dist\/src\/.+(\.js|\.d\.ts|\.wasm)$|(README|CHANGELOG|SECURITY)\.md$|LICENSE$|package\.json$)/;
    assert.deepEqual(
      packed.files.map((file) => file.path).filter((path) => !known.test(path)),
      [],
    );
  });

  it('holds every compiled source', () => {
    const sources = run(ROOT, 'git', 'ls-files', 'src/*.ts').stdout.split('\n').filter(Boolean);
    assert.ok(sources.length > 0 || !existsSync(join(ROOT, '.git')));
    const paths = new Set(packed.files.map((file) => file.path));
    const missing = sources.map((path) => `dist/${path.replace(/\.ts$/, '.js')}`).filter((path) => !paths.has(path));
    assert.deepEqual(missing, []);
  });

  it('installs globally, and `typetun --version` names the version and the back end', (context) => {
    const prefix = join(folder, 'prefix');
    const tarball = join(folder, packed.filename);
    const install = run(folder, 'npm', 'install', '-g', '--no-audit', '--no-fund', '--prefix', prefix, tarball);
    if (isOffline(install.stderr)) {
      context.skip('the package registry cannot be reached');
      return;
    }
    assert.equal(install.status, 0, install.stderr);
    // From a folder outside the checkout, so that nothing but the installed tree can answer.
    const typetun = run('/', join(prefix, 'bin/typetun'), '--version');
    assert.equal(typetun.status, 0, typetun.stderr);
    assert.ok(typetun.stdout.includes(version), typetun.stdout);
    assert.match(typetun.stdout, /primitives|evp|noble/i);
  });
});
