/**
 * The figures of a tunnel, for all contestants in turn: every round raises all tunnels anew, and takes each
 * figure from one contestant after the other, so that what the machine does meanwhile meets all alike.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from './contestants.js';
import { type Group, Table } from './results.js';
import { cpuSeconds, lower, raise, residentMib, startMs, type Tunnel } from './stage.js';
import { mean, percentile } from './statistics.js';
import { type Direction, ping, tcp, udp } from './traffic.js';

/** What `--only` can name. */
export const NETWORK_SUBJECTS = ['tcp', 'udp', 'ping', 'load', 'tail', 'start', 'idle'] as const;
type Subject = (typeof NETWORK_SUBJECTS)[number];

export interface NetworkOptions {
  readonly contestants: readonly Contestant[];
  readonly subjects: ReadonlySet<string>;
  readonly rounds: number;
  /** Of one throughput figure; pings take as long, or a part of it. */
  readonly seconds: number;
  readonly quick: boolean;
  readonly say: (line: string) => void;
  /** Told what could not be measured. */
  readonly fail: (reason: string) => void;
}

type Put = (id: string, value: number) => void;

interface Step {
  readonly subject: Subject;
  readonly title: string;
  /** Also for the contestants that are not measured as a whole. */
  readonly all: boolean;
  announce(table: Table): void;
  measure(tunnel: Tunnel, seconds: number, put: Put): Promise<void>;
}

/** Silence before and while the time of idle daemons is taken. */
const SETTLE_S = 10;
const IDLE_S = 3;
/** Short runs take memory alone, once a daemon has let go of what its start needed. */
const QUICK_SETTLE_S = 2;
/** Of what a contestant carried at most, in the tail's step. */
const TAIL_LOAD = 0.8;
/** Milliseconds between pings whose 99.9th percentile is wanted: there must be thousands of them. */
const TAIL_INTERVAL_MS = 2;

function throughput(streams: number, direction: Direction): Step {
  const id = `tcp${streams}${direction === '1 to 2' ? '' : '-reverse'}`;
  const title = `TCP, ${streams} stream${streams === 1 ? '' : 's'}, ${direction}`;
  return {
    ...{ subject: 'tcp', title, all: streams === 1 },
    announce(table) {
      table.figure('tcp', id, title, 'Gbit/s', 'more');
      if (id === 'tcp1') table.figure('tcp', 'cpu', 'processor time of both daemons, TCP, 1 stream', 's/Gbit', 'less');
    },
    async measure({ lab, devices }, seconds, put) {
      const before = cpuSeconds(devices);
      const { bitsPerSecond, bytes } = await tcp(lab, seconds, streams, direction);
      put(id, bitsPerSecond / 1e9);
      if (id === 'tcp1') put('cpu', (cpuSeconds(devices) - before) / ((bytes * 8) / 1e9));
    },
  };
}

function packets(size: number): Step {
  const title = `UDP, ${size} B, received`;
  return {
    ...{ subject: 'udp', title, all: false },
    announce: (table) => table.figure('udp', `udp${size}`, title, 'kpps', 'more'),
    measure: async ({ lab }, seconds, put) => put(`udp${size}`, (await udp(lab, seconds, size)) / 1000),
  };
}

const PING_FIGURES: readonly (readonly [string, (times: readonly number[]) => number])[] = [
  ['mean', mean],
  ['median', (times) => percentile(times, 50)],
  ['p99', (times) => percentile(times, 99)],
  ['max', (times) => percentile(times, 100)],
];

function announcePings(table: Table, subject: Subject, id: string, title: string): void {
  for (const [name] of PING_FIGURES) table.figure(subject, `${id}-${name}`, `${title}, ${name}`, 'µs', 'less');
}

function putPings(put: Put, id: string, times: readonly number[]): void {
  for (const [name, of] of PING_FIGURES) put(`${id}-${name}`, of(times));
}

function idlePing(intervalMs: number): Step {
  const [id, title] = [`ping${intervalMs}`, `ping every ${intervalMs} ms`];
  return {
    ...{ subject: 'ping', title, all: false },
    announce: (table) => announcePings(table, 'ping', id, title),
    async measure({ lab }, seconds, put) {
      putPings(put, id, await ping(lab, seconds, intervalMs));
    },
  };
}

const PING_UNDER_LOAD: Step = {
  ...{ subject: 'load', title: 'ping beside TCP, 1 stream', all: false },
  announce(table) {
    for (const interval of [5, 200])
      announcePings(table, 'load', `load${interval}`, `ping every ${interval} ms beside TCP`);
  },
  async measure({ lab }, seconds, put) {
    // TCP begins first and ends last.
    const load = tcp(lab, seconds + 1);
    load.catch(() => {});
    await sleep(500);
    const [often, seldom] = await Promise.all([ping(lab, seconds, 5), ping(lab, seconds, 200)]);
    await load;
    putPings(put, 'load5', often);
    putPings(put, 'load200', seldom);
  },
};

const TAIL: Step = {
  ...{ subject: 'tail', title: `ping at ${TAIL_LOAD * 100} % of the peak`, all: false },
  announce(table) {
    table.figure(
      'tail',
      'tail',
      `ping every ${TAIL_INTERVAL_MS} ms at ${TAIL_LOAD * 100} % of its own TCP peak, p99.9`,
      'µs',
      'less',
    );
  },
  async measure({ lab }, seconds, put) {
    const peak = (await tcp(lab, 1)).bitsPerSecond / 1e9;
    const load = tcp(lab, 2 * seconds + 1, 1, '1 to 2', TAIL_LOAD * peak);
    load.catch(() => {});
    await sleep(500);
    const times = await ping(lab, 2 * seconds, TAIL_INTERVAL_MS);
    await load;
    put('tail', percentile(times, 99.9));
  },
};

