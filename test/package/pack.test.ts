import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';

const ROOT = resolve(import.meta.dirname, '../../..');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

/** Runs a program in `cwd` as a user would from a shell, without what npm tells its scripts by the environment. */
function run(
  cwd: string,
  program: string,
  ...args: string[]
): { status: number | null; stdout: string; stderr: string } {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_TEST)/i.test(name)));
  return spawnSync(program, args, { cwd, env, encoding: 'utf8', timeout: 300_000 });
}

describe('packed tarball', { timeout: 600_000 }, () => {
  let folder = '';
  let packed: Packed;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'typetun-pack-'));
    // The build that runs this test is what is packed: building again here would change files under other tests.
    const pack = run(ROOT, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder);
    assert.equal(pack.status, 0, pack.stderr);
    packed = (JSON.parse(pack.stdout) as Packed[])[0]!;
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
      /^(bin\/|dist\/src\/.+(\.js|\.d\.ts|\.wasm)$|(README|CHANGELOG|SECURITY)\.md$|LICENSE$|package\.json$)/;
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
    if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(install.stderr) && !process.env.CI) {
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
