/**
 * One TCP stream of an ordinary user's, by each way into a tunnel that takes no root, beside the same stream over an
 * interface of root's. Every way has a key of its own at one far end, and stays up from the first round to the last;
 * but onetun, which may go on with an old stream, is there for the time of its own streams only.
 *
 *   namespace c                                                          namespace s
 *   host      an interface                                    \
 *   exec      in `typetun exec`                                \
 *   connect   device.connect() of the library                   > UDP >  [typetun] 10.66.0.1: stream.js
 *   forward   outside, through `typetun exec -L`               /
 *   onetun    outside, through its forward: TCP in user space /
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Job, until } from '../test/netns/harness.js';
import { asUser, INSIDE } from '../test/rootless/user.js';
import { SERVER, World } from '../test/rootless/world.js';
import type { Program } from './contestants.js';
import { type Column, type Group, Table } from './results.js';
import { IN_PORT, OUT_PORT } from './stream.js';

const STREAM = fileURLToPath(new URL('./stream.js', import.meta.url));
/** The same file, where the user can reach it. */
const STREAM_INSIDE = join(dirname(INSIDE.typetun), '../dist/bench/stream.js');
const FAR = SERVER[0];
const FIGURES = [
  { id: 'rootless', direction: 'out', title: 'TCP, 1 stream, out' },
  { id: 'rootless-reverse', direction: 'in', title: 'TCP, 1 stream, in' },
] as const;
type Direction = (typeof FIGURES)[number]['direction'];

/** Of the time that a throughput figure gets elsewhere: five ways and two directions have a minute. */
const SHARE = 0.75;
/** Before the first round, as programs that just began compile first. */
const WARM_UP_S = 0.5;
const SLACK_MS = 10_000;

/** One way into the tunnel. */
interface Way extends Column {
  /** stream.js as a client. */
  readonly client: Job;
  /** Both without. */
  readonly only?: Direction;
  /** Starts what is to run as long as a stream. */
  readonly start?: () => Promise<Job>;
}

export interface RootlessRun {
  /** typetun's own version. */
  readonly version: string;
  readonly onetun: Program | undefined;
  readonly rounds: number;
  readonly seconds: number;
  readonly say: (line: string) => void;
  readonly fail: (reason: string) => void;
}

async function addHost({ lab, device }: World): Promise<void> {
  const own = await lab.device('typetun', 'c', { env: { LOG_LEVEL: 'error' } });
  await lab.wg(`set ${device.name} peer ${own.publicKey} allowed-ips 10.66.0.3/32`);
  await lab.wg(`set ${own.name} peer ${device.publicKey} endpoint 172.31.0.2:51820 allowed-ips 10.66.0.0/24`);
  await lab.ip('c', `address add 10.66.0.3/24 dev ${own.name}`);
  await lab.ip('c', `link set ${own.name} up mtu 1420`);
  await lab.in('c', `ping -n -q -c 1 -w 10 ${FAR}`);
}

async function addForward({ lab, config }: World, host: string): Promise<void> {
  const ports = [OUT_PORT, IN_PORT].flatMap((port) => ['-L', `${host}:${port}:${FAR}:${port}`]);
  const forward = lab.spawn('c', [...asUser(), INSIDE.node, INSIDE.typetun, 'exec', ...ports, config]);
  await forward.prints(/^ready$/m);
}

/**
 * Out of the client, onetun 0.3.10 takes all that is written to it, without back-pressure, and sends a segment a
 * millisecond (9 Mbit/s, by iperf3 as well): no figure that a stream without a limit should be held against.
 */
async function onetunWay(
  { lab, device }: World,
  { path, version }: Program,
  host: string,
): Promise<Omit<Way, 'client'>> {
  const { privateKey, publicKey } = await lab.keys();
  await lab.wg(`set ${device.name} peer ${publicKey} allowed-ips 10.66.0.6/32`);
  const words = ['--endpoint-addr', '172.31.0.2:51820', '--endpoint-public-key', device.publicKey];
  const forward = `${host}:${IN_PORT}:${FAR}:${IN_PORT}`;
  const start = async (): Promise<Job> => {
    const job = lab.spawn('c', [path, forward, ...words, '--source-peer-ip', '10.66.0.6', '--log', 'info'], {
      env: { ONETUN_PRIVATE_KEY: privateKey },
    });
    await job.prints(`${host}:${IN_PORT}]`);
    return job;
  };
  return { id: 'onetun', title: 'onetun', version, only: 'in', start };
}

