/** What the demo does in its namespaces, a step at a time. */
import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DemoLab } from './lab.js';
import type { Row } from './table.js';
import { askDevice, readDevice } from './uapi.js';

const PINGS = 20;
const PORTS = { a: 40001, b: 40002, roamed: 40099 } as const;
/** How long the streams run before and after the roaming, and over IPv6. */
const STREAM_MS = 900;
/** Loss that a busy machine may cause by itself. */
const TOLERATED = 0.1;

interface KeyPair {
  /** In hexadecimal, as the UAPI takes them. */
  readonly privateKey: string;
  readonly publicKey: string;
}

export interface Demo {
  readonly lab: DemoLab;
  readonly a: KeyPair;
  readonly b: KeyPair;
  readonly hasPing: boolean;
}

interface Pings {
  readonly sent: number;
  readonly received: number;
  readonly meanMs: number;
}

type Step = (demo: Demo) => Promise<Row>;

export function keyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const hex = (value: string | undefined): string => Buffer.from(value ?? '', 'base64url').toString('hex');
  return {
    privateKey: hex(privateKey.export({ format: 'jwk' }).d),
    publicKey: hex(publicKey.export({ format: 'jwk' }).x),
  };
}

/** Pings; where there is no ping program, by UDP to an echo that runs in `to`. */
async function ping(demo: Demo, from: string, to: string, host: string, count: number): Promise<Pings> {
  const { lab } = demo;
  if (!demo.hasPing) {
    const echo = lab.traffic(to, 'echo', host, '7');
    await lab.until('the echo to listen', () => echo.output.includes('listening'));
    const answer = await lab.trafficResult(from, 'udp-ping', host, '7', String(count));
    await echo.end('SIGTERM');
    return JSON.parse(answer) as Pings;
  }
  // The exit status of ping says whether all was well; what it printed says more.
  const job = lab.start(from, ['ping', '-q', '-n', '-c', String(count), '-i', '0.02', '-W', '3', host]);
  await lab.until('ping to end', () => job.ended);
  const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(job.output) ?? [];
  const [, mean = '0'] = /= [\d.]+\/([\d.]+)\//.exec(job.output) ?? [];
  return { sent: Number(sent), received: Number(received), meanMs: Number(mean) };
}

function loss({ sent, received }: Pings): readonly [number, number] {
  return [sent - received, sent];
}

function demandAnswers(pings: Pings): void {
  if (pings.sent - pings.received > pings.sent * TOLERATED) {
    throw new Error(`${pings.sent - pings.received} of ${pings.sent} pings were lost`);
  }
}

/** Gives the device of `short`, now in namespace `where`, its inner addresses, and brings it up. */
async function raise(lab: DemoLab, short: string, where: string): Promise<void> {
  const host = short === 'a' ? 1 : 2;
  const dev = ['dev', lab.device(short)];
  await lab.ip('-n', lab.ns(where), 'address', 'add', `10.200.0.${host}/24`, ...dev);
  await lab.ip('-n', lab.ns(where), 'address', 'add', `fd20::${host}/64`, ...dev, 'nodad');
  await lab.ip('-n', lab.ns(where), 'link', 'set', lab.device(short), 'up');
}

/** Two namespaces joined by a veth, a device in each, and a third namespace with nothing in it. */
export async function build({ lab, a, b }: Demo): Promise<void> {
  for (const short of ['a', 'b', 'c']) await lab.namespace(short);
  const ends = ['veth', 'netns', lab.ns('a'), 'type', 'veth', 'peer', 'name', 'veth', 'netns', lab.ns('b')];
  await lab.ip('link', 'add', ...ends);
  const sides = [
    { short: 'a', own: a, other: b, host: 1, port: PORTS.a, otherHost: 2, otherPort: PORTS.b },
    { short: 'b', own: b, other: a, host: 2, port: PORTS.b, otherHost: 1, otherPort: PORTS.a },
  ];
  for (const { short, host } of sides) {
    await lab.ip('-n', lab.ns(short), 'address', 'add', `10.199.0.${host}/24`, 'dev', 'veth');
    await lab.ip('-n', lab.ns(short), 'link', 'set', 'veth', 'up');
  }
  await Promise.all(sides.map(({ short }) => lab.daemon(short)));
  for (const { short, own, other, port, otherHost, otherPort } of sides) {
    await askDevice(lab.device(short), [
      'set=1',
      `private_key=${own.privateKey}`,
      `listen_port=${port}`,
      `public_key=${other.publicKey}`,
      `endpoint=10.199.0.${otherHost}:${otherPort}`,
      `allowed_ip=10.200.0.${otherHost}/32`,
      `allowed_ip=fd20::${otherHost}/128`,
    ]);
    await raise(lab, short, short);
  }
}

