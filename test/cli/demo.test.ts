/** `npm run demo` in each of its three surroundings; whatever it is, nothing is left behind. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missing } from '../netns/environment.js';
import { type Exit, Job } from '../netns/job.js';
import { asUser, INSIDE, noUser } from '../rootless/user.js';

const ROOT = resolve(fileURLToPath(new URL('../../..', import.meta.url)));
const DEMO = 'dist/src/cli/demo/main.js';
const TIMEOUT_MS = 120_000;

const IN_NAMESPACES = [
  'handshake',
  '20 pings over IPv4',
  '20 pings over IPv6',
  'TCP over IPv4, roaming meanwhile',
  'TCP over IPv6',
  'rekey',
  'spoofed inner source',
  'prefix moved between peers',
  'device moved to another namespace',
] as const;
const IN_ONE_PROCESS = [
  'handshake',
  '200 echoes over IPv4',
  '200 echoes over IPv6',
  'data, roaming meanwhile',
  'rekey',
  'spoofed inner source',
  'prefix moved between peers',
] as const;

/** Demos that ran, by the process id that their namespaces, devices and sockets are named after. */
async function demo(
  words: readonly string[],
  signal?: { when: string; send: NodeJS.Signals },
): Promise<Exit & { out: string }> {
  const job = new Job(words);
  const pid = job.child.pid;
  if (signal) {
    await job.prints(signal.when);
    job.child.kill(signal.send);
  }
  const exit = await job.end(TIMEOUT_MS);
  assert.deepEqual(remains(pid ?? 0), [], `left behind; it said:\n${job.output}`);
  return { ...exit, out: job.output };
}

/** Processes that name the demo `pid`, its namespaces and its sockets. */
function remains(pid: number): string[] {
  const names = [new RegExp(`typetun-demo-${pid}-`), new RegExp(`\\btd[abc]${pid}\\b`)];
  const list = (directory: string): string[] => {
    try {
      return readdirSync(directory).map((name) => join(directory, name));
    } catch {
      return [];
    }
  };
  const commands = list('/proc')
    .filter((path) => /^\/proc\/\d+$/.test(path))
    .map((path) => {
      try {
        return `${path} ${readFileSync(`${path}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
      } catch {
        return '';
      }
    });
  const found = [...list('/run/netns'), ...list('/var/run/wireguard'), ...list('/sys/class/net'), ...commands];
  return found.filter((name) => names.some((pattern) => pattern.test(name)));
}

function assertRows(out: string, steps: readonly string[]): void {
  for (const step of steps) assert.match(out, new RegExp(`^  ${step} .*\\S$`, 'm'), out);
  assert.doesNotMatch(out, /FAILED/);
}

describe('demo', { timeout: 4 * TIMEOUT_MS }, () => {
  const isRoot = process.getuid?.() === 0;
  const needsRoot = isRoot ? missing([]) : 'not root';

  it('shows every step as root, in namespaces of its own', { skip: needsRoot }, async () => {
    const { code, out } = await demo([process.execPath, join(ROOT, DEMO), '--mode=root']);
    assert.equal(code, 0, out);
    assert.match(out, /network namespaces of their own, as root/);
    assertRows(out, IN_NAMESPACES);
    assert.match(out, /^ {2}TCP over IPv4.* [1-9]\d* MiB +[\d.]+ Gbit\/s /m);
    assert.match(out, /badSource=3$/m);
    assert.match(out, /^ {2}left behind +nothing$/m);
  });

  it('shows every step in a user namespace', { skip: missing(['unshare']) }, async () => {
    const { code, out } = await demo([process.execPath, join(ROOT, DEMO), '--mode=user']);
    assert.equal(code, 0, out);
    assert.match(out, /inside a user namespace/);
    assertRows(out, IN_NAMESPACES);
    assert.match(out, /^ {2}left behind +nothing$/m);
  });

  it('shows every step as an ordinary user', { skip: needsRoot || noUser() }, async () => {
    const { code, out } = await demo([...asUser(), INSIDE.node, join(INSIDE.typetun, '../..', DEMO)]);
    assert.equal(code, 0, out);
    assert.match(out, /inside a user namespace/);
    assertRows(out, IN_NAMESPACES);
  });

  it('goes on in one process where there is no TUN, and says so', { skip: needsRoot }, async () => {
    const hidden = ['unshare', '--mount', 'sh', '-ec', 'mount -t tmpfs tmpfs /dev/net && exec "$@"', 'sh'];
    const { code, out } = await demo([...hidden, process.execPath, join(ROOT, DEMO)]);
    assert.equal(code, 0, out);
    assert.match(out, /^ {2}\(no namespaces and TUN in a user namespace: there is no \/dev\/net\/tun\)$/m);
    assertRows(out, IN_ONE_PROCESS);
  });

  it('shows the protocol in one process', async () => {
    const { code, out } = await demo([process.execPath, join(ROOT, DEMO), '--mode=loopback']);
    assert.equal(code, 0, out);
    assert.match(out, /in one process, over UDP on the loopback/);
    assertRows(out, IN_ONE_PROCESS);
    assert.match(out, /device moved to another namespace +not shown/);
  });

  it('goes on in one process where iproute2 is missing, and names it', async () => {
    const env = ['env', 'PATH=/nonexistent', process.execPath, join(ROOT, DEMO)];
    const { code, out } = await demo(env);
    assert.equal(code, 0, out);
    assert.match(out, /the program "ip" is missing: install iproute2/);
    assertRows(out, IN_ONE_PROCESS);
  });

  it('fails with one line where a surrounding was asked for that cannot be had', async () => {
    const { code, out } = await demo(['env', 'PATH=/nonexistent', process.execPath, join(ROOT, DEMO), '--mode=root']);
    assert.equal(code, 1);
    assert.match(out, /^typetun demo: .*install iproute2.*\n$/);
  });

  it('leaves nothing behind when it is interrupted', { skip: needsRoot }, async () => {
    const command = [process.execPath, join(ROOT, DEMO), '--mode=root'];
    for (const [when, send] of [
      ['20 pings over IPv6', 'SIGINT'],
      ['throughput', 'SIGTERM'],
    ] as const) {
      const { code, out } = await demo(command, { when, send });
      assert.equal(code, 130, out);
      assert.match(out, /^ {2}interrupted at /m);
      assert.match(out, /^ {2}left behind +nothing$/m);
    }
  });

  it('leaves nothing behind when it is interrupted in a user namespace', { skip: missing(['unshare']) }, async () => {
    const command = [process.execPath, join(ROOT, DEMO), '--mode=user'];
    const { code, out } = await demo(command, { when: '20 pings over IPv6', send: 'SIGINT' });
    assert.equal(code, 130, out);
    assert.match(out, /^ {2}left behind +nothing$/m);
  });
});
