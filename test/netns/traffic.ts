/** Traffic through a tunnel, checked: floods of pings, TCP and UDP by iperf3, a file with its hash. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FULL } from './environment.js';
import type { Lab } from './harness.js';
import { V4, V6 } from './topology.js';

/** Commands that `everyTraffic` starts. */
export const TRAFFIC_TOOLS: readonly string[] = ['iperf3', 'ncat'];
const MIB = 1 << 20;

interface Amount {
  readonly pings: number;
  /** MiB of each TCP and UDP run, over all its streams. */
  readonly tcp: number;
  readonly udp: number;
  readonly streams: readonly number[];
}

/** Enough to meet every kind of traffic; the full tier's is enough to meet rare states. */
export const AMOUNT: Amount = {
  ...(FULL ? { pings: 2000, tcp: 256, udp: 128 } : { pings: 100, tcp: 8, udp: 4 }),
  streams: [1, 4, 5, 50],
};

/** Limits for what takes a second or a minute where nothing else runs. */
const FLOOD_SECONDS = FULL ? 300 : 30;
const TRANSFER_MS = FULL ? 600_000 : 120_000;

/** The tunnel addresses of the sides: in namespace 1 and in namespace 2. */
export interface Addresses {
  readonly v4: readonly [string, string];
  readonly v6: readonly [string, string];
}

const USUAL: Addresses = { v4: V4, v6: V6 };

/** Floods of pings both ways over both families: each must be answered. */
export async function floods(lab: Lab, count: number, { v4, v6 }: Addresses = USUAL, options = ''): Promise<void> {
  for (const hosts of [v4, v6]) {
    await flood(lab, 2, hosts[0], count, options);
    await flood(lab, 1, hosts[1], count, options);
  }
}

/**
 * A flood of pings from a namespace: `count` answers, and hardly a question without one.
 * ping waits two round trips for the last answer, which is too short now and then; with a deadline (-w) it sends
 * another one instead. At its end as many may be on their way as were at any time, which it tells as the "pipe".
 */
export async function flood(lab: Lab, from: number | string, host: string, count: number, options = ''): Promise<void> {
  const said = await lab.in(from, `ping -n -q -f -c ${count} -w ${FLOOD_SECONDS} ${options} ${host}`, {
    timeoutMs: (FLOOD_SECONDS + 30) * 1000,
  });
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(said) ?? [];
  const [, underway = 1] = /, pipe (\d+)/.exec(said) ?? [];
  const lost = Number(sent) - Number(received) - Number(underway);
  assert.ok(Number(received) >= count && lost <= 2 + count / 50, said);
}

/** T of the acceptance list: floods, TCP and UDP over both families, parallel streams; and a file over each. */
export async function everyTraffic(lab: Lab, addresses: Addresses = USUAL): Promise<void> {
  const { v4, v6 } = addresses;
  await floods(lab, AMOUNT.pings, addresses);
  for (const streams of AMOUNT.streams) {
    await tcp(lab, 1, 2, v4[1], AMOUNT.tcp, streams);
    await tcp(lab, 2, 1, v6[0], AMOUNT.tcp, streams);
  }
  await udp(lab, 2, 1, v4[0], AMOUNT.udp);
  await udp(lab, 1, 2, v6[1], AMOUNT.udp);
  await file(lab, 2, 1, v4[0], AMOUNT.tcp);
  await file(lab, 1, 2, v6[1], AMOUNT.tcp);
}

interface Sum {
  readonly bytes: number;
  readonly packets?: number;
  readonly lost_packets?: number;
}
interface Report {
  readonly error?: string;
  readonly end: { readonly streams: readonly unknown[]; readonly sum_received: Sum; readonly sum: Sum };
}

/** Of each socket, which the kernel doubles: what the receiver may not have read yet when iperf3 stops counting. */
const WINDOW_KIB = 128;

/**
 * TCP from one namespace to an address of another.
 * iperf3 ends when the sender has handed over its last byte: what is still in the sockets' buffers is not counted.
 * @param mib over all streams, but at least one for each
 */
export async function tcp(lab: Lab, from: number, to: number, host: string, mib: number, streams = 1): Promise<void> {
  const total = Math.max(mib, streams);
  const { end } = await iperf(lab, from, to, host, `-P ${streams} -n ${total}M -w ${WINDOW_KIB}K`);
  assert.equal(end.streams.length, streams, `streams to ${host}`);
  const least = total * MIB - streams * 5 * WINDOW_KIB * 1024;
  assert.ok(end.sum_received.bytes >= least, `TCP to ${host}: ${end.sum_received.bytes} bytes of ${total} MiB`);
}

/**
 * UDP at a rate that can be had; in the full tier as fast as iperf3 makes it. Datagrams may be lost for want of buffers,
 * as on any network: of what is more than any implementation can take, the kernel drops most in front of the TUN.
 */
export async function udp(lab: Lab, from: number, to: number, host: string, mib: number): Promise<void> {
  const { end } = await iperf(lab, from, to, host, `-u -b ${FULL ? 0 : '300M'} -l 1200 -n ${mib}M`);
  const { packets = 0, lost_packets: lost = 0 } = end.sum;
  assert.ok(packets > 0 && lost < packets * (FULL ? 1 : 0.9), `UDP to ${host}: ${lost} of ${packets} lost`);
}

async function iperf(lab: Lab, from: number, to: number, host: string, options: string): Promise<Report> {
  const server = lab.spawn(to, ['iperf3', '--server', '--one-off', '--forceflush', '--bind', host]);
  await server.prints('Server listening');
  // Its exit code says nothing that the report does not say better.
  const job = lab.spawn(from, ['iperf3', '--json', '--client', host, ...options.split(' ')]);
  await job.end(TRANSFER_MS);
  let report: Report;
  try {
    report = JSON.parse(job.stdout) as Report;
  } catch (error) {
    throw new Error(`iperf3 ${options} to ${host}: ${job.output}`, { cause: error });
  }
  assert.equal(report.error, undefined, `iperf3 ${options} to ${host}`);
  await server.end(20_000);
  return report;
}

/** A file of random bytes from one namespace to an address of another by ncat: the same SHA-256 must arrive. */
export async function file(lab: Lab, from: number, to: number, host: string, mib: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-netns-'));
  try {
    const bytes = randomBytes(mib * MIB);
    const [sent, received] = [join(directory, 'sent'), join(directory, 'received')];
    writeFileSync(sent, bytes);
    const server = lab.spawn(to, ['bash', '-c', `exec ncat --verbose --recv-only --listen ${host} 7777 > ${received}`]);
    await server.prints('Listening on');
    await lab.in(from, `ncat --send-only ${host} 7777 < ${sent}`, { timeoutMs: TRANSFER_MS });
    await server.end(30_000);
    const hash = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
    assert.equal(hash(readFileSync(received)), hash(bytes), `${mib} MiB by TCP to ${host}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
