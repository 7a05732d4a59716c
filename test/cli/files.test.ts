/**
 * `typetun files`, and what it installs: units that systemd takes, man pages without a complaint, and completions
 * as bash, zsh and fish themselves load and ask them.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SET_INTERFACE_WORDS, SET_PEER_WORDS, SHOW_FIELDS, SUBCOMMANDS } from '../../src/cli/wg/commands.js';
import { CI, which } from '../netns/environment.js';

const ROOT = resolve(import.meta.dirname, '../../..');
const TYPETUN = join(ROOT, 'bin/typetun');
const BASH_COMPLETION = '/usr/share/bash-completion/bash_completion';

/** Why a test cannot run here, or false; in CI a missing tool is a failure. */
function absent(...tools: readonly string[]): string | false {
  const missing = tools.filter((tool) => (tool.startsWith('/') ? !existsSync(tool) : which(tool) === undefined));
  if (missing.length > 0 && CI) throw new Error(`in CI, and not installed: ${missing.join(', ')}`);
  return missing.length > 0 && `not installed: ${missing.join(', ')}`;
}

const EXEC_OPTIONS = ['-L', '-R', '-D', '--http-proxy', '--proxy-auth', '--verbose', '--help'];

/** Of each command line, what may stand at its end. */
const COMPLETIONS: Readonly<Record<string, readonly string[]>> = {
  'typetun ': ['wg', 'wg-quick', 'exec', 'demo', 'files'],
  'typetun --v': ['--version'],
  'typetun wg ': [...SUBCOMMANDS.map(({ name }) => name), 'help'],
  'typetun wg show ': ['all', 'interfaces', '--json'],
  'typetun wg show x ': SHOW_FIELDS,
  'typetun wg set x ': SET_INTERFACE_WORDS,
  'typetun wg set x peer y ': [...SET_PEER_WORDS, 'remove'],
  'typetun wg set x peer y rem': ['remove'],
  'typetun wg-quick ': ['up', 'down', 'save', 'strip', 'help'],
  'typetun exec ': ['tunnel.conf'],
  'typetun exec -': EXEC_OPTIONS,
  'typetun exec --ht': ['--http-proxy'],
  'typetun exec -L 80:a:80 --http-proxy=[::1]:3128 tun': ['tunnel.conf'],
  'typetun exec --proxy-auth ': ['passwords', 'tunnel.conf'],
  'typetun exec -D 1080 tunnel.conf -- cat pass': ['passwords'],
  'typetun files ': ['install'],
};

