/**
 * `typetun exec` beside the device that root makes, in the same run and against the same far end:
 * `node dist/bench/exec.js [--rounds=5] [--seconds=3]`, as root. Each round takes every figure from each in turn.
 *
 *   root      an interface in namespace c, as wg and ip set it up
 *   exec      the command inside `typetun exec`, as an ordinary user
 *   forward   the command outside, through `typetun exec -L`
 */
import { parseArgs } from 'node:util';
import type { Job } from '../test/netns/harness.js';
import { SERVER, World } from '../test/rootless/world.js';
import { compare, median } from './statistics.js';

const ROOT_ADDRESS = '10.66.0.3';
/** On which path, and with which words of iperf3. */
const DIRECTIONS = { up: [], down: ['-R'] } as const;
const TARGET = 0.8;
const SLACK_MS = 20_000;
/** Left out of each figure: a process that just began compiles first. */
const WARM_UP_S = 2;

interface Report {
  readonly error?: string;
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
}

type Client = (words: readonly string[]) => Promise<{ readonly stdout: string }>;

async function gbits(world: World, client: Client, words: readonly string[]): Promise<number> {
  const server = world.lab.spawn('s', ['iperf3', '--server', '--one-off', '--forceflush', '--bind', SERVER[0]]);
  try {
    await server.prints('Server listening');
    const { stdout } = await client(['iperf3', '--json', ...words]);
    const report = JSON.parse(stdout) as Report;
    if (report.error !== undefined) throw new Error(report.error);
    return report.end.sum_received.bits_per_second / 1e9;
  } finally {
    await server.terminate(2000);
  }
}

/** An interface of root's beside the user's tunnels, to the same far end. */
async function makeRootDevice({ lab, device }: World): Promise<void> {
  const own = await lab.device('typetun', 'c', { env: { LOG_LEVEL: 'error' } });
  await lab.wg(`set ${device.name} peer ${own.publicKey} allowed-ips ${ROOT_ADDRESS}/32`);
  await lab.wg(`set ${own.name} peer ${device.publicKey} endpoint 172.31.0.2:51820 allowed-ips 10.66.0.0/24`);
  await lab.ip('c', `address add ${ROOT_ADDRESS}/24 dev ${own.name}`);
  await lab.ip('c', `link set ${own.name} up mtu 1420`);
  await lab.in('c', `ping -n -q -c 1 -w 10 ${SERVER[0]}`);
}

async function run(rounds: number, seconds: number): Promise<void> {
  const world = await World.make('typetun');
  try {
    await makeRootDevice(world);
    const forward: Job = world.start(['-L', `5201:${SERVER[0]}:5201`, world.config]);
    await forward.prints(/^ready$/m);
    const outside: Client = async (words) => {
      const job = world.lab.spawn('c', words);
      await job.end(seconds * 1000 + SLACK_MS);
      return job;
    };
    const contestants: readonly (readonly [name: string, client: Client, host: string])[] = [
      ['root', outside, SERVER[0]],
      // In a session of its own, as the others' clients are: Linux shares processors out by session (sched(7), autogroup).
      ['exec', (words) => world.exec(['setsid', '-w', ...words], { config: second }), SERVER[0]],
      ['forward', outside, '127.0.0.1'],
    ];
    // Its own peer, as two tunnels with one key would take the far end's endpoint from each other.
    const second = await world.addClient('10.66.0.4');
    const figures = new Map<string, number[]>();
    for (let round = 0; round < rounds; round++) {
      for (const [direction, words] of Object.entries(DIRECTIONS)) {
        for (const [name, client, host] of contestants) {
          const id = `${name} ${direction}`;
          const value = await gbits(world, client, [
            '--client',
            host,
            '--omit',
            `${WARM_UP_S}`,
            '--time',
            `${seconds}`,
            ...words,
          ]);
          figures.set(id, [...(figures.get(id) ?? []), value]);
          console.log(`round ${round + 1} of ${rounds}  ${id}: ${value.toFixed(2)} Gbit/s`);
        }
      }
    }
    for (const direction of Object.keys(DIRECTIONS)) {
      const base = figures.get(`root ${direction}`)!;
      for (const [name] of contestants) {
        const values = figures.get(`${name} ${direction}`)!;
        const ratio = compare(values, base)?.ofMedians ?? Number.NaN;
        const verdict = name === 'root' ? '' : `  ${ratio.toFixed(2)} of root's (target ${TARGET})`;
        console.log(`${`${name} ${direction}`.padEnd(14)} ${median(values).toFixed(2)} Gbit/s${verdict}`);
      }
    }
  } finally {
    await world.close();
  }
}

const { values } = parseArgs({ options: { rounds: { type: 'string' }, seconds: { type: 'string' } } });
await run(Number(values.rounds ?? 5), Number(values.seconds ?? 3));
