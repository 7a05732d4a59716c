/**
 * Cryptokey routing at a thousand and at a million prefixes: time of a look-up, of a set, and memory.
 *
 * Addresses are drawn at random from all prefixes, the worst case for a cache.
 */
import { randomFillSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { AllowedIps } from '../src/core/allowed-ips.js';

const ROUNDS = 2000;
const BATCH = 1024;

/** A permutation of the 32-bit numbers that looks random. */
function scatter(n: number): number {
  let t = Math.imul(n ^ (n >>> 16), 0x21f0aaad);
  t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
  return (t ^ (t >>> 15)) >>> 0;
}

export interface RoutingFigures {
  readonly bits: 32 | 128;
  readonly prefixes: number;
  /** Nanoseconds of a look-up, median over many batches. */
  readonly lookupNs: number;
  readonly setUs: number;
  readonly bytesPerPrefix: number;
}

/** @param lengths prefix lengths, given out in turn */
export function measureRouting(
  bits: 32 | 128,
  prefixes: number,
  lengths: readonly number[] = [bits, bits, bits, (bits * 3) / 4],
): RoutingFigures {
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
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < BATCH; i++) {
      const from = Math.floor(Math.random() * prefixes) * width;
      probes.set(addresses.subarray(from, from + width), i * width);
    }
    const from = performance.now();
    for (let at = 0; at < probes.length; at += width) if (table.lookup(probes, at) < 0) misses++;
    times.push(((performance.now() - from) * 1e6) / BATCH);
  }
  if (misses > 0) throw new Error(`${misses} addresses were not found`);
  const lookupNs = times.sort((a, b) => a - b)[ROUNDS >> 1]!;
  return { bits, prefixes, lookupNs, setUs, bytesPerPrefix: table.memoryBytes / table.size };
}

function main(): void {
  console.log('family  lengths  prefixes  look-up  to the small   set, µs  bytes a prefix');
  for (const bits of [32, 128] as const) {
    const many = Array.from({ length: 17 }, (_, i) => bits - i);
    for (const lengths of [[bits, bits, bits, (bits * 3) / 4], many]) {
      let small: RoutingFigures | undefined;
      for (const prefixes of [1000, 100_000, 1_000_000]) {
        const figures = measureRouting(bits, prefixes, lengths);
        small ??= figures;
        const cells = [
          (bits === 32 ? 'IPv4' : 'IPv6').padEnd(6),
          `${new Set(lengths).size}`.padStart(8),
          `${prefixes}`.padStart(9),
          `${figures.lookupNs.toFixed(0)} ns`.padStart(8),
          (figures.lookupNs / small.lookupNs).toFixed(1).padStart(13),
          figures.setUs.toFixed(2).padStart(9),
          figures.bytesPerPrefix.toFixed(0).padStart(15),
        ];
        console.log(cells.join(' '));
      }
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