async function addWays(world: World, { version, onetun }: RootlessRun): Promise<Way[]> {
  const { lab } = world;
  const outside = (host: string): Job => lab.spawn('c', [process.execPath, STREAM, 'client', host], { input: null });
  const inside = (words: readonly string[]): Job => lab.spawn('c', [...asUser(), ...words], { input: null });
  const [execConfig, connectConfig] = [await world.addClient('10.66.0.4'), await world.addClient('10.66.0.5')];
  await addHost(world);
  await addForward(world, '127.0.0.2');
  // In a session of its own, as the others' clients are: Linux shares processors out by session (sched(7), autogroup).
  const command = ['setsid', '-w', INSIDE.node, STREAM_INSIDE, 'client', FAR];
  const ways: Way[] = [
    { id: 'host', title: 'interface of root’s', version, client: outside(FAR) },
    {
      ...{ id: 'exec', title: '`typetun exec`' },
      client: inside([INSIDE.node, INSIDE.typetun, 'exec', execConfig, '--', ...command]),
    },
    {
      ...{ id: 'connect', title: '`device.connect`' },
      client: inside([INSIDE.node, STREAM_INSIDE, 'client', FAR, connectConfig]),
    },
    { id: 'forward', title: '`typetun exec -L`', client: outside('127.0.0.2') },
  ];
  if (onetun) {
    ways.push({ ...(await onetunWay(world, onetun, '127.0.0.3')), client: outside('127.0.0.3') });
  }
  return ways;
}

/** @returns Gbit/s, as the receiving end counted them */
async function stream(way: Way, server: Job, direction: Direction, seconds: number): Promise<number> {
  const started = await way.start?.();
  try {
    return await streamOver(way, server, direction, seconds);
  } finally {
    await started?.terminate(SLACK_MS);
  }
}

async function streamOver({ client, title }: Way, server: Job, direction: Direction, seconds: number): Promise<number> {
  const receiver = direction === 'out' ? server : client;
  const before = receiver.stdout.length;
  client.child.stdin?.write(`${direction} ${seconds}\n`);
  const told = (): boolean => receiver.stdout.endsWith('\n') && receiver.stdout.length > before;
  await until(
    () => `a stream ${direction} by ${title}: ${client.stderr.slice(-500)}`,
    () => told() || client.ended,
    seconds * 1000 + SLACK_MS,
  );
  if (!told()) throw new Error(`the client has ended: ${client.stderr.slice(-500)}`);
  return Number(receiver.stdout.slice(before));
}

/** @returns one group of figures. A way that fails is left out from then on, and told to `fail` */
export async function measureRootless(run: RootlessRun): Promise<Group[]> {
  const { rounds, seconds, say, fail } = run;
  const world = await World.make('typetun');
  try {
    const server = world.lab.spawn('s', [process.execPath, STREAM, 'serve', FAR]);
    await server.prints('serving\n');
    const ways = await addWays(world, run);
    const table = new Table(rounds);
    for (const { id, title } of FIGURES) table.figure('rootless', id, title, 'Gbit/s', 'more');
    const unable = new Set<Way>();
    for (let round = -1; round < rounds; round++) {
      for (const { id, direction, title } of FIGURES) {
        for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
          if (unable.has(way) || (way.only ?? direction) !== direction) continue;
          try {
            const value = await stream(way, server, direction, round < 0 ? WARM_UP_S : seconds * SHARE);
            if (round < 0) continue;
            table.put(id, way.id, round, value);
            say(`round ${round + 1} of ${rounds}  ${way.title}  ${title}: ${value.toFixed(2)} Gbit/s`);
          } catch (error) {
            unable.add(way);
            fail(`a stream by ${way.title}, from round ${round + 1} on: ${(error as Error).message.split('\n')[0]}`);
          }
        }
      }
    }
    const columns = ways.map(
      ({ id, title, version }): Column => ({ id, title, ...(version !== undefined && { version }) }),
    );
    return [{ id: 'rootless', title: 'Without root', columns, baseline: 'host', figures: table.figures() }];
  } finally {
    await world.close();
  }
}
