/**
 * Cryptokey routing from one prefix to a million: time of a look-up, of a set, and memory.
 *
 * Addresses are drawn at random from all prefixes, the worst case for a cache.
 */
import { randomFillSync } from 'node:crypto';
import { AllowedIps } from '../src/core/allowed-ips.js';
import { type Effort, type Group, Table } from './results.js';
import { median } from './statistics.js';

const BATCHES = 200;
const QUICK_BATCHES = 40;
/** Look-ups in a batch. */
const BATCH = 1024;
const SIZES: readonly number[] = [1, 1_000, 10_000, 100_000, 1_000_000];
const USUAL_LENGTHS = 2;
const MANY_LENGTHS = 17;

/** A permutation of the 32-bit numbers that looks random. */
function scatter(n: number): number {
  let t = Math.imul(n ^ (n >>> 16), 0x21f0aaad);
  t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
  return (t ^ (t >>> 15)) >>> 0;
}

interface RoutingFigures {
  /** Nanoseconds of a look-up, median over many batches. */
  readonly lookupNs: number;
  readonly setUs: number;
  readonly bytesPerPrefix: number;
}

/** @param lengths prefix lengths, given out in turn */
function measureRouting(bits: 32 | 128, prefixes: number, lengths: readonly number[], batches: number): RoutingFigures {
  const table = new AllowedIps(bits, (out) => void randomFillSync(out));
  const width = bits / 8;
  const addresses = new Uint8Array(prefixes * width);
  const view = new DataView(addresses.buffer);
  const start = performance.now();
  for (let i = 0; i < prefixes; i++) {
    for (let word = 0; word < width; word += 4) view.setUint32(i * width + word, scatter(i + word * 0x1000000));
    if (bits === 128) view.setUint16(i * width, 0xfd00);
    table.set(addresses.subarray(i * width, (i + 1) * width), lengths[i % lengths.length]!, i % 100_000);
  }
  const setUs = ((performance.now() - start) * 1000) / prefixes;
  const probes = new Uint8Array(BATCH * width);
  const times: number[] = [];
  let misses = 0;
  for (let batch = 0; batch < batches; batch++) {
    for (let i = 0; i < BATCH; i++) {
      const from = Math.floor(Math.random() * prefixes) * width;
      probes.set(addresses.subarray(from, from + width), i * width);
    }
    const from = performance.now();
    for (let at = 0; at < probes.length; at += width) if (table.lookup(probes, at) < 0) misses++;
    times.push(((performance.now() - from) * 1e6) / BATCH);
  }
  if (misses > 0) throw new Error(`${misses} addresses were not found`);
  return { lookupNs: median(times), setUs, bytesPerPrefix: table.memoryBytes / table.size };
}

/** @returns figures by the number of prefixes */
export function measureTables({ rounds, quick }: Effort): Group[] {
  const table = new Table(rounds);
  for (let round = 0; round < rounds; round++) {
    for (const bits of [32, 128] as const) {
      for (const lengths of quick ? [USUAL_LENGTHS] : [USUAL_LENGTHS, MANY_LENGTHS]) {
        const title = `IPv${bits === 32 ? 4 : 6}, ${lengths} lengths`;
        table.figure('tables', `lookup${bits}-${lengths}`, `${title}, look-up`, 'ns', 'less');
        table.figure('tables', `set${bits}-${lengths}`, `${title}, set`, 'µs', 'less');
        table.figure('tables', `memory${bits}-${lengths}`, `${title}, memory a prefix`, 'B', 'less');
        for (const size of SIZES) {
          const figures = measureRouting(bits, size, lengthsOf(bits, lengths), quick ? QUICK_BATCHES : BATCHES);
          table.put(`lookup${bits}-${lengths}`, `${size}`, round, figures.lookupNs);
          // The table itself is more than one prefix.
          if (size === 1) continue;
          table.put(`set${bits}-${lengths}`, `${size}`, round, figures.setUs);
          table.put(`memory${bits}-${lengths}`, `${size}`, round, figures.bytesPerPrefix);
        }
      }
    }
  }
  const columns = SIZES.map((size) => ({ id: `${size}`, title: `${size.toLocaleString('en-US')} prefixes` }));
  return [{ id: 'tables', title: 'Cryptokey routing', columns, baseline: '1000', figures: table.figures() }];
}

/** Two lengths: mostly hosts, and a network with every fourth; or the last `count` lengths in turn. */
function lengthsOf(bits: 32 | 128, count: number): readonly number[] {
  if (count === USUAL_LENGTHS) return [bits, bits, bits, (bits * 3) / 4];
  return Array.from({ length: count }, (_, i) => bits - i);
}
