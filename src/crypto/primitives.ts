/**
 * ChaCha20-Poly1305 (RFC 8439, section 2.8) composed from OpenSSL's own ChaCha20 and Poly1305, which
 * the official Node.js binaries export.
 *
 * Sealing runs ChaCha20 once, from block 0 over a zeroed prefix, for the Poly1305 key and the
 * ciphertext together. Opening verifies before it decrypts. Poly1305 reads ciphertext, padding and
 * lengths in one piece where it can: the lengths are written where the tag goes, or came from.
 * A native call costs as much as ChaCha20 over some 100 bytes, so the fewest calls win.
 */
import { type BatchCipher, HEADROOM } from '../core/batch.js';
import { NO_KEY } from '../core/suite.js';
import { addressOf, allocate, type Library, type Native } from '../linux/ffi.js';
import { type Aead, checkRoom, ONE_SHOT_ROOM, TAG_SIZE } from './aead.js';
import type { NativeKeys } from './keys.js';

const SYMBOLS: readonly string[] = [
  'ChaCha20_ctr32',
  'Poly1305_Init',
  'Poly1305_Update',
  'Poly1305_Final',
  'Poly1305_ctx_size',
];

/** @returns whether `library` exports what this back end is made of, and the machine is little-endian */
export function hasPrimitives(library: Library): boolean {
  // ChaCha20_ctr32 takes words in the machine's order; ours are copied from bytes as they are.
  return new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 && SYMBOLS.every((symbol) => library.has(symbol));
}

const BLOCK = 16;
/** ChaCha20's block, and what of its first one is no Poly1305 key is thrown away. */
const CHACHA_BLOCK = 64;
/** Up to here a packet is opened by one ChaCha20 call, its keystream XORed in JavaScript (measured). */
const SMALL = 192;

/** Everything native code works with besides the arena, in one allocation. */
const COUNTER = 0;
const TAIL = 64;
const TAG = 128;
const ZEROS = 192;
const KEYSTREAM: number = ZEROS + CHACHA_BLOCK + SMALL;
const KEY: number = KEYSTREAM + CHACHA_BLOCK + SMALL;
const CONTEXT: number = KEY + 64;
const CONTEXT_ROOM = 1024;
/** Associated data ends where the message begins. */
const MESSAGE: number = CONTEXT + CONTEXT_ROOM + ONE_SHOT_ROOM;
const SCRATCH_SIZE: number = MESSAGE + ONE_SHOT_ROOM + 4 * BLOCK;

/** The native functions, and their memory. */
interface Kit {
  readonly chacha20: Native;
  readonly polyInit: Native;
  readonly polyUpdate: Native;
  readonly polyFinal: Native;
  readonly bytes: Uint8Array;
  readonly scratch: DataView;
  /** Block number, then the nonce as three words, of which the first stays zero. */
  readonly counter: Uint32Array;
  /** Address of the scratch. */
  readonly at: number;
}

function bind(library: Library): Kit {
  if (library.func('Poly1305_ctx_size', 'size', [])() > CONTEXT_ROOM) throw new Error('Poly1305 context too large');
  const bytes = allocate(SCRATCH_SIZE);
  return {
    chacha20: library.func('ChaCha20_ctr32', 'void', ['pointer', 'pointer', 'size', 'pointer', 'pointer']),
    polyInit: library.func('Poly1305_Init', 'void', ['pointer', 'pointer']),
    polyUpdate: library.func('Poly1305_Update', 'void', ['pointer', 'pointer', 'size']),
    polyFinal: library.func('Poly1305_Final', 'void', ['pointer', 'pointer']),
    bytes,
    scratch: new DataView(bytes.buffer),
    counter: new Uint32Array(bytes.buffer, COUNTER, 4),
    at: addressOf(bytes),
  };
}

/**
 * @param library one that {@link hasPrimitives}
 * @param arena the memory that all batches are in
 */
export function createPrimitives(library: Library, arena: Uint8Array, keys: NativeKeys): Aead {
  const kit = bind(library);
  const wipe = (): void => void kit.bytes.fill(0);
  return {
    cipher: { seal: createSealer(kit, arena, keys), open: createOpener(kit, arena, keys) },
    ...createOneShot(kit),
    forget: wipe,
    close: wipe,
  };
}