describe('typetun files', () => {
  let prefix = '';
  let installed: readonly string[] = [];
  before(() => {
    prefix = mkdtempSync(join(tmpdir(), 'typetun-files-'));
    mkdirSync(join(prefix, 'here'));
    for (const name of ['tunnel.conf', 'passwords']) writeFileSync(join(prefix, 'here', name), '');
    installed = execFileSync(TYPETUN, ['files', 'install', prefix], { encoding: 'utf8' }).trimEnd().split('\n');
  });
  after(() => rmSync(prefix, { recursive: true }));

  it('prints where each file is', () => {
    const paths = execFileSync(TYPETUN, ['files'], { encoding: 'utf8' }).trimEnd().split('\n');
    const committed = ['man', 'systemd', 'completions'].flatMap((folder) =>
      readdirSync(join(ROOT, folder)).map((name) => join(ROOT, folder, name)),
    );
    assert.deepEqual([...paths].sort(), committed.sort());
  });

  it('installs each where it is looked for, readable by all', () => {
    const targets = installed.map((path) => path.slice(prefix.length + 1));
    for (const target of [
      'share/man/man8/typetun.8',
      'share/man/man8/typetun-wg.8',
      'share/man/man8/typetun-wg-quick.8',
      'lib/systemd/system/typetun-wg-quick@.service',
      'lib/systemd/system/typetun-wg-quick.target',
      'share/bash-completion/completions/typetun',
      'share/zsh/site-functions/_typetun',
      'share/fish/vendor_completions.d/typetun.fish',
    ]) {
      assert.ok(targets.includes(target), target);
    }
    for (const path of installed) assert.equal(statSync(path).mode & 0o777, 0o644, path);
    assert.match(
      readFileSync(join(prefix, 'lib/systemd/system/typetun-wg-quick@.service'), 'utf8'),
      new RegExp(`^ExecStart=${process.execPath} ${TYPETUN} wg-quick up %i$`, 'm'),
    );
  });

  it('says why it cannot, and what it can', () => {
    const run = (...args: string[]): ReturnType<typeof spawnSync> =>
      spawnSync(TYPETUN, ['files', ...args], { encoding: 'utf8', timeout: 20_000 });
    assert.equal(run('install', '/dev/null').status, 1);
    assert.match(String(run('install', '/dev/null').stderr), /^typetun files: (ENOTDIR|EEXIST)/);
    assert.match(String(run('install', '/proc/none').stderr), /^typetun files: ENOENT.*'\/proc\/none'/);
    assert.match(String(run('nonsense').stderr), /^Usage: typetun files/);
    assert.equal(run('install', 'a', 'b').status, 1);
    const gone = spawnSync('sh', ['-c', `${TYPETUN} files | true`], { encoding: 'utf8' });
    assert.equal(gone.stderr, '', 'nobody reads it');
    assert.equal(run('--help').status, 0);
  });

  it('has every man page in the package, and no complaint from man and mandoc', {
    skip: absent('man', 'mandoc'),
  }, () => {
    const { man } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { man: string[] };
    const pages = readdirSync(join(ROOT, 'man'));
    assert.deepEqual([...man].sort(), pages.map((name) => `./man/${name}`).sort());
    for (const page of pages) {
      const path = join(ROOT, 'man', page);
      const lint = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', path], { encoding: 'utf8' });
      assert.equal(lint.stdout + lint.stderr, '', page);
      const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '100' };
      const shown = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', path], { encoding: 'utf8', env });
      assert.equal(shown.stderr, '', page);
      assert.match(shown.stdout, /NAME[\s\S]*SYNOPSIS[\s\S]*SEE ALSO/);
    }
  });

  for (const place of ['installed', 'in the package']) {
    it(`has units that systemd takes, ${place}`, { skip: absent('systemd-analyze', 'man'), timeout: 60_000 }, () => {
      const units = place === 'installed' ? join(prefix, 'lib/systemd/system') : join(ROOT, 'systemd');
      const { status, stdout, stderr } = spawnSync(
        'systemd-analyze',
        ['verify', '--man=yes', 'typetun-wg-quick@wg0.service', 'typetun-wg-quick.target'],
        {
          encoding: 'utf8',
          env: { ...process.env, SYSTEMD_UNIT_PATH: `${units}:`, MANPATH: join(prefix, 'share/man') },
        },
      );
      assert.equal(stdout + stderr, '');
      assert.equal(status, 0);
    });
  }

  /** @param said what a shell answered @param expected words that have to be among it */
  function assertOffered(line: string, said: string, expected: readonly string[]): void {
    // Some shells offer the `=` behind an option as well.
    const words = new Set(said.split(/\s+/).map((word) => word.replace(/^(--.+)=$/, '$1')));
    for (const word of expected) assert.ok(words.has(word), `${line}: ${word} is not in: ${said}`);
    for (const word of ['genkey', 'strip', 'transfer', 'install']) {
      if (!expected.includes(word)) assert.ok(!words.has(word), `${line}: ${word} is in: ${said}`);
    }
  }

  it('completes in bash', { skip: absent('bash', BASH_COMPLETION), timeout: 60_000 }, () => {
    // As at a prompt: bash-completion finds the file by the command's name.
    const script = `. ${BASH_COMPLETION}; _completion_loader typetun; [ "$(complete -p typetun)" = 'complete -F _typetun typetun' ] || exit 9
      set -u
      for COMP_LINE in "$@"; do
        read -ra COMP_WORDS <<< "$COMP_LINE"; [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
        COMP_POINT=\${#COMP_LINE}; COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _typetun; printf '%s\\n' "\${COMPREPLY[*]}"
      done`;
    const { stdout, stderr, status } = spawnSync(
      'bash',
      ['--norc', '-c', script, 'bash', ...Object.keys(COMPLETIONS)],
      {
        encoding: 'utf8',
        cwd: join(prefix, 'here'),
        env: { ...process.env, BASH_COMPLETION_USER_DIR: join(prefix, 'share/bash-completion') },
      },
    );
    assert.equal(stderr, '');
    assert.equal(status, 0);
    const answers = stdout.split('\n');
    for (const [i, [line, expected]] of Object.entries(COMPLETIONS).entries())
      assertOffered(line, answers[i]!, expected);
  });

  it('completes in zsh', { skip: absent('zsh'), timeout: 60_000 }, () => {
    // A shell at a terminal of its own, that lists what Tab offers.
    const script = `zmodload zsh/zpty; zpty z zsh -f -i
      until_text() { local line; text=''; while zpty -r z line; do text+=$line; [[ $line == *$1* ]] && return; done }
      zpty -w z "PS1=$'NE\\x58T\\n'; stty -echo; unsetopt prompt_sp; fpath=(\${(q)DIRECTORY} \\$fpath); autoload -Uz compinit; compinit -u -D
        LISTMAX=1000; bindkey '^I' list-choices; print REA''DY"
      until_text READY
      for line in "$@"; do
        # At the prompt the terminal is the line editor's. Behind the list, the line is emptied and another one says that it is through.
        until_text NEXT; zpty -w z "$line"$'\\t\\C-u'"print EN''D"; until_text END
        print -r -- "=====$line"; print -r -- "\${text//$'\\e'\\[[0-9;?]#[a-zA-Z]/}"
      done; zpty -d z`;
    const { stdout, stderr } = spawnSync(
      'zsh',
      ['-f', '-o', 'extendedglob', '-c', script, 'zsh', ...Object.keys(COMPLETIONS)],
      {
        encoding: 'utf8',
        cwd: join(prefix, 'here'),
        timeout: 30_000,
        env: { ...process.env, TERM: 'xterm', COLUMNS: '200', DIRECTORY: join(prefix, 'share/zsh/site-functions') },
      },
    );
    assert.equal(stderr, '');
    const answers = stdout.split('=====').slice(1);
    assert.equal(answers.length, Object.keys(COMPLETIONS).length, stdout);
    for (const [i, [line, expected]] of Object.entries(COMPLETIONS).entries()) {
      // One that is alone is put in.
      const said = answers[i]!.replaceAll('\r', '\n').slice(line.length);
      assertOffered(line, said, expected);
    }
  });

  it('completes in fish', { skip: absent('fish'), timeout: 60_000 }, () => {
    const script =
      'source $argv[1]; for line in $argv[2..-1]; set -l words (complete -C $line | string split -f 1 \\t); echo $words; end';
    const file = join(prefix, 'share/fish/vendor_completions.d/typetun.fish');
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script, file, ...Object.keys(COMPLETIONS)], {
      encoding: 'utf8',
      cwd: join(prefix, 'here'),
    });
    assert.equal(stderr, '');
    const answers = stdout.split('\n');
    for (const [i, [line, expected]] of Object.entries(COMPLETIONS).entries())
      assertOffered(line, answers[i]!, expected);
  });
});
