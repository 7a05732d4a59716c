/** The replay window: a look and a mark, as each received packet costs them. */
import { ReplayWindow } from '../src/core/replay.js';
import { bestNs } from './clock.js';
import { type Effort, type Group, Table } from './results.js';

const REPEATS = 30;
const QUICK_REPEATS = 5;
const PACKETS = 100_000;

/** How a packet's place in the stream becomes its counter; the window starts anew with each measurement. */
const ORDERS: readonly (readonly [string, (place: number) => number])[] = [
  ['in order', (place) => place],
  ['every other lost', (place) => place * 2],
  ['pairs swapped', (place) => place ^ 1],
  ['64 late by 64', (place) => place ^ 64],
  ['2,048 late by 2,048', (place) => place ^ 2048],
  ['each one twice', (place) => place >> 1],
];

/** @returns nanoseconds a packet */
export function measureReplay({ rounds, quick }: Effort): Group[] {
  const table = new Table(rounds);
  const window = new ReplayWindow();
  for (const [name] of ORDERS) table.figure('replay', name, name, 'ns', 'less');
  for (let round = 0; round < rounds; round++) {
    for (const [name, counterOf] of ORDERS) {
      let accepted = 0;
      const run = (): void => {
        window.reset();
        accepted = 0;
        for (let place = 0; place < PACKETS; place++) {
          const counter = counterOf(place);
          if (window.check(counter, 0) && window.mark(counter, 0)) accepted++;
        }
      };
      table.put(name, 'typetun', round, bestNs(run, 1, quick ? QUICK_REPEATS : REPEATS) / PACKETS);
      if (accepted !== (name === 'each one twice' ? PACKETS / 2 : PACKETS))
        throw new Error(`replay window: ${accepted}`);
    }
  }
  const columns = [{ id: 'typetun', title: 'typetun' }];
  return [{ id: 'replay', title: 'Replay window, a packet', columns, baseline: 'typetun', figures: table.figures() }];
}
