/**
 * Cryptokey routing at a thousand and at a million prefixes: time of a look-up, of a set, and memory.
 *
 * Addresses are drawn at random from all prefixes, the worst case for a cache. The last column is
 * the ratio to the small table of the same run.
 */
import { AllowedIps } from '../src/core/allowed-ips.js';

const LOOKUPS = 100_000;
const ROUNDS = 15;
const PROBES = 65_536;

/** A permutation of the 32-bit numbers that looks random. */
function scatter(n: number): number {
  let t = Math.imul(n ^ (n >>> 16), 0x21f0aaad);
  t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
  return (t ^ (t >>> 15)) >>> 0;
}

interface Result {
  readonly lookupNs: number;
  readonly setUs: number;
  readonly bytesPerPrefix: number;
}

function measure(bits: 32 | 128, prefixes: number): Result {
  const table = new AllowedIps(bits);
  const width = bits / 8;
  const address = new Uint8Array(width);
  const view = new DataView(address.buffer);
  const probes = new Uint8Array(PROBES * width);
  const start = performance.now();
  for (let i = 0; i < prefixes; i++) {
    for (let word = 0; word < width; word += 4) view.setUint32(word, scatter(i + word * 0x1000000));
    if (bits === 128) view.setUint16(0, 0xfd00);
    // Mostly hosts, and a network with every fourth.
    table.set(address, i % 4 === 0 ? (bits * 3) / 4 : bits, i % 100_000);
    probes.set(address, (i % PROBES) * width);
  }
  const setUs = ((performance.now() - start) * 1000) / prefixes;
  const known = Math.min(prefixes, PROBES);
  let best = Number.POSITIVE_INFINITY;
  let misses = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const from = performance.now();
    for (let i = 0; i < LOOKUPS; i++) if (table.lookup(probes, ((i * 40_503) % known) * width) < 0) misses++;
    best = Math.min(best, performance.now() - from);
  }
  if (misses > 0) throw new Error(`${misses} addresses were not found`);
  return { lookupNs: (best * 1e6) / LOOKUPS, setUs, bytesPerPrefix: table.memoryBytes / table.size };
}

console.log('family  prefixes   look-up   set, µs   bytes a prefix   look-up against the small table');
for (const bits of [32, 128] as const) {
  let small = 0;
  for (const prefixes of [1000, 1_000_000]) {
    const { lookupNs, setUs, bytesPerPrefix } = measure(bits, prefixes);
    small ||= lookupNs;
    const family = bits === 32 ? 'IPv4' : 'IPv6';
    const columns = [
      family.padEnd(6),
      String(prefixes).padStart(9),
      `${lookupNs.toFixed(0)} ns`.padStart(9),
      setUs.toFixed(2).padStart(9),
      bytesPerPrefix.toFixed(0).padStart(16),
      (lookupNs / small).toFixed(1).padStart(33),
    ];
    console.log(columns.join(' '));
  }
}
