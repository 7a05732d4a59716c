/** On what a run was made, and of what. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Machine } from './results.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function output(command: string, ...words: readonly string[]): string {
  const { stdout, status } = spawnSync(command, words, { cwd: ROOT, encoding: 'utf8', timeout: 10_000 });
  return status === 0 ? stdout.trim() : '';
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}

export function describeMachine(): Machine {
  const iperf = /iperf ([\d.]+)/.exec(output('iperf3', '--version'))?.[1];
  return {
    processor: cpus()[0]?.model.trim() ?? process.arch,
    processors: availableParallelism(),
    memoryMib: Math.round(totalmem() / (1 << 20)),
    kernel: release(),
    system: systemName(),
    node: process.version,
    openssl: process.versions.openssl,
    iperf3: iperf ?? 'none',
  };
}

/** typetun's version, with the commit in a checkout that has one: `0.1.0 (d7d93a3)`. */
export function describeVersion(): string {
  const { version } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as { version: string };
  const commit = output('git', 'describe', '--always', '--dirty', '--exclude=*');
  return commit === '' ? version : `${version} (${commit})`;
}
