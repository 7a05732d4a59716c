/** Traffic through a tunnel of the stage, by iperf3 and ping, and what they report as numbers. */
import type { Job, Lab } from '../test/netns/harness.js';
import { V4 } from '../test/netns/topology.js';

/** Beyond its own duration, what a run may take to begin and to end. */
const SLACK_MS = 15_000;

interface Sum {
  readonly seconds: number;
  readonly bytes: number;
  readonly bits_per_second: number;
  readonly packets?: number;
  readonly lost_packets?: number;
}
interface Report {
  readonly error?: string;
  readonly end: { readonly sum: Sum; readonly sum_received: Sum };
}

/** 1 to 2 is from namespace 1 to namespace 2. */
export type Direction = '1 to 2' | '2 to 1';

export interface Throughput {
  readonly bitsPerSecond: number;
  /** Received, over the whole run. */
  readonly bytes: number;
}

/** TCP for some seconds. @param gbitPerSecond what the sender is held to, over all streams; as fast as it goes without */
export async function tcp(
  lab: Lab,
  seconds: number,
  streams = 1,
  direction: Direction = '1 to 2',
  gbitPerSecond = 0,
): Promise<Throughput> {
  const rate = Math.round((gbitPerSecond * 1e9) / streams);
  const words = ['-P', `${streams}`, '-b', `${rate}`, ...(direction === '2 to 1' ? ['-R'] : [])];
  const { sum_received: received } = (await iperf(lab, seconds, words)).end;
  return { bitsPerSecond: received.bits_per_second, bytes: received.bytes };
}

/** UDP as fast as the sender goes. @param size bytes of payload @returns datagrams that the receiving program got, a second */
export async function udp(lab: Lab, seconds: number, size: number): Promise<number> {
  const {
    packets = 0,
    lost_packets: lost = 0,
    seconds: took,
  } = (await iperf(lab, seconds, ['-u', '-b', '0', '-l', `${size}`])).end.sum;
  return (packets - lost) / took;
}

async function iperf(lab: Lab, seconds: number, words: readonly string[]): Promise<Report> {
  const server = lab.spawn(2, ['iperf3', '--server', '--one-off', '--forceflush', '--bind', V4[1]]);
  try {
    await server.prints('Server listening');
    const client = ['iperf3', '--json', '--client', V4[1], '--time', `${seconds}`, ...words];
    const job = lab.spawn(1, client);
    await job.end(seconds * 1000 + SLACK_MS);
    const report = parse(job);
    if (report.error !== undefined) throw new Error(`${job.command}: ${report.error}`);
    return report;
  } finally {
    await server.terminate(2000);
  }
}

function parse(job: Job): Report {
  try {
    return JSON.parse(job.stdout) as Report;
  } catch (error) {
    throw new Error(`${job.command} printed no report: ${job.output.slice(-500)}`, { cause: error });
  }
}

/**
 * Pings from namespace 1 to 2, one every `intervalMs` for some seconds.
 * @returns round-trip times in microseconds, in the order of the answers
 */
export async function ping(lab: Lab, seconds: number, intervalMs: number): Promise<number[]> {
  const count = Math.max(1, Math.round((seconds * 1000) / intervalMs));
  const words = ['ping', '-n', '-c', `${count}`, '-i', `${intervalMs / 1000}`, '-w', `${seconds + 5}`, V4[1]];
  const job = lab.spawn(1, words);
  await job.end(seconds * 1000 + SLACK_MS);
  const times = pingTimesUs(job.stdout);
  if (times.length === 0) throw new Error(`${job.command}: no answer: ${job.output.slice(-500)}`);
  return times;
}

/** The `time=` of each line of ping(8)'s output, in microseconds. */
export function pingTimesUs(output: string): number[] {
  return [...output.matchAll(/ time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1000);
}
