/**
 * The cipher's cost for a packet, by back end, through the same batches as the data path; and what a handshake
 * asks of the suite.
 */
import { HEADROOM, PacketBatch, TAILROOM } from '../src/core/batch.js';
import { type Backend, type Crypto, createSuite } from '../src/crypto/index.js';
import { findOpenSsl, type OpenSsl } from '../src/crypto/openssl.js';
import { hasPrimitives } from '../src/crypto/primitives.js';
import { PacketArena } from '../src/engine/arena.js';
import { timeNs } from './clock.js';
import { type Column, type Effort, type Group, Table } from './results.js';
import { median } from './statistics.js';

/** Measurements of which a round's value is the median. */
const REPEATS = 12;
const QUICK_REPEATS = 3;
const ROWS = 64;
const LENGTHS: readonly number[] = [0, 64, 192, 256, 512, 1024, 1280, 1420, 8192];
const STRIDE: number = HEADROOM + 8192 + TAILROOM;

interface BackEnd extends Column {
  readonly crypto: Crypto;
  readonly slot: number;
}

function backEnd(id: string, backend: Backend, openssl: OpenSsl | null): BackEnd {
  // The data path's own memory, with its room for a keystream.
  const { bytes, keystream } = new PacketArena();
  const crypto = createSuite({ arena: bytes, backend, openssl, keystream });
  const slot = crypto.suite.installKey(new Uint8Array(32).fill(7));
  return { id, title: backend, version: openssl?.description ?? 'JavaScript', crypto, slot };
}

function backEnds(): BackEnd[] {
  const node = findOpenSsl('node');
  const system = findOpenSsl('system');
  const all: BackEnd[] = [];
  if (node && hasPrimitives(node.library)) all.push(backEnd('primitives', 'primitives', node));
  if (node) all.push(backEnd('evp', 'evp', node));
  if (system) all.push(backEnd(node ? 'evp-system' : 'evp', 'evp', system));
  all.push(backEnd('noble', 'noble', null));
  return all;
}

function packets({ crypto, slot }: BackEnd, length: number): { seal: number; open: number } {
  const batch = new PacketBatch(ROWS);
  batch.count = ROWS;
  for (let row = 0; row < ROWS; row++) {
    batch.key[row] = slot;
    batch.offset[row] = row * STRIDE + HEADROOM;
    batch.length[row] = length;
    batch.counterLo[row] = row;
  }
  const seal = timeNs(() => crypto.cipher.seal(batch)) / ROWS;
  const open = timeNs(() => crypto.cipher.open(batch)) / ROWS;
  if (!batch.verdict.every((fits) => fits === 1)) throw new Error('a packet did not open');
  return { seal, open };
}

/** Name, turns in one measurement, and one turn. */
function handshakeParts({ crypto: { suite } }: BackEnd): readonly (readonly [string, number, () => void])[] {
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
    ['X25519, a private key made ready', 4, () => suite.importPrivateKey(key).destroy()],
    ['X25519', 4, () => void identity.dh(identity.publicKey, out)],
    ['BLAKE2s of 32 + 32 B', 64, () => suite.hash(out, key, key)],
    ['HMAC-BLAKE2s of 32 B', 64, () => suite.hmac(out, key, key)],
    ['keyed BLAKE2s of 116 B (mac1)', 64, () => keyed.compute(message, mac)],
    ['ChaCha20-Poly1305, 32 B', 64, () => suite.seal(sealed, key, key, key)],
    ['XChaCha20-Poly1305, 16 B (cookie)', 64, () => suite.xseal(sealed, key, nonce, mac, mac)],
  ];
}

/** @returns nanoseconds a packet, and nanoseconds a call of the handshake's functions */
export function measureAead({ rounds, quick }: Effort): Group[] {
  const all = backEnds();
  const parts = all.map((one) => handshakeParts(one));
  const [cipher, handshake] = [new Table(rounds), new Table(rounds)];
  for (const way of ['seal', 'open']) {
    for (const length of LENGTHS) cipher.figure('aead', `${way}${length}`, `${way} ${length} B`, 'ns', 'less');
  }
  for (const [name] of parts[0]!) handshake.figure('aead', name, name, 'ns', 'less');
  for (const one of all) for (let i = 0; i < 100; i++) packets(one, i % 3 === 0 ? 64 : 1420 - (i % 20));
  for (let round = 0; round < rounds; round++) {
    const values = new Map<string, number[]>();
    const note = (key: string, value: number): void => void values.set(key, [...(values.get(key) ?? []), value]);
    for (let repeat = 0; repeat < (quick ? QUICK_REPEATS : REPEATS); repeat++) {
      for (const [i, one] of all.entries()) {
        packets(one, LENGTHS[0]!);
        for (const length of LENGTHS) {
          const { seal, open } = packets(one, length);
          note(`seal${length} ${one.id}`, seal);
          note(`open${length} ${one.id}`, open);
        }
        for (const [name, turns, turn] of parts[i]!) note(`${name} ${one.id}`, timeNs(turn, turns));
      }
    }
    for (const { id } of all) {
      for (const table of [cipher, handshake]) {
        for (const figure of table.ids()) table.put(figure, id, round, median(values.get(`${figure} ${id}`)!));
      }
    }
  }
  const columns = all.map(({ id, title, version }) => ({ id, title, ...(version !== undefined && { version }) }));
  const shape = { columns, baseline: 'evp' };
  return [
    { ...shape, id: 'aead', title: 'AEAD back ends, a packet in a batch', figures: cipher.figures() },
    { ...shape, id: 'suite', title: "The handshake's functions, a call", figures: handshake.figures() },
  ];
}
