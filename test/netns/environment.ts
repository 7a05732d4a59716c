/**
 * What namespace tests need from the machine: implementations, tools, the right to make namespaces.
 * What is missing is a failure in CI (`CI=true`), and elsewhere a skip that names it.
 */
import { type ExecFileSyncOptions, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync } from 'node:fs';
import { homedir, release } from 'node:os';
import { delimiter, join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

export type Implementation = 'typetun' | 'wireguard-go' | 'wireguard-go-newest';

/** Set in the environment of a test file that was started again inside namespaces of its own. */
const INSIDE = 'TYPETUN_TEST_IN_USER_NAMESPACE';
const TYPETUN = fileURLToPath(new URL('../../../bin/typetun', import.meta.url));

export const CI: boolean = process.env['CI'] === 'true';
export const FULL: boolean = process.env['TYPETUN_TEST_TIER'] === 'full';
/** Of a file that was started again, all its tests together; in the full tier as much as scripts/test.ts gives a file. */
const RERUN_TIMEOUT_MS = (FULL ? 120 : 20) * 60_000;

/** The path of a command, or undefined. The directories of administrators' tools are searched as well. */
export function which(tool: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return directories.map((directory) => join(directory, tool)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The words that start an implementation, before `-f NAME`; undefined when this machine does not have it. */
export function commandOf(implementation: Implementation): readonly string[] | undefined {
  // The same Node.js as this test's, whichever one comes first in PATH, with the flag that bin/typetun gives.
  if (implementation === 'typetun') return [process.execPath, '--max-semi-space-size=2', TYPETUN];
  if (implementation === 'wireguard-go') {
    const path = which('wireguard-go');
    return path === undefined ? undefined : [path];
  }
  const path = process.env['TYPETUN_WIREGUARD_GO_NEWEST'] ?? join(homedir(), 'go/bin/wireguard');
  return existsSync(path) ? [path] : undefined;
}

/**
 * Why a test cannot run here, or false.
 * @param tools commands the test starts, beyond ip, wg, ping and bash
 * @throws Error in CI, where everything has to be there (except the newest wireguard-go, which needs Go)
 */
export function missing(tools: readonly string[], implementations: readonly Implementation[] = []): string | false {
  const absent = ['bash', 'ip', 'wg', 'ping', ...tools].filter((tool) => which(tool) === undefined);
  for (const implementation of implementations) {
    if (commandOf(implementation) === undefined) absent.push(implementation);
  }
  if (absent.length === 0) return noNamespaces();
  const reason = `not installed: ${[...new Set(absent)].join(', ')}`;
  if (CI && absent.some((tool) => tool !== 'wireguard-go-newest')) throw new Error(`in CI, and ${reason}`);
  return reason;
}

/** An offload of the TUN as typetun names it where it has all that the kernel has: of UDP since Linux 6.2. */
export function tunOffload(name: 'tun-read' | 'tun-write'): string {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 2) ? name : `${name}(tcp)`;
}

let namespacesChecked: string | false | undefined;

/** Why no namespace can be made here, or false; tried once. */
function noNamespaces(): string | false {
  namespacesChecked ??= tryNamespaces();
  if (namespacesChecked !== false && CI) throw new Error(`in CI, and ${namespacesChecked}`);
  return namespacesChecked;
}

function tryNamespaces(): string | false {
  const name = `ttprobe-${process.pid}`;
  try {
    quietly('ip', ['netns', 'add', name]);
  } catch (error) {
    return `no network namespace can be made: ${messageOf(error)}`;
  }
  try {
    quietly('ip', ['-n', name, 'tuntap', 'add', 'dev', 'ttprobe', 'mode', 'tun']);
    return false;
  } catch (error) {
    return `no TUN device can be made: ${messageOf(error)}`;
  } finally {
    quietly('ip', ['netns', 'delete', name]);
  }
}

/**
 * Stock wg-quick takes the userspace program only where the kernel has no WireGuard of its own.
 * @returns why it does not here, or false
 */
export function kernelType(): string | false {
  const name = `wgprobe${process.pid % 10_000}`;
  try {
    quietly('ip', ['link', 'add', name, 'type', 'wireguard']);
  } catch {
    return false;
  }
  quietly('ip', ['link', 'delete', name]);
  return "this kernel has WireGuard: stock wg-quick makes the kernel's device and never starts typetun";
}

/**
 * Runs `register`, which registers a file's tests, where namespaces can be made: here as root; for an ordinary
 * user in the same file started again inside a user namespace; else registers one skipped test that says why.
 * @param file the test file: `import.meta.filename`
 */
export function withNamespaces(file: string, register: () => void): void {
  if (process.getuid?.() === 0) {
    register();
    return;
  }
  const reason = noUserNamespaces();
  if (reason !== false && CI) throw new Error(`in CI, and ${reason}`);
  it('in a user namespace, as this is not root', { skip: reason, timeout: RERUN_TIMEOUT_MS }, () => rerun(file));
}

/**
 * Runs `register` in a network and a mount namespace of the file's own, where `/run` is empty: for tests that want
 * `/var/run/wireguard` for themselves. Always in the file started again.
 */
export function withPrivateRun(file: string, register: () => void): void {
  if (process.env[INSIDE] !== undefined) {
    register();
    return;
  }
  const reason = process.getuid?.() === 0 ? false : noUserNamespaces();
  if (reason !== false && CI) throw new Error(`in CI, and ${reason}`);
  it('in namespaces of its own', { skip: reason, timeout: RERUN_TIMEOUT_MS }, () => rerun(file));
}

const OWN: readonly string[] = ['--net', '--mount'];
const UNSHARE: readonly string[] = process.getuid?.() === 0 ? OWN : ['--user', '--map-root-user', ...OWN];
// The names of namespaces and the UAPI sockets live under /run, which is not this user's: a private one covers it.
const PREPARE = 'mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/wireguard && ip link set lo up';

function noUserNamespaces(): string | false {
  if (process.env[INSIDE] !== undefined) return 'already inside a user namespace, and still not root';
  try {
    quietly('unshare', [...UNSHARE, 'sh', '-c', PREPARE]);
    return false;
  } catch (error) {
    return `this is not root, and a user namespace cannot be had: ${messageOf(error)}`;
  }
}

async function rerun(file: string): Promise<void> {
  const script = `${PREPARE} && exec "$@"`;
  const words = [...UNSHARE, '--kill-child', 'sh', '-c', script, 'sh', process.execPath, '--test-reporter=spec', file];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn('unshare', words, { env: { ...env, [INSIDE]: '1' }, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(`inside namespaces of its own ${file} ended with ${code ?? signal}: see its output`);
}

function quietly(command: string, words: readonly string[]): void {
  const options: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 };
  execFileSync(which(command) ?? command, words, options);
}

/** What a failed command said, on one line. */
function messageOf(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: Buffer };
  return (stderr?.toString().trim() || message).replaceAll('\n', '; ');
}