function writeLengths(to: DataView, place: number, ad: number, length: number): void {
  to.setUint32(place, ad, true);
  to.setUint32(place + 4, 0, true);
  to.setUint32(place + 8, length, true);
  to.setUint32(place + 12, 0, true);
}

function zeroBlocks(to: DataView, place: number, end: number): void {
  for (let i = place; i < end; i += 8) to.setFloat64(i, 0, true);
}

function createSealer(kit: Kit, arena: Uint8Array, keys: NativeKeys): BatchCipher['seal'] {
  const { chacha20, polyInit, polyUpdate, polyFinal, counter, at } = kit;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const counterAt = at + COUNTER;
  const contextAt = at + CONTEXT;

  /** Writes over up to TAILROOM bytes behind the payload; the tag comes last. */
  function sealRow(offset: number, length: number, key: number): void {
    const prefix = offset - HEADROOM;
    zeroBlocks(view, prefix, offset);
    counter[0] = 0;
    const from = base + prefix;
    chacha20(from, from, length + HEADROOM, key, counterAt);
    polyInit(contextAt, from);
    const padded = (length + BLOCK - 1) & -BLOCK;
    zeroBlocks(view, offset + length, offset + length + BLOCK);
    writeLengths(view, offset + padded, 0, length);
    polyUpdate(contextAt, base + offset, padded + BLOCK);
    polyFinal(contextAt, base + offset + length);
  }

  return (batch) => {
    for (let row = 0; row < batch.count; row++) {
      const slot = batch.key[row]!;
      const length = batch.length[row]!;
      if (slot === NO_KEY || length < 0) continue;
      counter[2] = batch.counterLo[row]!;
      counter[3] = batch.counterHi[row]!;
      sealRow(batch.offset[row]!, length, keys.address(slot));
    }
  };
}

/** The part of a back end that authenticates a received row. */
function createAuthenticator(kit: Kit, arena: Uint8Array): (offset: number, length: number) => void {
  const { polyInit, polyUpdate, polyFinal, scratch, at } = kit;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const contextAt = at + CONTEXT;
  const streamAt = at + KEYSTREAM;
  const tailAt = at + TAIL;
  const tagAt = at + TAG;

  /**
   * Poly1305, under the key at the head of the keystream, over the ciphertext at `offset`. The tag
   * behind it may be written over by the lengths meanwhile: the caller holds it and puts it back.
   */
  return (offset, length) => {
    polyInit(contextAt, streamAt);
    const rest = length & (BLOCK - 1);
    if (rest === 0) {
      writeLengths(view, offset + length, 0, length);
      polyUpdate(contextAt, base + offset, length + BLOCK);
    } else {
      // In one piece it would reach beyond the row, into one that may be somebody else's by now.
      scratch.setUint32(TAIL + BLOCK + 8, length, true);
      polyUpdate(contextAt, base + offset, length);
      polyUpdate(contextAt, tailAt + rest, 2 * BLOCK - rest);
    }
    polyFinal(contextAt, tagAt);
  };
}

function createOpener(kit: Kit, arena: Uint8Array, keys: NativeKeys): BatchCipher['open'] {
  const { chacha20, bytes, scratch, counter, at } = kit;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const authenticate = createAuthenticator(kit, arena);
  const counterAt = at + COUNTER;
  const zerosAt = at + ZEROS;
  const streamAt = at + KEYSTREAM;

  function xorKeystream(offset: number, length: number): void {
    const from = KEYSTREAM + CHACHA_BLOCK;
    let i = 0;
    for (; i + 4 <= length; i += 4) {
      view.setInt32(offset + i, view.getInt32(offset + i, true) ^ scratch.getInt32(from + i, true), true);
    }
    for (; i < length; i++) arena[offset + i]! ^= bytes[from + i]!;
  }

  function openRow(offset: number, length: number, key: number): number {
    counter[0] = 0;
    chacha20(streamAt, zerosAt, length > SMALL ? CHACHA_BLOCK : CHACHA_BLOCK + length, key, counterAt);
    const end = offset + length;
    const t0 = view.getInt32(end, true);
    const t1 = view.getInt32(end + 4, true);
    const t2 = view.getInt32(end + 8, true);
    const t3 = view.getInt32(end + 12, true);
    authenticate(offset, length);
    // No branch before all four words are in: constant time, and cheaper than a call to CRYPTO_memcmp.
    const unlike =
      (t0 ^ scratch.getInt32(TAG, true)) |
      (t1 ^ scratch.getInt32(TAG + 4, true)) |
      (t2 ^ scratch.getInt32(TAG + 8, true)) |
      (t3 ^ scratch.getInt32(TAG + 12, true));
    view.setInt32(end, t0, true);
    view.setInt32(end + 4, t1, true);
    view.setInt32(end + 8, t2, true);
    view.setInt32(end + 12, t3, true);
    if (unlike !== 0) return 0;
    if (length <= SMALL) xorKeystream(offset, length);
    else {
      counter[0] = 1;
      const from = base + offset;
      chacha20(from, from, length, key, counterAt);
    }
    return 1;
  }

  return (batch) => {
    for (let row = 0; row < batch.count; row++) {
      const slot = batch.key[row]!;
      const length = batch.length[row]!;
      if (slot === NO_KEY || length < 0) continue;
      counter[2] = batch.counterLo[row]!;
      counter[3] = batch.counterHi[row]!;
      batch.verdict[row] = openRow(batch.offset[row]!, length, keys.address(slot));
    }
  };
}

