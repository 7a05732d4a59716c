/**
 * Where implementations are measured: each has two namespaces of its own with a tunnel between them, and runs
 * both ends of it. All tunnels of a round stand side by side, idle but for the one that is measured.
 *
 *   namespace 1                          namespace 2
 *   [a] 192.168.241.1                    [b] 192.168.241.2
 *   veth1 10.0.0.1/24 ------------------ veth2 10.0.0.2/24
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Device, Lab, pidOf, residentKib, uapi } from '../test/netns/harness.js';
import { V4, vethTunnel } from '../test/netns/topology.js';
import type { Contestant } from './contestants.js';

/** The same for all, whatever an implementation's own default is. */
export const MTU = 1420;
const START_LIMIT_MS = 20_000;

export interface Tunnel {
  readonly contestant: Contestant;
  readonly lab: Lab;
  readonly devices: readonly [Device, Device];
}

/** Starts both ends, and waits for the first answer through the tunnel. @throws Error with the daemons' last words */
export async function raise(contestant: Contestant): Promise<Tunnel> {
  const lab = new Lab();
  try {
    const { command, env } = contestant;
    const daemon = { command, env: { LOG_LEVEL: 'error', ...env } };
    const [a, b] = await vethTunnel(lab, ['typetun', 'typetun'], true, {
      mtu: MTU,
      daemon,
      endpoints: ['10.0.0.2:2', '10.0.0.1:1'],
    });
    await lab.in(1, `ping -n -q -c 1 -w 10 ${V4[1]}`);
    return { contestant, lab, devices: [a, b] };
  } catch (error) {
    const said = lab.devices.map(({ daemon }) => daemon.output.slice(-500)).join('\n');
    await lower(lab);
    throw new Error(`${contestant.title}: ${(error as Error).message}\n${said}`);
  }
}

/** Ends daemons and namespaces. What an implementation leaves behind is removed with its namespace. */
export async function lower(lab: Lab): Promise<void> {
  await lab.close().catch(() => lab.abandon());
}

/** Processor time of these daemons since they started, in seconds: all their threads, user and kernel. */
export function cpuSeconds(devices: readonly Device[]): number {
  let nanoseconds = 0;
  for (const device of devices) {
    const tasks = `/proc/${pidOf(device)}/task`;
    for (const task of readdirSync(tasks)) {
      // Time on a processor, time waiting for one, and turns (Documentation/scheduler/sched-stats.rst).
      nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]);
    }
  }
  return nanoseconds / 1e9;
}

/** Resident memory of the larger of the daemons, in MiB. */
export function residentMib(devices: readonly Device[]): number {
  return Math.max(...devices.map((device) => residentKib(device))) / 1024;
}

let starts = 0;

/** Milliseconds from starting a daemon to its first answer on the UAPI socket. It is ended afterwards. */
export async function startMs({ title, command, env }: Contestant): Promise<number> {
  const lab = new Lab();
  const name = `tb${process.pid.toString(36)}x${(starts++).toString(36)}`;
  try {
    await lab.namespace(1);
    const start = performance.now();
    const daemon = lab.spawn(1, [...command, '-f', name], { env: { LOG_LEVEL: 'error', ...env } });
    while (!(await uapi(name, 'get=1\n\n').catch(() => '')).includes('errno=0')) {
      if (daemon.ended) throw new Error(`${title} ended early: ${daemon.output}`);
      if (performance.now() - start > START_LIMIT_MS) throw new Error(`${title} did not answer`);
      await sleep(1);
    }
    return performance.now() - start;
  } finally {
    await lower(lab);
    rmSync(`/var/run/wireguard/${name}.sock`, { force: true });
  }
}
