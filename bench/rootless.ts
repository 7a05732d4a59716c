/**
 * One TCP stream from an ordinary user's tunnel beside the same stream from a host's interface, in alternating rounds:
 *
 *   this process' network                                            namespace tubPID
 *   host      net.connect over an interface here       \
 *   library   RootlessDevice.connect                    >  UDP  >    [device] 10.9.0.1: a program that counts bytes
 *   exec      the same program by `typetun exec`       /
 *
 *   sudo node dist/bench/rootless.js [SECONDS] [ROUNDS]
 *
 * All senders write from Node.js, in the same way. Prints Gbit/s as they arrived, and the ratio to the host's interface.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createHostDevice, createRootlessDevice, SecretKey } from '../src/index.js';
import { loadLibrary } from '../src/linux/ffi.js';
import { median } from './statistics.js';

const SELF = fileURLToPath(import.meta.url);
const TYPETUN = fileURLToPath(new URL('../../bin/typetun', import.meta.url));
const CLONE_NEWNET = 0x40000000;
const NAMESPACE = `tub${process.pid}`;
const HOST = '10.9.0.1';
const PORT = 5001;
const CHUNK = Buffer.alloc(256 * 1024, 7);

/** Writes for so long, and waits until all of it has arrived. */
async function send(socket: Socket, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) if (!socket.write(CHUNK)) await once(socket, 'drain');
  socket.resume().end();
  await once(socket, 'close');
}

/** Counts what each connection brings, and says Gbit/s of it at its end. */
function sink(): void {
  createServer((socket) => {
    let bytes = 0;
    let start = 0;
    socket.on('data', (data: Buffer) => {
      start ||= performance.now();
      bytes += data.length;
    });
    socket.on('end', () => console.log((bytes * 8) / (performance.now() - start) / 1e6));
  }).listen(PORT, HOST, () => console.log('ready'));
}

function ip(words: string): void {
  execFileSync('ip', words.split(' '));
}

interface Stage {
  readonly senders: Readonly<Record<string, (seconds: number) => Promise<void>>>;
  close(): Promise<void>;
}

async function openStage(folder: string): Promise<Stage> {
  const [server, host, library, exec] = Array.from({ length: 4 }, () => SecretKey.generatePrivateKey());
  const clients = [host, library, exec];
  const far = await createHostDevice({
    name: `tubs${process.pid}`.slice(0, 15),
    up: false,
    config: {
      privateKey: server!,
      listenPort: 51820,
      peers: clients.map((key, i) => ({ publicKey: key!.publicKey(), allowedIps: [`10.9.0.${i + 2}`] })),
    },
  });
  ip(`link set ${far.name} netns ${NAMESPACE}`);
  for (const words of [`address add ${HOST}/24 dev ${far.name}`, `link set ${far.name} up`])
    ip(`-n ${NAMESPACE} ${words}`);
  const peers = [{ publicKey: server!.publicKey(), endpoint: '127.0.0.1:51820', allowedIps: ['10.9.0.1'] }];
  const near = await createHostDevice({
    name: `tubc${process.pid}`.slice(0, 15),
    addresses: ['10.9.0.2/24'],
    config: { privateKey: host!, peers },
  });
  const rootless = await createRootlessDevice({ addresses: ['10.9.0.3/24'], config: { privateKey: library!, peers } });
  const file = join(folder, 'tub.conf');
  writeFileSync(
    file,
    `[Interface]\nPrivateKey = ${exec!.toBase64()}\nAddress = 10.9.0.4/24\n[Peer]\nPublicKey = ${server!.publicKey()}\n` +
      'Endpoint = 127.0.0.1:51820\nAllowedIPs = 10.9.0.0/24\n',
    { mode: 0o600 },
  );
  return {
    senders: {
      host: async (seconds) => send(connect(PORT, HOST), seconds),
      library: async (seconds) => send(await rootless.connect({ host: HOST, port: PORT }), seconds),
      exec: async (seconds) => {
        const words = ['exec', file, '--', process.execPath, SELF, '--send', `${seconds}`];
        const child = spawn(TYPETUN, words, { stdio: ['ignore', 'inherit', 'inherit'] });
        const [code] = (await once(child, 'exit')) as [number | null];
        if (code !== 0) throw new Error(`typetun exec ended with ${code}`);
      },
    },
    close: async () => {
      for (const device of [rootless, near, far]) await device.close();
    },
  };
}

async function measure(seconds: number, rounds: number): Promise<void> {
  if (loadLibrary(null).func('unshare', 'int', ['int'])(CLONE_NEWNET) !== 0) throw new Error('this takes root');
  ip('link set lo up');
  ip(`netns add ${NAMESPACE}`);
  const folder = mkdtempSync(join(tmpdir(), 'typetun-bench-'));
  let counter: ChildProcess | undefined;
  const stage = await openStage(folder);
  try {
    counter = spawn('ip', ['netns', 'exec', NAMESPACE, process.execPath, SELF, '--sink'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: counter.stdout! })[Symbol.asyncIterator]();
    await lines.next();
    const names = Object.keys(stage.senders);
    const figures = new Map(names.map((name) => [name, [] as number[]]));
    for (let round = 0; round < rounds; round++) {
      for (const name of round % 2 === 0 ? names : names.toReversed()) {
        await stage.senders[name]!(seconds);
        figures.get(name)?.push(Number((await lines.next()).value));
      }
    }
    for (const name of names) {
      const values = figures.get(name)!;
      const ratio = median(values) / median(figures.get('host')!);
      const range = `${Math.min(...values).toFixed(2)}-${Math.max(...values).toFixed(2)}`;
      console.log(`${name.padEnd(8)} ${median(values).toFixed(2)} Gbit/s (${range})  ${ratio.toFixed(2)} of host`);
    }
  } finally {
    counter?.kill();
    await stage.close();
    ip(`netns delete ${NAMESPACE}`);
    rmSync(folder, { recursive: true });
  }
}

const [first, second] = process.argv.slice(2);
if (first === '--sink') sink();
else if (first === '--send') await send(connect(PORT, HOST), Number(second));
else await measure(Number(first ?? 2), Number(second ?? 5));
