/**
 * How long `typetun wg show IFACE` takes beside `node -e 0` and the stock `wg`, in alternating runs. The device is a
 * UAPI server in a process of its own.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { which } from '../test/netns/environment.js';
import { type Effort, type Group, Table } from './results.js';
import { median } from './statistics.js';

const RUNS = 15;
const QUICK_RUNS = 5;
const TYPETUN = resolve(import.meta.dirname, '../../bin/typetun');
const SERVER = resolve(import.meta.dirname, 'uapi-device.js');

/** @returns milliseconds from start to end, by command */
export async function measureStart({ rounds, quick }: Effort): Promise<Group[]> {
  const table = new Table(rounds);
  table.figure('wg', 'wg-show', 'wg show, from start to end', 'ms', 'less');
  const name = `ttstart${process.pid % 100_000}`;
  const server = spawn(process.execPath, [SERVER, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  const commands: Record<string, readonly string[]> = {
    node: [process.execPath, '-e', '0'],
    typetun: [process.execPath, TYPETUN, 'wg', 'show', name],
  };
  const wg = which('wg');
  if (wg !== undefined) commands['wg'] = [wg, 'show', name];
  try {
    await once(server.stdout, 'data');
    for (let round = 0; round < rounds; round++) {
      const times: Record<string, number[]> = {};
      for (let run = 0; run < (quick ? QUICK_RUNS : RUNS); run++) {
        for (const [id, [command, ...words]] of Object.entries(commands)) {
          const start = performance.now();
          const { status } = spawnSync(command!, words, { stdio: 'ignore' });
          if (status !== 0) throw new Error(`${id} ended with ${status}`);
          times[id] ??= [];
          times[id].push(performance.now() - start);
        }
      }
      for (const [id, values] of Object.entries(times)) table.put('wg-show', id, round, median(values));
    }
  } finally {
    server.kill();
  }
  const titles: Readonly<Record<string, string>> = { node: 'node -e 0', typetun: 'typetun wg', wg: 'stock wg' };
  const columns = Object.keys(commands).map((id) => ({ id, title: titles[id]! }));
  return [{ id: 'wg', title: 'Start of a command', columns, baseline: 'node', figures: table.figures() }];
}