/** One message with associated data, in the scratch, which is wiped after each. */
function createOneShot(kit: Kit): Pick<Aead, 'seal' | 'open'> {
  const { chacha20, polyInit, polyUpdate, polyFinal, bytes, scratch, counter, at } = kit;
  const counterAt = at + COUNTER;
  const streamAt = at + KEYSTREAM;

  function begin(key: Uint8Array, lo: number, hi: number, message: Uint8Array): void {
    bytes.set(key, KEY);
    bytes.set(message, MESSAGE);
    counter[0] = 0;
    counter[2] = lo;
    counter[3] = hi;
  }

  /** The tag over a message and its data in the scratch, both followed by zeros, into the scratch. */
  function authenticateMessage(keyAt: number, length: number, ad: Uint8Array): void {
    polyInit(at + CONTEXT, keyAt);
    const paddedAd = (ad.length + BLOCK - 1) & -BLOCK;
    const padded = (length + BLOCK - 1) & -BLOCK;
    // The Poly1305 key has been taken in; the data may go where it was.
    bytes.fill(0, MESSAGE - paddedAd, MESSAGE);
    bytes.set(ad, MESSAGE - paddedAd);
    writeLengths(scratch, MESSAGE + padded, ad.length, length);
    polyUpdate(at + CONTEXT, at + MESSAGE - paddedAd, paddedAd + padded + BLOCK);
    polyFinal(at + CONTEXT, at + TAG);
  }

  function wipe(length: number): void {
    bytes.fill(0, KEYSTREAM, CONTEXT);
    bytes.fill(0, MESSAGE - ONE_SHOT_ROOM, MESSAGE + length + 2 * BLOCK);
  }

  return {
    seal(out, key, lo, hi, plaintext, ad) {
      checkRoom(plaintext.length, ad.length);
      begin(key, lo, hi, plaintext);
      const from = at + MESSAGE - CHACHA_BLOCK;
      chacha20(from, from, CHACHA_BLOCK + plaintext.length, at + KEY, counterAt);
      authenticateMessage(from, plaintext.length, ad);
      out.set(bytes.subarray(MESSAGE, MESSAGE + plaintext.length));
      out.set(bytes.subarray(TAG, TAG + TAG_SIZE), plaintext.length);
      wipe(plaintext.length);
    },
    open(out, key, lo, hi, ciphertext, ad) {
      const length = ciphertext.length - TAG_SIZE;
      checkRoom(length, ad.length);
      if (length < 0) {
        out.fill(0);
        return false;
      }
      begin(key, lo, hi, ciphertext.subarray(0, length));
      chacha20(streamAt, at + ZEROS, CHACHA_BLOCK, at + KEY, counterAt);
      authenticateMessage(streamAt, length, ad);
      let unlike = 0;
      for (let i = 0; i < TAG_SIZE; i++) unlike |= bytes[TAG + i]! ^ ciphertext[length + i]!;
      if (unlike === 0) {
        counter[0] = 1;
        if (length > 0) chacha20(at + MESSAGE, at + MESSAGE, length, at + KEY, counterAt);
        out.set(bytes.subarray(MESSAGE, MESSAGE + length));
      } else out.fill(0);
      wipe(length);
      return unlike === 0;
    },
  };
}