const STEPS: readonly Step[] = [
  throughput(1, '1 to 2'),
  throughput(1, '2 to 1'),
  throughput(4, '1 to 2'),
  throughput(4, '2 to 1'),
  packets(64),
  packets(1300),
  idlePing(5),
  idlePing(200),
  PING_UNDER_LOAD,
  TAIL,
];

/** The subjects of each group of figures. */
const GROUPS: readonly (readonly [string, string, readonly Subject[]])[] = [
  ['throughput', 'Throughput', ['tcp', 'udp']],
  ['latency', 'Latency', ['ping', 'load', 'tail']],
  ['resources', 'Start and memory', ['start', 'idle']],
];

export async function measureNetwork(options: NetworkOptions): Promise<Group[]> {
  const { contestants, subjects, rounds, quick } = options;
  const table = new Table(rounds);
  const steps = STEPS.filter(({ subject }) => subjects.has(subject));
  if (subjects.has('start'))
    table.figure('start', 'start', 'from start to the first answer on the UAPI socket', 'ms', 'less');
  if (subjects.has('idle')) {
    if (!quick) table.figure('idle', 'idle-cpu', 'processor time of a daemon with an idle session', '%', 'less');
    table.figure('idle', 'rss-idle', 'resident memory of a daemon, idle', 'MiB', 'less');
  }
  for (const step of steps) step.announce(table);
  if (subjects.has('idle'))
    table.figure('idle', 'rss-load', 'resident memory of a daemon, after the load above', 'MiB', 'less');
  if (!NETWORK_SUBJECTS.some((subject) => subjects.has(subject))) return [];
  for (let round = 0; round < rounds; round++) {
    // There and back again: nobody is always the first.
    const order = round % 2 === 0 ? contestants : [...contestants].reverse();
    await measureRound(options, order, steps, table, round);
  }
  return GROUPS.map(([id, title, of]) => {
    const figures = table.figures().filter(({ subject }) => of.some((one) => one === subject));
    const columns = contestants
      .filter((who) => figures.some(({ values }) => values[who.id] !== undefined))
      .map(({ id: column, title: name, version }) => ({ id: column, title: name, ...(version && { version }) }));
    return { id, title, columns, baseline: 'wireguard-go', figures };
  }).filter(({ figures }) => figures.length > 0);
}

async function measureRound(
  { subjects, seconds, rounds, quick, say, fail }: NetworkOptions,
  order: readonly Contestant[],
  steps: readonly Step[],
  table: Table,
  round: number,
): Promise<void> {
  const tunnels: Tunnel[] = [];
  const put = (title: string, who: Contestant): Put => {
    return (id, value) => {
      table.put(id, who.id, round, value);
      say(`round ${round + 1} of ${rounds}  ${who.title.padEnd(22)} ${title}: ${id} = ${value.toPrecision(4)}`);
    };
  };
  const attempt = async (title: string, who: Contestant, run: (to: Put) => void | Promise<void>): Promise<void> => {
    try {
      await run(put(title, who));
    } catch (error) {
      fail(`${who.title}, ${title}, round ${round + 1}: ${(error as Error).message.split('\n')[0]}`);
    }
  };
  try {
    for (const who of order) {
      if (subjects.has('start') && who.whole) {
        await attempt('start', who, async (to) => to('start', await startMs(who)));
      }
      await attempt('raising the tunnel', who, async () => void tunnels.push(await raise(who)));
    }
    if (subjects.has('idle')) await measureIdle(tunnels, quick, attempt);
    // Compilers warm up, buffers grow: the first second counts for nobody.
    if (steps.length > 0) {
      for (const { contestant, lab } of tunnels)
        await attempt('warming up', contestant, async () => void (await tcp(lab, 1)));
    }
    for (const step of steps) {
      for (const tunnel of tunnels.filter(({ contestant }) => step.all || contestant.whole)) {
        await attempt(step.title, tunnel.contestant, (to) => step.measure(tunnel, seconds, to));
      }
    }
    if (subjects.has('idle') && steps.length > 0) {
      for (const { contestant, devices } of tunnels) {
        await attempt('after load', contestant, (to) => to('rss-load', residentMib(devices)));
      }
    }
  } finally {
    for (const { lab } of tunnels) await lower(lab);
  }
}

/** All tunnels at once: they do nothing. */
async function measureIdle(
  tunnels: readonly Tunnel[],
  quick: boolean,
  attempt: (title: string, who: Contestant, run: (to: Put) => void) => Promise<void>,
): Promise<void> {
  // What starting up left to do (collectors, compilers) is done by then.
  await sleep((quick ? QUICK_SETTLE_S : SETTLE_S) * 1000);
  const before = tunnels.map(({ devices }) => cpuSeconds(devices));
  const seconds = quick ? 0 : IDLE_S;
  await sleep(seconds * 1000);
  for (const [i, { contestant, devices }] of tunnels.entries()) {
    await attempt('idle', contestant, (to) => {
      if (seconds > 0) to('idle-cpu', ((cpuSeconds(devices) - before[i]!) / devices.length / seconds) * 100);
      to('rss-idle', residentMib(devices));
    });
  }
}