async function handshakeTime(lab: DemoLab, short: string): Promise<string> {
  const device = lab.device(short);
  const seconds = await readDevice(device, 'last_handshake_time_sec');
  return `${seconds}.${(await readDevice(device, 'last_handshake_time_nsec')).padStart(9, '0')}`;
}

const handshake: Step = async (demo) => {
  const pings = await ping(demo, 'a', 'b', '10.200.0.2', 1);
  demandAnswers(pings);
  if ((await handshakeTime(demo.lab, 'a')).startsWith('0.')) throw new Error('there was no handshake');
  return { step: 'handshake', ms: pings.meanMs, seen: 'round trip of the first packet included' };
};

async function pings(demo: Demo, step: string, host: string): Promise<Row> {
  // A network device that just came up may still be learning its neighbours.
  await ping(demo, 'a', 'b', host, 1);
  const result = await ping(demo, 'a', 'b', host, PINGS);
  demandAnswers(result);
  const seen = demo.hasPing ? 'mean round trip' : 'mean round trip, by UDP: there is no ping program here';
  return { step, ms: result.meanMs, loss: loss(result), seen };
}

/** A TCP stream from a to b, checked byte by byte. @param during runs meanwhile; the stream ends after it */
async function stream(
  lab: DemoLab,
  host: string,
  during: () => Promise<void>,
): Promise<{ bytes: number; gbits: number }> {
  const sink = lab.traffic('b', 'sink', host, '7777');
  await lab.until('the sink to listen', () => sink.output.includes('listening'));
  const source = lab.traffic('a', 'source', host, '7777');
  await during();
  if (source.ended) throw new Error(`the TCP stream broke: ${source.output.trim()}`);
  source.child.stdin?.end();
  await lab.until('the TCP stream to end', () => source.output.endsWith('}\n') && sink.output.endsWith('}\n'));
  const sent = JSON.parse(source.output) as { bytes: number; ms: number };
  const got = JSON.parse(sink.output.replace('listening', '')) as { bytes: number; intact: boolean };
  if (!got.intact || got.bytes !== sent.bytes)
    throw new Error(`of ${sent.bytes} bytes ${got.bytes} arrived, or changed`);
  return { bytes: got.bytes, gbits: (got.bytes * 8) / sent.ms / 1e6 };
}

const roam: Step = async ({ lab }) => {
  let endpoint = '';
  const result = await stream(lab, '10.200.0.2', async () => {
    await sleep(STREAM_MS);
    await askDevice(lab.device('a'), ['set=1', `listen_port=${PORTS.roamed}`]);
    await lab.until('the endpoint to roam', async () => {
      endpoint = await readDevice(lab.device('b'), 'endpoint');
      return endpoint.endsWith(`:${PORTS.roamed}`);
    });
    await sleep(STREAM_MS);
  });
  const seen = `port ${PORTS.a} -> ${PORTS.roamed} half way, b followed; every byte compared`;
  return { step: 'TCP over IPv4, roaming meanwhile', ...result, seen };
};

const stream6: Step = async ({ lab }) => {
  const result = await stream(lab, 'fd20::2', () => sleep(STREAM_MS));
  return { step: 'TCP over IPv6', ...result, seen: 'every byte compared' };
};

const rekey: Step = async (demo) => {
  const { lab, a } = demo;
  const before = await handshakeTime(lab, 'a');
  // A key taken away and given back ends the session; the next packet waits for a handshake, and goes out after it.
  await askDevice(lab.device('a'), ['set=1', `private_key=${'0'.repeat(64)}`]);
  await askDevice(lab.device('a'), ['set=1', `private_key=${a.privateKey}`]);
  const result = await ping(demo, 'a', 'b', '10.200.0.2', PINGS);
  demandAnswers(result);
  if ((await handshakeTime(lab, 'a')) === before) throw new Error('there was no new handshake');
  const seen = 'private key unset and set again: a new handshake';
  return { step: 'rekey', loss: loss(result), seen };
};

