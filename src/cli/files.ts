/** `typetun files`: the man pages, systemd units and completions of this package; where they are, or installed. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const DEFAULT_PREFIX = '/usr/local';

const USAGE = `Usage: typetun files
       typetun files install [DIRECTORY]

Prints where this package's man pages, systemd units and completions of bash, zsh and fish are; or copies them
below DIRECTORY (${DEFAULT_PREFIX}) to where these programs look for them. The units then name this very typetun,
wherever it is.
`;

interface PackageFile {
  /** Below the package. */
  readonly source: string;
  /** Below the prefix. */
  readonly target: string;
}

function packageFiles(): PackageFile[] {
  const inFolder = (folder: string, target: string): PackageFile[] =>
    readdirSync(join(ROOT, folder))
      .sort()
      .map((name) => ({ source: `${folder}/${name}`, target: `${target}/${name}` }));
  return [
    ...inFolder('man', 'share/man/man8'),
    ...inFolder('systemd', 'lib/systemd/system'),
    { source: 'completions/typetun.bash', target: 'share/bash-completion/completions/typetun' },
    { source: 'completions/typetun.zsh', target: 'share/zsh/site-functions/_typetun' },
    { source: 'completions/typetun.fish', target: 'share/fish/vendor_completions.d/typetun.fish' },
  ];
}

/** As systemd.syntax(7) and systemd.service(5) have words of a command line, within a shell's single quotes too. */
function unitWord(word: string): string {
  if (!/^[\w/.+@:-]+$/.test(word)) throw new Error(`${word} has characters that cannot stand in a unit file`);
  return word;
}

/** What a file is to be, where it is installed. */
function contents(source: string): string {
  const text = readFileSync(join(ROOT, source), 'utf8');
  if (!source.endsWith('.service')) return text;
  const command = `${unitWord(process.execPath)} ${unitWord(join(ROOT, 'bin/typetun'))}`;
  return text.replaceAll('/usr/bin/env typetun', command);
}

/** As `mkdir -p`. Node.js's own never ends where the system says ENOENT of a folder whose parent is there, as /proc does. */
function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })) return;
  makeFolder(dirname(path));
  mkdirSync(path);
}

function install(prefix: string): void {
  for (const { source, target } of packageFiles()) {
    const path = join(prefix, target);
    makeFolder(dirname(path));
    // Whoever reads it now has the old one or the new one, whole.
    const next = `${path}.new`;
    writeFileSync(next, contents(source));
    chmodSync(next, 0o644);
    renameSync(next, path);
    process.stdout.write(`${path}\n`);
  }
}

/** @param args the words behind `files` @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const [verb, prefix = DEFAULT_PREFIX, ...more] = args;
  // Whoever reads the list may go away (`| head`): the work is done all the same.
  process.stdout.on('error', () => {});
  if (verb === undefined) {
    for (const { source } of packageFiles()) process.stdout.write(`${join(ROOT, source)}\n`);
    return 0;
  }
  if (verb !== 'install' || more.length > 0) {
    const asked = verb === '--help' || verb === '-h';
    process[asked ? 'stdout' : 'stderr'].write(USAGE);
    return asked ? 0 : 1;
  }
  try {
    install(resolve(prefix));
    return 0;
  } catch (error) {
    process.stderr.write(`typetun files: ${(error as Error).message}\n`);
    return 1;
  }
}
