/**
 * `npm run demo`: two typetun devices, and everything they promise, in namespaces of their own.
 *
 * As root; as an ordinary user inside a user namespace; and where there are neither namespaces nor a
 * TUN, two devices in one process over loopback UDP.
 */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DemoLab } from './demo-lab.js';
import { runLoopbackDemo } from './demo-loopback.js';
import { askDevice, readDevice } from './demo-uapi.js';

const STREAM_BYTES = 256 * 1024 * 1024;
const PINGS = 20;

type Row = readonly [what: string, result: string];

interface KeyPair {
  readonly privateHex: string;
  readonly publicHex: string;
}

function keyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const hex = (value: string | undefined): string => Buffer.from(value ?? '', 'base64url').toString('hex');
  return { privateHex: hex(privateKey.export({ format: 'jwk' }).d), publicHex: hex(publicKey.export({ format: 'jwk' }).x) };
}

/** Sends pings. @returns lost ones, and the mean round trip in ms */
async function ping(lab: DemoLab, from: string, ...args: readonly string[]): Promise<{ lost: number; meanMs: number }> {
  const command = ['ping', '-q', '-n', '-W', '1', ...args];
  const text = await lab.inside(from, ...command).catch((error: Error) => {
    if (args.includes('-I')) return '1 packets transmitted, 0 received';
    throw error;
  });
  const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
  const [, mean = '0'] = /= [\d.]+\/([\d.]+)\//.exec(text) ?? [];
  return { lost: Number(sent) - Number(received), meanMs: Number(mean) };
}

async function build(lab: DemoLab, a: KeyPair, b: KeyPair): Promise<void> {
  for (const short of ['a', 'b', 'c']) await lab.namespace(short);
  await lab.ip('link', 'add', 'veth', 'netns', lab.ns('a'), 'type', 'veth', 'peer', 'name', 'veth', 'netns', lab.ns('b'));
  const peers = { a: b, b: a } as const;
  const own = { a, b } as const;
  for (const [i, short] of (['a', 'b'] as const).entries()) {
    await lab.ip('-n', lab.ns(short), 'address', 'add', `10.199.0.${i + 1}/24`, 'dev', 'veth');
    await lab.ip('-n', lab.ns(short), 'link', 'set', 'veth', 'up');
    await lab.daemon(short);
    await askDevice(
      lab.device(short),
      [
        'set=1',
        `private_key=${own[short].privateHex}`,
        `listen_port=${40001 + i}`,
        `public_key=${peers[short].publicHex}`,
        `endpoint=10.199.0.${2 - i}:${40002 - i}`,
        `allowed_ip=10.200.0.${2 - i}/32`,
        `allowed_ip=fd20::${2 - i}/128`,
      ].join('\n'),
    );
    await address(lab, short, short, i + 1);
  }
}

/** Gives the device of `short`, now in namespace `where`, its inner addresses, and brings it up. */
async function address(lab: DemoLab, short: string, where: string, host: number): Promise<void> {
  const dev = ['dev', lab.device(short)];
  await lab.ip('-n', lab.ns(where), 'address', 'add', `10.200.0.${host}/24`, ...dev);
  await lab.ip('-n', lab.ns(where), 'address', 'add', `fd20::${host}/64`, 'nodad', ...dev);
  await lab.ip('-n', lab.ns(where), 'link', 'set', lab.device(short), 'up');
}

async function showTraffic(lab: DemoLab): Promise<Row[]> {
  const rows: Row[] = [];
  const first = await ping(lab, 'a', '-c', '1', '10.200.0.2');
  rows.push(['handshake, with the packet that asked for it', `${first.meanMs.toFixed(1)} ms`]);
  for (const [name, host] of [
    ['IPv4', '10.200.0.2'],
    ['IPv6', 'fd20::2'],
  ] as const) {
    const { lost, meanMs } = await ping(lab, 'a', '-c', String(PINGS), '-i', '0.02', host);
    if (lost > 0) throw new Error(`${lost} of ${PINGS} ${name} pings were lost`);
    rows.push([`${PINGS} pings over ${name}`, `0 lost, ${meanMs.toFixed(2)} ms mean`]);
  }
  let roamed = '';
  const result = await lab.stream('a', 'b', '10.200.0.2', STREAM_BYTES, async () => {
    await sleep(200);
    await askDevice(lab.device('a'), 'set=1\nlisten_port=40099');
    await lab.until('the endpoint to roam', async () => {
      roamed = await readDevice(lab.device('b'), 'endpoint');
      return roamed.endsWith(':40099');
    });
  });
  if (!result.intact) throw new Error('the TCP stream arrived damaged');
  const gbit = (result.bytes * 8) / result.ms / 1e6;
  rows.push(['TCP stream', `${result.bytes >>> 20} MiB, SHA-256 equal, ${gbit.toFixed(2)} Gbit/s`]);
  rows.push(['roamed in the middle of it', `40001 -> ${roamed}`]);
  return rows;
}

async function showRekey(lab: DemoLab, a: KeyPair): Promise<Row> {
  const handshake = async (): Promise<string> => {
    const name = lab.device('a');
    return `${await readDevice(name, 'last_handshake_time_sec')}.${await readDevice(name, 'last_handshake_time_nsec')}`;
  };
  const before = await handshake();
  // Taking the private key away and giving it back ends the session's keys: the next packet makes new ones.
  await askDevice(lab.device('a'), `set=1\nprivate_key=${'0'.repeat(64)}`);
  await askDevice(lab.device('a'), `set=1\nprivate_key=${a.privateHex}`);
  const { lost } = await ping(lab, 'a', '-c', '3', '-i', '0.2', '10.200.0.2');
  if ((await handshake()) === before) throw new Error('there was no new handshake');
  return ['rekeyed (private key set anew)', `new handshake, ${lost} of 3 pings lost`];
}

