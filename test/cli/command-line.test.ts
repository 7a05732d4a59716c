import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { USAGE } from '../../src/cli/messages.js';
import { type Result, Running, TYPETUN } from './daemons.js';

const typetun = (args: readonly string[], environment: NodeJS.ProcessEnv = {}, command = TYPETUN): Promise<Result> =>
  new Running(command, args, { env: { ...process.env, ...environment }, cwd: '/' }).result;

test('typetun --help prints how it is used', async () => {
  for (const args of [['--help'], ['-h'], ['-f', '--help', 'wg0']]) {
    const { code, stdout, stderr } = await typetun(args);
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: USAGE, stderr: '' });
  }
});

test('typetun --version names version, cipher back end, offloads and Node.js', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  for (const [wanted, named] of [
    ['noble', 'noble'],
    ['evp', `evp (OpenSSL ${process.versions['openssl']})`],
  ] as const) {
    const { code, stdout } = await typetun(['--version', '--offload=none,tun-read'], { TYPETUN_AEAD: wanted });
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `typetun ${version}\nAEAD: ${named}\nOffloads: tun-read\nNode.js: ${process.version} ${process.arch}\n`,
    );
  }
  const refused = await typetun(['--version'], { TYPETUN_AEAD: 'rot13' });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^typetun: TYPETUN_AEAD=rot13/);
  const unknown = await typetun(['--version'], { TYPETUN_OFFLOAD: '-udp-gso,-tso' });
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^typetun: "-tso" is no offload; choose from all, none, tun-read/);
});

test('typetun refuses what it does not understand, in one line and with status 1', async () => {
  const rows: readonly [readonly string[], string][] = [
    [[], 'expected one interface name. See typetun --help'],
    [['wg0', 'wg1'], 'expected one interface name. See typetun --help'],
    [['-f'], 'expected one interface name. See typetun --help'],
    [['--bogus'], "Unknown option '--bogus'. See typetun --help"],
    [['-x', 'wg0'], "Unknown option '-x'. See typetun --help"],
    [['--version=1'], "Option '--version' does not take an argument. See typetun --help"],
    [['a/b'], '"a/b" is not an interface name: 1 to 15 of a-z A-Z 0-9 _ = + . -'],
    [['..'], '".." is not an interface name: 1 to 15 of a-z A-Z 0-9 _ = + . -'],
    [['sixteen-letters-'], '"sixteen-letters-" is not an interface name: 1 to 15 of a-z A-Z 0-9 _ = + . -'],
    [['\x1b[31m'], '"\\u001b[31m" is not an interface name: 1 to 15 of a-z A-Z 0-9 _ = + . -'],
  ];
  for (const [args, text] of rows) {
    const { code, stdout, stderr } = await typetun(args);
    assert.deepEqual({ code, stdout, stderr }, { code: 1, stdout: '', stderr: `typetun: ${text}\n` });
  }
});

test('typetun: the first word is a command, unless -- stands before it', async () => {
  const command = await typetun(['demo', '--mode=none']);
  assert.deepEqual([command.code, command.stderr], [1, 'typetun demo: --mode is root, user or loopback\n']);
  const name = await typetun(['--', 'demo', 'demo']);
  assert.deepEqual([name.code, name.stderr], [1, 'typetun: expected one interface name. See typetun --help\n']);
});

test('bin/typetun works through symlinks, and says so when it is not built', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-bin-'));
  t.after(() => rmSync(directory, { recursive: true }));
  symlinkSync(TYPETUN, join(directory, 'first'));
  symlinkSync(join(directory, 'first'), join(directory, 'second'));
  assert.equal((await typetun(['--help'], {}, join(directory, 'second'))).stdout, USAGE);

  mkdirSync(join(directory, 'bin'));
  cpSync(TYPETUN, join(directory, 'bin/typetun'));
  cpSync(join(TYPETUN, '../../package.json'), join(directory, 'package.json'));
  const { code, stderr } = await typetun(['--help'], {}, join(directory, 'bin/typetun'));
  assert.equal(code, 1);
  assert.match(stderr, /^typetun: this checkout is not built yet: run .*npm run build.*\n$/);
});
