/**
 * The start-up check of the primitives: their composition is ours, so it is used only where it gives
 * what RFC 8439 and EVP give. A few milliseconds, once in a process.
 */
import { randomFillSync } from 'node:crypto';
import { HEADROOM, PacketBatch, TAILROOM } from '../core/batch.js';
import { allocate } from '../linux/ffi.js';
import { TAG_SIZE } from './aead.js';
import { createEvp } from './evp.js';
import { NativeKeys } from './keys.js';
import type { OpenSsl } from './openssl.js';
import { createPrimitives, hasPrimitives } from './primitives.js';

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

const verdicts = new WeakMap<OpenSsl, boolean>();

/** @returns whether the primitives are there and do what they must */
export function primitivesWork(openssl: OpenSsl): boolean {
  const known = verdicts.get(openssl);
  if (known !== undefined) return known;
  const verdict = hasPrimitives(openssl.library) && matchesRfc(openssl) && matchesEvp(openssl);
  verdicts.set(openssl, verdict);
  return verdict;
}

function matchesRfc({ library }: OpenSsl): boolean {
  const ours = createPrimitives(library, allocate(64), new NativeKeys());
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
function matchesEvp({ library }: OpenSsl): boolean {
  const stride = (length: number): number => HEADROOM + length + TAILROOM;
  const memory = LENGTHS.reduce((sum, length) => sum + stride(length), 0);
  const [ourArena, theirArena] = [allocate(memory), allocate(memory)];
  const keys = new NativeKeys();
  const ours = createPrimitives(library, ourArena, keys);
  const theirs = createEvp(library, theirArena, keys);
  const slot = keys.install(randomFillSync(new Uint8Array(32)));
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
  const sameRows = (a: Uint8Array, b: Uint8Array, extra: number): boolean =>
    LENGTHS.every((length, row) => {
      const from = batch.offset[row]!;
      return equal(a.subarray(from, from + length + extra), b.subarray(from, from + length + extra));
    });

  ourArena.set(text);
  theirArena.set(text);
  ours.cipher.seal(batch);
  theirs.cipher.seal(batch);
  theirs.close();
  const seals = sameRows(ourArena, theirArena, TAG_SIZE);
  const changeOne = (bytes: Uint8Array, row: number): void => {
    bytes[batch.offset[row]! + Math.floor((LENGTHS[row]! + TAG_SIZE) / 2)]! ^= 0x80;
  };
  LENGTHS.forEach((_, row) => changeOne(ourArena, row));
  const changed = ourArena.slice();
  ours.cipher.open(batch);
  const refuses = batch.verdict.every((fits) => fits === 0) && equal(ourArena, changed);
  LENGTHS.forEach((_, row) => changeOne(ourArena, row));
  ours.cipher.open(batch);
  keys.clear();
  return seals && refuses && batch.verdict.every((fits) => fits === 1) && sameRows(ourArena, text, 0);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}
