/**
 * What a flood of initiations costs: `node dist/bench/flood.js [RATE]`, by default 50,000 a second of each kind.
 *
 *   namespace 1                          namespace 2
 *   [a] 192.168.241.1                    [b] 192.168.241.2, [c] a newcomer, flooder.ts
 *   veth1 10.0.0.1/24 ------------------ veth2 10.0.0.2/24
 *
 * TCP from b to a without and under the flood, how much a's memory grew, and how long it takes until a has a session
 * with c that it did not know before. The flooder shares the machine's processors with both daemons and iperf3.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, Lab, until } from '../test/netns/harness.js';
import { latestHandshake, V4, vethTunnel } from '../test/netns/topology.js';
import { lower } from './stage.js';

const FLOODER = fileURLToPath(new URL('../test/netns/flooder.js', import.meta.url));
const RATE = process.argv[2] ?? '50000';
const FLOOD_SECONDS = 25;
const TCP_SECONDS = 4;

function residentMib({ daemon }: Device): number {
  const status = readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

async function tcp(lab: Lab): Promise<number> {
  const text = await lab.in(2, `iperf3 -J -c ${V4[0]} -t ${TCP_SECONDS}`, { timeoutMs: 60_000 });
  const report = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
  return report.end.sum_received.bits_per_second / 1e9;
}

async function measure(kind: string): Promise<string> {
  const lab = new Lab();
  try {
    const [a, b] = await vethTunnel(lab, ['typetun', 'typetun'], true, {
      endpoints: ['10.0.0.2:2', '10.0.0.1:1'],
      daemon: { env: { LOG_LEVEL: 'error' } },
    });
    const c = await lab.device('typetun', 2, { env: { LOG_LEVEL: 'error' } });
    await lab.ip(2, `link set ${c.name} up`);
    await lab.wg(`set ${a.name} peer ${c.publicKey} allowed-ips 192.168.242.3/32`);
    lab.spawn(1, ['iperf3', '-s']);
    await lab.in(2, `ping -n -q -c 2 -w 10 ${V4[0]}`);
    await tcp(lab);
    const quiet = await tcp(lab);
    const before = residentMib(a);
    const first = await latestHandshake(lab, a, b);
    const flooder = lab.spawn(2, [
      process.execPath,
      FLOODER,
      '10.0.0.1',
      '1',
      a.publicKey,
      kind,
      RATE,
      `${FLOOD_SECONDS}`,
    ]);
    const underFlood = await tcp(lab);
    const start = performance.now();
    await lab.wg(`set ${c.name} peer ${a.publicKey} endpoint 10.0.0.1:1 allowed-ips 0.0.0.0/0 persistent-keepalive 1`);
    await until('a session of c', async () => (await latestHandshake(lab, a, c)) > 0, 60_000);
    const newcomer = (performance.now() - start) / 1000;
    await lab.ip(2, `link set ${b.name} down`);
    await lab.ip(2, `link set ${b.name} up`);
    await lab.wg(`set ${b.name} peer ${a.publicKey} persistent-keepalive 1`);
    const again = performance.now();
    await until('a new session of b', async () => (await latestHandshake(lab, a, b)) > first, 60_000);
    const renewal = (performance.now() - again) / 1000;
    const grown = residentMib(a) - before;
    await flooder.end(120_000);
    const { sent, seconds } = JSON.parse(flooder.stdout) as { sent: number; seconds: number };
    const cells = [
      kind.padEnd(8),
      `${(sent / seconds).toFixed(0)}/s`.padStart(9),
      quiet.toFixed(2).padStart(7),
      `${underFlood.toFixed(2)} (${((100 * underFlood) / quiet).toFixed(0)} %)`.padStart(14),
      `${grown.toFixed(1)} MiB`.padStart(11),
      `${newcomer.toFixed(1)} s`.padStart(9),
      `${renewal.toFixed(1)} s`.padStart(9),
    ];
    return cells.join('  ');
  } finally {
    await lower(lab);
  }
}

console.log('flood        sent     TCP quiet, under it (Gbit/s)   memory    newcomer   renewal');
for (const kind of ['garbage', 'mac1', 'short']) console.log(await measure(kind));