const spoof: Step = async (demo) => {
  const { lab } = demo;
  const before = (await lab.drops('b')).get('badSource') ?? 0;
  await lab.ip('-n', lab.ns('a'), 'address', 'add', '10.66.6.6/32', 'dev', lab.device('a'));
  await lab.ip('-n', lab.ns('a'), 'route', 'replace', '10.200.0.2', 'dev', lab.device('a'), 'src', '10.66.6.6');
  const result = await ping(demo, 'a', 'b', '10.200.0.2', 3);
  await lab.ip('-n', lab.ns('a'), 'route', 'del', '10.200.0.2', 'dev', lab.device('a'));
  await lab.ip('-n', lab.ns('a'), 'address', 'del', '10.66.6.6/32', 'dev', lab.device('a'));
  if (result.received > 0) throw new Error('a packet with a spoofed source was answered');
  const dropped = ((await lab.drops('b')).get('badSource') ?? 0) - before;
  if (dropped !== result.sent) throw new Error(`of ${result.sent} spoofed packets ${dropped} were counted`);
  const seen = `dropped and counted by the receiver: badSource=${dropped}`;
  return { step: 'spoofed inner source', loss: loss(result), seen };
};

const movePrefix: Step = async (demo) => {
  const { lab, b } = demo;
  const device = lab.device('a');
  const other = keyPair();
  const moves = (): number => lab.log('a').match(/10\.200\.0\.2\/32 moved from/g)?.length ?? 0;
  await askDevice(device, ['set=1', `public_key=${other.publicKey}`, 'allowed_ip=10.200.0.2/32']);
  const away = await ping(demo, 'a', 'b', '10.200.0.2', 3);
  if (away.received > 0) throw new Error('a packet still went to the peer that no longer owns its prefix');
  await askDevice(device, ['set=1', `public_key=${b.publicKey}`, 'allowed_ip=10.200.0.2/32']);
  await askDevice(device, ['set=1', `public_key=${other.publicKey}`, 'remove=true']);
  const back = await ping(demo, 'a', 'b', '10.200.0.2', PINGS);
  demandAnswers(back);
  await lab.until('both moves to be logged', () => moves() === 2);
  const seen = `to a third peer: ${away.sent} of ${away.sent} refused; and back. Both moves logged`;
  return { step: 'prefix moved between peers', loss: loss(back), seen };
};

const moveDevice: Step = async (demo) => {
  const { lab } = demo;
  await lab.ip('-n', lab.ns('b'), 'link', 'set', lab.device('b'), 'netns', lab.ns('c'));
  await raise(lab, 'b', 'c');
  // The move took the device down, which ended its sessions: it is the one to begin.
  await ping(demo, 'c', 'a', '10.200.0.1', 1);
  const result = await ping(demo, 'a', 'c', '10.200.0.2', PINGS);
  demandAnswers(result);
  const port = `:${PORTS.b.toString(16).toUpperCase()} `;
  const sockets = async (where: string): Promise<boolean> =>
    (await lab.inside(where, 'cat', '/proc/net/udp')).includes(port);
  if (!(await sockets('b')) || (await sockets('c'))) throw new Error('the socket did not stay where it was born');
  if ((await lab.ip('-n', lab.ns('c'), '-o', 'link')).includes('veth')) throw new Error('c has another way out');
  const seen = 'it is the only way out there; its socket stayed behind';
  return { step: 'device moved to another namespace', ms: result.meanMs, loss: loss(result), seen };
};

const totals: Step = async ({ lab }) => {
  const [rx, tx] = [await readDevice(lab.device('b'), 'rx_bytes'), await readDevice(lab.device('b'), 'tx_bytes')];
  const mib = (bytes: string): string => `${(Number(bytes) / 2 ** 20).toFixed(0)} MiB`;
  return { step: 'in all, as the receiver counted', seen: `${mib(rx)} received, ${mib(tx)} sent, encrypted` };
};

export const STEPS: readonly (readonly [name: string, step: Step])[] = [
  ['handshake', handshake],
  ['pings over IPv4', (demo) => pings(demo, `${PINGS} pings over IPv4`, '10.200.0.2')],
  ['pings over IPv6', (demo) => pings(demo, `${PINGS} pings over IPv6`, 'fd20::2')],
  ['roaming', roam],
  ['TCP over IPv6', stream6],
  ['rekey', rekey],
  ['spoofed source', spoof],
  ['prefix moved', movePrefix],
  ['device moved', moveDevice],
  ['totals', totals],
];
