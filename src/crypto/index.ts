/**
 * Chooses the back end of the cipher: see docs/crypto in ARCHITECTURE.md.
 */
import { randomFillSync, webcrypto } from 'node:crypto';
import { type BatchCipher, HEADROOM, PacketBatch } from '../core/batch.js';
import type { Suite } from '../core/suite.js';
import { allocate } from '../linux/ffi.js';
import { createEvpCipher } from './evp.js';
import { hashes } from './hashes.js';
import { createNobleSuite, oneShot } from './noble.js';
import { NativeKeys, createX25519, findOpenSsl } from './openssl.js';
import { createPrimitivesCipher } from './primitives.js';

export const BACKENDS = ['primitives', 'evp', 'noble'] as const;
export type Backend = (typeof BACKENDS)[number];

/** A back end was asked for that does not exist, or cannot work here. */
export class CryptoError extends Error {
  readonly code: 'ERR_AEAD_UNKNOWN' | 'ERR_AEAD_UNAVAILABLE';

  constructor(code: CryptoError['code'], message: string) {
    super(message);
    this.name = 'CryptoError';
    this.code = code;
  }
}

export interface Crypto {
  readonly backend: Backend;
  readonly suite: Suite;
  readonly cipher: BatchCipher;
}

/**
 * @param arena the memory that all batches are in
 * @param wanted `TYPETUN_AEAD`: a back end's name, or undefined for the best that works
 * @throws CryptoError when `wanted` is no back end, or one that cannot work here
 */
export function createCrypto(arena: Uint8Array, wanted?: string): Crypto {
  if (wanted !== undefined && !BACKENDS.includes(wanted as Backend)) {
    throw new CryptoError('ERR_AEAD_UNKNOWN', `TYPETUN_AEAD=${wanted}: expected one of ${BACKENDS.join(', ')}`);
  }
  for (const backend of wanted === undefined ? BACKENDS : [wanted as Backend]) {
    const crypto = createBackend(arena, backend);
    if (crypto) return crypto;
  }
  throw new CryptoError(
    'ERR_AEAD_UNAVAILABLE',
    `TYPETUN_AEAD=${wanted}: this Node.js (${process.version}) does not export what it needs`,
  );
}

function createBackend(arena: Uint8Array, backend: Backend): Crypto | undefined {
  if (backend === 'noble') return { backend, ...createNobleSuite(arena) };
  const library = findOpenSsl('EVP_chacha20_poly1305');
  if (!library) return undefined;
  const keys = new NativeKeys();
  const cipher = backend === 'evp' ? createEvpCipher(library, arena, keys) : checkedPrimitives(arena, keys);
  if (!cipher) return undefined;
  const suite: Suite = {
    ...hashes,
    ...oneShot,
    random: (out) => void randomFillSync(out),
    importPrivateKey: createX25519(library),
    installKey: (key) => keys.install(key),
    removeKey: (slot) => keys.remove(slot),
  };
  return { backend, suite, cipher };
}

/** Lengths for the start-up check: around a block, a ChaCha20 stride, and a full packet. */
const CHECKED_LENGTHS: readonly number[] = [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 1024, 1025, 1420, 1424];

/** The composition is ours: it is used only if it gives what EVP gives. */
function checkedPrimitives(arena: Uint8Array, keys: NativeKeys): BatchCipher | undefined {
  const library = findOpenSsl('EVP_chacha20_poly1305');
  if (!library) return undefined;
  const stride = HEADROOM + 1536;
  const memory = [allocate(CHECKED_LENGTHS.length * stride), allocate(CHECKED_LENGTHS.length * stride)] as const;
  const testKeys = new NativeKeys();
  const ours = createPrimitivesCipher(memory[0], testKeys);
  if (!ours) return undefined;
  const theirs = createEvpCipher(library, memory[1], testKeys);
  const slot = testKeys.install(webcrypto.getRandomValues(new Uint8Array(32)));
  const batch = new PacketBatch(CHECKED_LENGTHS.length);
  batch.count = batch.capacity;
  for (const [row, length] of CHECKED_LENGTHS.entries()) {
    const offset = row * stride + HEADROOM;
    batch.key[row] = slot;
    batch.offset[row] = offset;
    batch.length[row] = length;
    batch.counterLo[row] = 0xfffffff0 + row;
    batch.counterHi[row] = row;
    const packet = webcrypto.getRandomValues(new Uint8Array(length));
    for (const side of memory) side.set(packet, offset);
  }
  ours.seal(batch);
  theirs.seal(batch);
  const equal = CHECKED_LENGTHS.every((length, row) => {
    const at = batch.offset[row]!;
    return Buffer.compare(memory[0].subarray(at, at + length + 16), memory[1].subarray(at, at + length + 16)) === 0;
  });
  memory[0][batch.offset[5]!]! ^= 1;
  ours.open(batch);
  theirs.open(batch);
  const opened = CHECKED_LENGTHS.every((length, row) => {
    const at = batch.offset[row]!;
    const same = Buffer.compare(memory[0].subarray(at, at + length), memory[1].subarray(at, at + length)) === 0;
    return row === 5 ? batch.verdict[row] === 1 : same && batch.verdict[row] === 1;
  });
  // Theirs ran last, so row 5 says 1 above; ours must have refused what was changed.
  ours.seal(batch);
  memory[0][batch.offset[5]!]! ^= 1;
  ours.open(batch);
  const refused = CHECKED_LENGTHS.every((_, row) => batch.verdict[row] === (row === 5 ? 0 : 1));
  testKeys.remove(slot);
  return equal && opened && refused ? createPrimitivesCipher(arena, keys) : undefined;
}
