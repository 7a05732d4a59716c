/** The package as others get it: packed, and installed into an empty project somewhere else. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const ROOT: string = resolve(import.meta.dirname, '../../..');

export interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in `cwd` as a user would from a shell, without what npm tells its scripts by the environment. */
export function run(cwd: string, program: string, ...args: string[]): Result {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_TEST)/i.test(name)));
  return spawnSync(program, args, { cwd, env, encoding: 'utf8', timeout: 300_000 });
}

/** As {@link run}. @throws Error with what it said, when it fails */
export function mustRun(cwd: string, program: string, ...args: string[]): string {
  const { status, stdout, stderr } = run(cwd, program, ...args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: status ${status}\n${stdout}${stderr}`);
  return stdout;
}

export function isOffline(stderr: string): boolean {
  return /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(stderr) && !process.env['CI'];
}

/** Packs the build that runs this test: building again here would change files under other tests. */
export function pack(folder: string): Packed {
  const text = mustRun(ROOT, 'npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder);
  return (JSON.parse(text) as Packed[])[0]!;
}

/** An empty project in a folder of its own. */
export class Project {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'typetun-project-'));

  constructor() {
    this.write('package.json', JSON.stringify({ name: 'project', private: true, type: 'module' }));
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  /** @returns whether it worked; it may fail where there is no registry, except in CI. @throws Error for other failures */
  install(...packages: string[]): boolean {
    const { status, stdout, stderr } = run(this.folder, 'npm', 'install', '--no-audit', '--no-fund', ...packages);
    if (status !== 0 && !isOffline(stderr)) throw new Error(`npm install ${packages.join(' ')}\n${stdout}${stderr}`);
    return status === 0;
  }

  /** Installs this package from its tarball, and others beside it. */
  installPackage(...others: string[]): boolean {
    const { filename } = pack(this.folder);
    return this.install(join(this.folder, filename), ...others);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