async function showRouting(lab: DemoLab, b: KeyPair, logs: { a: () => string; b: () => string }): Promise<Row[]> {
  await lab.ip('-n', lab.ns('a'), 'address', 'add', '10.66.6.6/32', 'dev', lab.device('a'));
  const spoofed = await ping(lab, 'a', '-c', '1', '-I', '10.66.6.6', '10.200.0.2');
  if (spoofed.lost !== 1) throw new Error('a spoofed packet was answered');
  lab.signal('b', 'SIGUSR2');
  await lab.until('the drop counters', async () => /badSource\D+[1-9]/.test(logs.b()));
  const rows: Row[] = [['spoofed inner source', `dropped and counted: ${/badSource\D+\d+/.exec(logs.b())?.[0]}`]];
  const other = keyPair();
  await askDevice(lab.device('a'), `set=1\npublic_key=${other.publicHex}\nallowed_ip=10.200.0.2/32`);
  const gone = await ping(lab, 'a', '-c', '1', '10.200.0.2').catch(() => ({ lost: 1 }));
  if (gone.lost !== 1) throw new Error('a packet went to the peer that no longer owns its prefix');
  await askDevice(lab.device('a'), `set=1\npublic_key=${b.publicHex}\nallowed_ip=10.200.0.2/32`);
  const { lost } = await ping(lab, 'a', '-c', '3', '-i', '0.05', '10.200.0.2');
  const moves = logs.a().match(/10\.200\.0\.2\/32 moved/g)?.length ?? 0;
  if (lost > 0 || moves < 2) throw new Error(`prefix moved: ${lost} pings lost, ${moves} moves logged`);
  rows.push(['prefix moved to another peer, and back', `traffic followed; ${moves} moves logged`]);
  return rows;
}

async function showMove(lab: DemoLab): Promise<Row> {
  await lab.ip('-n', lab.ns('b'), 'link', 'set', lab.device('b'), 'netns', lab.ns('c'));
  await address(lab, 'b', 'c', 2);
  // Moving it took it down, and its keys with it: it shakes hands again with its first packet.
  const { lost } = await ping(lab, 'c', '-c', '5', '-i', '0.2', '10.200.0.1');
  if (lost > 1) throw new Error(`${lost} of 5 pings were lost after the move`);
  const links = await lab.ip('-n', lab.ns('c'), '-br', 'link');
  if (links.includes('veth')) throw new Error('namespace c has another way out');
  return ['device moved to another namespace', `${lost} of 5 pings lost; its socket stayed behind`];
}

async function runLab(lab: DemoLab): Promise<Row[]> {
  const a = keyPair();
  const b = keyPair();
  await build(lab, a, b);
  const rows = await showTraffic(lab);
  rows.push(await showRekey(lab, a));
  rows.push(...(await showRouting(lab, b, { a: () => lab.log('a'), b: () => lab.log('b') })));
  rows.push(await showMove(lab));
  return rows;
}

function print(title: string, rows: readonly Row[]): void {
  const width = Math.max(...rows.map(([what]) => what.length));
  console.log(`\n${title}\n`);
  for (const [what, result] of rows) console.log(`  ${what.padEnd(width)}   ${result}`);
  console.log('');
}

/** As an ordinary user: the same again inside a user namespace. @returns its exit code, or why not */
function insideUserNamespace(): number | string {
  const self = fileURLToPath(import.meta.url);
  const script = 'mount -t tmpfs none /run && mkdir -p /run/netns /run/wireguard && exec "$@"';
  const unshare = ['--user', '--map-root-user', '--net', '--mount', '--', 'sh', '-c', script, 'sh'];
  const probe = spawnSync('unshare', [...unshare, 'true'], { encoding: 'utf8' });
  if (probe.status !== 0) return `no user namespace: ${probe.stderr.trim() || probe.error?.message}`;
  const env = { ...process.env, TYPETUN_DEMO_INSIDE: '1' };
  return spawnSync('unshare', [...unshare, process.execPath, self], { stdio: 'inherit', env }).status ?? 1;
}

function tunMissing(): string | undefined {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `/dev/net/tun: ${(error as NodeJS.ErrnoException).code}`;
  }
}

async function main(): Promise<number> {
  const missing = tunMissing() ?? (process.env['TYPETUN_DEMO_LOOPBACK'] ? 'TYPETUN_DEMO_LOOPBACK is set' : undefined);
  let reason = missing;
  if (!reason && process.getuid?.() !== 0) {
    const result = insideUserNamespace();
    if (typeof result === 'number') return result;
    reason = result;
  }
  if (reason) {
    console.log(`No namespaces or TUN here (${reason}): two devices in one process, over UDP on the loopback.`);
    print('typetun demo, in one process', await runLoopbackDemo());
    return 0;
  }
  const lab = new DemoLab();
  let stopped = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopped = true;
      void lab.close().then(() => process.exit(1));
    });
  }
  try {
    const where = process.env['TYPETUN_DEMO_INSIDE'] ? 'in a user namespace' : 'as root';
    const rows = await runLab(lab);
    const left = await lab.close();
    rows.push(['left behind', left.length === 0 ? 'nothing' : left.join(' ')]);
    print(`typetun demo, ${where}: two devices, in network namespaces of their own`, rows);
    return left.length === 0 ? 0 : 1;
  } catch (error) {
    if (stopped) return 1;
    console.error(`demo: ${(error as Error).message}`);
    await lab.close();
    return 1;
  }
}

process.exitCode = await main();
