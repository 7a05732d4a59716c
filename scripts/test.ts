/**
 * Runs the compiled tests: `node dist/scripts/test.js [folder or part of a file name ...] [--test-name-pattern=...]`.
 *
 * Node.js 20 takes folders and no patterns, later versions patterns and no folders, so the files are listed here.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';

const FULL = process.env.TYPETUN_TEST_TIER === 'full';
/** Of one file, all its tests together; a test that can hang has a shorter limit of its own. */
const FILE_TIMEOUT_MS = (FULL ? 120 : 10) * 60_000;

const root = resolve(import.meta.dirname, '../..');
const words = process.argv.slice(2);
const wanted = words.filter((word) => !word.startsWith('--'));
const files = readdirSync(join(root, 'dist/test'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
  .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part.replace(/\.ts$/, '.js'))))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`);
  process.exit(1);
}

// Namespace tests mostly wait (a rekey timer, a ping interval) while the simulator computes: two at once at least.
const concurrency = process.env.TYPETUN_TEST_CONCURRENCY ?? `${Math.max(2, availableParallelism())}`;
const flags = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`];
const own = words.filter((word) => word.startsWith('--'));
const child = spawn(process.execPath, [...flags, `--test-timeout=${FILE_TIMEOUT_MS}`, ...own, ...files], {
  cwd: root,
  stdio: 'inherit',
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
