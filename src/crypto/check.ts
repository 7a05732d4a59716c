/**
 * The start-up check: the composition is ours, so it is used only where it gives what RFC 8439 says, and what
 * Node.js' own ChaCha20-Poly1305 gives. A few milliseconds, once in a process.
 */
import { createCipheriv, randomFillSync } from 'node:crypto';
import { HEADROOM, PacketBatch, TAILROOM } from '../core/batch.js';
import { allocate } from '../linux/ffi.js';
import { TAG_SIZE } from './aead.js';
import { compose, type Parts } from './composed.js';
import { bindEvp } from './evp.js';
import { NativeKeys } from './keys.js';
import type { OpenSsl } from './openssl.js';
import { bindPrimitives, hasPrimitives } from './primitives.js';

/** RFC 8439, appendix A.5. The tag covers the ciphertext. */
const KEY: Uint8Array = hex('1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0');
const NONCE_LO = 0x04030201;
const NONCE_HI = 0x08070605;
const AD: Uint8Array = hex('f33388860000000000004e91');
const TEXT =
  'Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, ' +
  'or obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference ' +
  'material or to cite them other than as /\u201cwork in progress./\u201d';
const TAG: Uint8Array = hex('eead9d67890cbb22392336fea1851f38');

/** Around a Poly1305 block, a ChaCha20 block, the strides of the vector units, and a full packet. */
const LENGTHS: readonly number[] = [
  0, 1, 15, 16, 17, 31, 32, 63, 64, 65, 127, 128, 129, 191, 192, 255, 256, 257, 511, 512, 513, 960, 1023, 1024, 1025,
  1408, 1420, 1424, 1500, 2047, 2048, 2049, 4096, 9001,
];

export type NativeBackend = 'primitives' | 'evp';

const verdicts: Readonly<Record<NativeBackend, WeakMap<OpenSsl, boolean>>> = {
  primitives: new WeakMap(),
  evp: new WeakMap(),
};

/** @throws Error where `openssl` has not what the back end is made of */
export function bindParts(backend: NativeBackend, { library }: OpenSsl): Parts {
  if (backend === 'evp') return bindEvp(library);
  if (!hasPrimitives(library)) throw new Error('ChaCha20 and Poly1305 are not exported');
  return bindPrimitives(library);
}

/** @returns whether what the back end is made of is there, and does what it must */
export function backendWorks(backend: NativeBackend, openssl: OpenSsl): boolean {
  const known = verdicts[backend].get(openssl);
  if (known !== undefined) return known;
  const verdict = check(backend, openssl);
  verdicts[backend].set(openssl, verdict);
  return verdict;
}

function check(backend: NativeBackend, openssl: OpenSsl): boolean {
  try {
    const parts = bindParts(backend, openssl);
    const fits = matchesRfc(parts) && matchesNode(parts);
    parts.close();
    return fits;
  } catch {
    return false;
  }
}

function matchesRfc(parts: Parts): boolean {
  const ours = compose(parts, allocate(64), new NativeKeys());
  const text = new TextEncoder().encode(TEXT);
  const sealed = new Uint8Array(text.length + TAG_SIZE);
  const opened = new Uint8Array(text.length);
  ours.seal(sealed, KEY, NONCE_LO, NONCE_HI, text, AD);
  const tagFits = equal(sealed.subarray(text.length), TAG);
  const opens = ours.open(opened, KEY, NONCE_LO, NONCE_HI, sealed, AD) && equal(opened, text);
  sealed[0]! ^= 1;
  return tagFits && opens && !ours.open(opened, KEY, NONCE_LO, NONCE_HI, sealed, AD);
}

/** Random packets: both seal to the same bytes, and ours opens them, but not when a bit was changed. */
function matchesNode(parts: Parts): boolean {
  const memory = LENGTHS.reduce((sum, length) => sum + HEADROOM + length + TAILROOM, 0);
  const arena = allocate(memory);
  const keys = new NativeKeys();
  const { cipher } = compose(parts, arena, keys);
  const key = randomFillSync(new Uint8Array(32));
  const slot = keys.install(key);
  const text = randomFillSync(new Uint8Array(memory));
  const batch = new PacketBatch(LENGTHS.length);
  for (const length of LENGTHS) {
    const row = batch.count++;
    batch.key[row] = slot;
    batch.offset[row] = row === 0 ? HEADROOM : batch.offset[row - 1]! + batch.length[row - 1]! + HEADROOM + TAILROOM;
    batch.length[row] = length;
  }
  randomFillSync(batch.counterLo);
  randomFillSync(batch.counterHi);
  /** Whether each row is what is to be expected of its cleartext. */
  const every = (expected: (text: Uint8Array, row: number) => Uint8Array): boolean =>
    LENGTHS.every((length, row) => {
      const from = batch.offset[row]!;
      const wanted = expected(text.subarray(from, from + length), row);
      return equal(arena.subarray(from, from + wanted.length), wanted);
    });

  arena.set(text);
  cipher.seal(batch);
  const seals = every((cleartext, row) => sealByNode(key, batch.counterLo[row]!, batch.counterHi[row]!, cleartext));
  const changeOne = (row: number): void => {
    arena[batch.offset[row]! + Math.floor((LENGTHS[row]! + TAG_SIZE) / 2)]! ^= 0x80;
  };
  LENGTHS.forEach((_, row) => changeOne(row));
  const changed = arena.slice();
  cipher.open(batch);
  const refuses = batch.verdict.every((fits) => fits === 0) && equal(arena, changed);
  LENGTHS.forEach((_, row) => changeOne(row));
  cipher.open(batch);
  keys.clear();
  return seals && refuses && batch.verdict.every((fits) => fits === 1) && every((cleartext) => cleartext);
}

function sealByNode(key: Uint8Array, lo: number, hi: number, text: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(4, lo, true);
  new DataView(nonce.buffer).setUint32(8, hi, true);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG_SIZE });
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}
