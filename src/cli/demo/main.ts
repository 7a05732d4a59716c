/**
 * `npm run demo`: two typetun devices, and everything they promise, in namespaces of their own.
 *
 * As root; as an ordinary user inside a user namespace; and where there are neither namespaces nor a
 * TUN, two devices in one process over loopback UDP. `npm run demo -- --mode=root|user|loopback` insists.
 * The exit status is 0 only when every step held and nothing was left behind.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DemoLab } from './lab.js';
import { runLoopbackDemo } from './loopback-steps.js';
import { build, keyPair, STEPS } from './steps.js';
import { printRow, printTitle } from './table.js';

/** `inside` is `user` again, once it is in its user namespace. */
const MODES = ['root', 'user', 'loopback', 'inside'] as const;
type Mode = (typeof MODES)[number];
type Try = 'root' | 'user';

const UNSHARE = { root: ['--net', '--mount'], user: ['--user', '--map-root-user', '--net', '--mount'] } as const;
/** Names of namespaces and sockets that nobody else sees. Where /var/run is no link, it is hidden as well. */
const PRIVATE_RUN = `
mount -t tmpfs tmpfs /run
[ /var/run -ef /run ] || mount -t tmpfs tmpfs /var/run
exec "$@"`;
const INTERRUPTED = 130;

function has(program: string): boolean {
  return spawnSync(program, ['-V'], { stdio: 'ignore' }).error === undefined;
}

/** @returns what keeps this mode from working here, in one line, or undefined */
function obstacle(mode: Try): string | undefined {
  if (!has('ip')) return 'the program "ip" is missing: install iproute2 (on Debian: apt-get install iproute2)';
  if (mode === 'root' && process.getuid?.() !== 0) return 'not root';
  // ip would only say "open: No such file or directory".
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  const probe = mode === 'user' ? `${PRIVATE_RUN.replace('exec "$@"', '')} ip tuntap` : 'ip tuntap';
  const command = ['--', 'sh', '-ec', `${probe} add mode tun name probe`];
  const { status, error, stderr } = spawnSync('unshare', [...UNSHARE[mode], ...command], { encoding: 'utf8' });
  return status === 0 ? undefined : (error?.message ?? stderr.trim().split('\n')[0] ?? 'unshare failed');
}

/** The whole demo again, in a user namespace. @returns its exit status */
async function enterUserNamespace(): Promise<number> {
  const self = [process.execPath, fileURLToPath(import.meta.url), '--mode=inside'];
  const command = [...UNSHARE.user, '--', 'sh', '-ec', PRIVATE_RUN, 'sh', ...self];
  const child = spawn('unshare', command, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  const [status] = (await once(child, 'close')) as [number | null];
  return status ?? INTERRUPTED;
}

async function runInNamespaces(title: string): Promise<number> {
  const lab = new DemoLab();
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      interrupted = true;
      void lab.close();
    });
  }
  printTitle(title);
  let status = 0;
  let doing = 'the namespaces and devices';
  try {
    const demo = { lab, a: keyPair(), b: keyPair(), hasPing: has('ping') };
    await build(demo);
    for (const [name, step] of STEPS) {
      doing = name;
      printRow(await step(demo));
    }
  } catch (error) {
    status = interrupted ? INTERRUPTED : 1;
    console.log(`\n  ${interrupted ? 'interrupted' : 'FAILED'} at ${doing}: ${(error as Error).message}\n`);
  }
  const left = await lab.close();
  printRow({ step: 'left behind', seen: left.join(', ') || 'nothing' });
  return left.length > 0 ? 1 : status;
}

async function runInOneProcess(why: readonly string[]): Promise<number> {
  printTitle('two devices in one process, over UDP on the loopback');
  for (const line of why) console.log(`  (${line})`);
  try {
    await runLoopbackDemo(printRow);
    return 0;
  } catch (error) {
    console.log(`\n  FAILED: ${(error as Error).message}`);
    return 1;
  }
}

async function run(wanted: Mode | undefined): Promise<number> {
  if (wanted === 'inside') return runInNamespaces('two devices in network namespaces, inside a user namespace');
  const why: string[] = wanted === 'loopback' ? ['as was asked for'] : [];
  for (const mode of ['root', 'user'] as const) {
    if (wanted !== undefined && wanted !== mode) continue;
    const problem = obstacle(mode);
    if (!problem) {
      if (mode === 'root') return runInNamespaces('two devices in network namespaces of their own, as root');
      return enterUserNamespace();
    }
    why.push(`no namespaces and TUN ${mode === 'root' ? 'as root' : 'in a user namespace'}: ${problem}`);
    if (wanted === mode) {
      console.error(`typetun demo: ${why.join('; ')}`);
      return 1;
    }
  }
  return runInOneProcess(why);
}

/** Who does not read the table to its end does not keep us from cleaning up. */
process.stdout.on('error', () => {});
const { values } = parseArgs({ options: { mode: { type: 'string' } } });
const wanted = MODES.find((mode) => mode === values.mode);
if (values.mode !== undefined && !wanted) {
  console.error('typetun demo: --mode is root, user or loopback');
  process.exitCode = 1;
} else process.exitCode = await run(wanted);
