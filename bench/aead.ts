/**
 * The cipher's cost for a packet, by back end, through the same batches as the data path; and what a
 * handshake asks of the suite. `node dist/bench/aead.js [rounds]`
 *
 * The back ends alternate within a run. A figure is the median of the rounds.
 */
import { HEADROOM, PacketBatch, TAILROOM } from '../src/core/batch.js';
import { type Crypto, createSuite, describeBackend } from '../src/crypto/index.js';
import { findOpenSsl, type OpenSsl } from '../src/crypto/openssl.js';
import { hasPrimitives } from '../src/crypto/primitives.js';
import { allocate } from '../src/linux/ffi.js';

const ROUNDS = Number(process.argv[2] ?? 40);
const ROWS = 64;
const LENGTHS: readonly number[] = [0, 64, 192, 256, 512, 1024, 1280, 1420, 1424, 8192];
const STRIDE: number = HEADROOM + 8192 + TAILROOM;

interface Contestant {
  readonly name: string;
  readonly crypto: Crypto;
  readonly slot: number;
}

function contestant(backend: Crypto['backend'], openssl: OpenSsl | null): Contestant {
  const crypto = createSuite({ arena: allocate(ROWS * STRIDE), backend, openssl });
  return { name: describeBackend(backend, openssl), crypto, slot: crypto.suite.installKey(new Uint8Array(32).fill(7)) };
}

function contestants(): Contestant[] {
  const node = findOpenSsl('node');
  const system = findOpenSsl('system');
  const all = [contestant('noble', null)];
  if (system) all.unshift(contestant('evp', system));
  if (node) all.unshift(contestant('evp', node));
  if (node && hasPrimitives(node.library)) all.unshift(contestant('primitives', node));
  return all;
}

/** @returns nanoseconds for each of `count` turns of `run` */
function time(count: number, run: () => void): number {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / count;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

function packets({ crypto, slot }: Contestant, length: number): { seal: number; open: number } {
  const batch = new PacketBatch(ROWS);
  batch.count = ROWS;
  for (let row = 0; row < ROWS; row++) {
    batch.key[row] = slot;
    batch.offset[row] = row * STRIDE + HEADROOM;
    batch.length[row] = length;
    batch.counterLo[row] = row;
  }
  const seal = time(ROWS, () => crypto.cipher.seal(batch));
  const open = time(ROWS, () => crypto.cipher.open(batch));
  if (!batch.verdict.every((fits) => fits === 1)) throw new Error('a packet did not open');
  return { seal, open };
}

/** Name, turns a round, and one turn. */
function handshakeParts({ crypto: { suite } }: Contestant): readonly (readonly [string, number, () => void])[] {
  const [key, out, nonce, mac] = [
    new Uint8Array(32).fill(8),
    new Uint8Array(32),
    new Uint8Array(24),
    new Uint8Array(16),
  ];
  const [sealed, message] = [new Uint8Array(48), new Uint8Array(116).fill(1)];
  const identity = suite.importPrivateKey(key);
  const keyed = suite.createMac(key);
  return [
    ['importPrivateKey', 4, () => suite.importPrivateKey(key).destroy()],
    ['dh', 4, () => void identity.dh(identity.publicKey, out)],
    ['hash 32 + 32', 64, () => suite.hash(out, key, key)],
    ['hmac 32', 64, () => suite.hmac(out, key, key)],
    ['mac 116', 64, () => keyed.compute(message, mac)],
    ['seal 32', 64, () => suite.seal(sealed, key, key, key)],
    ['xseal 16', 64, () => suite.xseal(sealed, key, nonce, mac, mac)],
  ];
}

function print(title: string, header: readonly string[], rows: readonly (readonly [string, ...string[]])[]): void {
  const width = Math.max(...rows.map(([name]) => name.length), title.length);
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(Math.max(7, header[i - 1]!.length + 2))))
      .join('');
  console.log(line([title, ...header]));
  for (const row of rows) console.log(line(row));
  console.log();
}

const all = contestants();
const results = new Map<string, number[]>();
const note = (key: string, value: number): void => {
  const values = results.get(key);
  if (values) values.push(value);
  else results.set(key, [value]);
};

for (const who of all) for (let i = 0; i < 100; i++) packets(who, i % 3 === 0 ? 64 : 1420 - (i % 20));
const parts = all.map((who) => handshakeParts(who));
for (let round = 0; round < ROUNDS; round++) {
  for (const [i, who] of all.entries()) {
    packets(who, LENGTHS[0]!);
    for (const length of LENGTHS) {
      const { seal, open } = packets(who, length);
      note(`${who.name} seal ${length}`, seal);
      note(`${who.name} open ${length}`, open);
    }
    for (const [name, turns, turn] of parts[i]!) {
      const nanoseconds = time(turns, () => {
        for (let n = 0; n < turns; n++) turn();
      });
      note(`${who.name} ${name}`, nanoseconds);
    }
  }
}

const figure = (key: string): string => median(results.get(key)!).toFixed(0);
console.log(`Node.js ${process.version}, ${process.arch}; nanoseconds, median of ${ROUNDS} rounds\n`);
for (const direction of ['seal', 'open']) {
  const rows = all.map(({ name }): [string, ...string[]] => [
    name,
    ...LENGTHS.map((length) => figure(`${name} ${direction} ${length}`)),
  ]);
  print(`${direction}, bytes`, LENGTHS.map(String), rows);
}
const names = parts[0]!.map(([name]) => name);
print(
  'handshake',
  names,
  all.map(({ name }) => [name, ...names.map((part) => figure(`${name} ${part}`))]),
);
