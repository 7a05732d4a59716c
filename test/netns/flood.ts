/**
 * A flood against one side of a tunnel, from a third party on its network, beside which a new peer wants in:
 *
 *   namespace 1                          namespace 2
 *   [a] 192.168.241.1                    [b] 192.168.241.2, [c] a newcomer, flooder.ts
 *   veth1 10.0.0.1/24 ------------------ veth2 10.0.0.2/24
 */
import { fileURLToPath } from 'node:url';
import { type DaemonOptions, type Device, type Job, type Lab, until } from './harness.js';
import { latestHandshake, PORTS, vethTunnel } from './topology.js';

/** What a flood consists of: flooder.ts says more. */
export const FLOODS = ['garbage', 'bad-mac1', 'mac1'] as const;

export interface Flood {
  readonly kind: (typeof FLOODS)[number];
  /** Messages a second. */
  readonly rate: number;
  /** It ends by itself then. */
  readonly seconds: number;
  /** Ports that they come from. */
  readonly sources: number;
}

/** What flooder.ts prints at its end. */
export interface FloodReport {
  readonly sent: number;
  readonly seconds: number;
}

export interface FloodStage {
  /** Flooded. */
  readonly a: Device;
  /** Its peer, which can have a session. */
  readonly b: Device;
  /** Its peer, but not told of it yet. */
  readonly c: Device;
}

export const PORT_OF_C = 3;
const FLOODER = fileURLToPath(new URL('./flooder.js', import.meta.url));
/** Routed to namespace 1, and no address of it. */
const NOWHERE = '10.9.9.9';

export async function raiseFloodStage(
  lab: Lab,
  daemon: Pick<DaemonOptions, 'command' | 'env'> = {},
): Promise<FloodStage> {
  const [a, b] = await vethTunnel(lab, ['typetun', 'typetun'], true, {
    daemon,
    endpoints: ['10.0.0.2:2', '10.0.0.1:1'],
  });
  const c = await lab.device('typetun', 2, daemon);
  await lab.in(1, 'echo 0 > /proc/sys/net/ipv4/ip_forward');
  await lab.ip(2, `route add ${NOWHERE} via 10.0.0.1`);
  await lab.wg(`set ${c.name} listen-port ${PORT_OF_C}`);
  await lab.ip(2, `link set ${c.name} up`);
  await lab.wg(`set ${a.name} peer ${c.publicKey} allowed-ips 192.168.242.3/32`);
  return { a, b, c };
}

/**
 * Begins a flood of a. @param passing sends it by way of a's namespace to nowhere, where the kernel drops it: it costs
 * the machine what a flood costs that nobody receives
 */
export async function beginFlood(lab: Lab, { a }: FloodStage, flood: Flood, passing = false): Promise<Job> {
  const { kind, rate, seconds, sources } = flood;
  const words = [passing ? NOWHERE : '10.0.0.1', PORTS[0], a.publicKey, kind, rate, seconds, sources];
  const job = lab.spawn(2, [process.execPath, FLOODER, ...words.map(String)]);
  await job.prints('begun\n');
  return job;
}

/** Ends a flood early. @throws Error when it had ended before: what was to happen meanwhile may have come later */
export async function endFlood(job: Job): Promise<FloodReport> {
  if (job.ended) throw new Error('the flood was over too soon');
  await job.terminate(10_000);
  return JSON.parse(job.stdout.split('\n')[1] ?? '') as FloodReport;
}

/** Tells c of a, and waits until a has a session with it. @throws Error when it takes longer than that */
export async function admit(lab: Lab, { a, c }: FloodStage, timeoutMs: number): Promise<void> {
  await lab.wg(`set ${c.name} peer ${a.publicKey} endpoint 10.0.0.1:1 allowed-ips 0.0.0.0/0 persistent-keepalive 1`);
  await until('the first session of c', async () => (await latestHandshake(lab, a, c)) > 0, timeoutMs);
}

/** The handshake messages of b and c, as they are seen on their side of the wire. */
export async function captureHandshakes(lab: Lab): Promise<Capture> {
  const filter = `(udp port ${PORTS[1]} or udp port ${PORT_OF_C}) and udp[8:4] & 0xfcffffff = 0`;
  const job = lab.spawn(2, ['tcpdump', '-n', '-x', '-l', '--immediate-mode', '-i', 'veth2', filter]);
  await job.prints('listening on');
  return new Capture(job);
}

export class Capture {
  readonly #job: Job;

  constructor(job: Job) {
    this.#job = job;
  }

  /** What went between a and a port: `initiation`, `initiation with cookie`, `response`, `cookie reply`, in order. */
  between(port: number): string[] {
    // Each packet is a line that begins with the time, and lines of hex.
    const packets = this.#job.stdout.split(/\n(?=\d)/).map((text) => {
      const hex = [...text.matchAll(/^\t0x[\da-f]{4}: {2}(.*)$/gm)].map(([, words]) => words?.replaceAll(' ', ''));
      return Buffer.from(hex.join(''), 'hex');
    });
    const ours = packets.filter((ip) => ip.length > 28 && [ip.readUInt16BE(20), ip.readUInt16BE(22)].includes(port));
    return ours.map((ip) => describe(ip.subarray(28)));
  }
}

function describe(message: Buffer): string {
  if (message[0] === 3) return 'cookie reply';
  const name = message[0] === 1 ? 'initiation' : 'response';
  return message.subarray(-16).every((byte) => byte === 0) ? name : `${name} with cookie`;
}
