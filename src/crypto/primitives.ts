/**
 * ChaCha20-Poly1305 (RFC 8439, section 2.8) composed from OpenSSL's own ChaCha20 and Poly1305, which
 * the official Node.js binaries export.
 *
 * ChaCha20 runs once for a packet, from block 0, for the Poly1305 key and the rest together: sealing, over
 * a zeroed prefix and the cleartext; opening, over zeros, and the keystream is XORed in only after the
 * tag was found right. Poly1305 reads ciphertext, padding and lengths in one piece: they are written where
 * the tag goes, or came from, and what was there is put back.
 * A native call costs as much as ChaCha20 over some 100 bytes, so the fewest calls win.
 */
import { type BatchCipher, HEADROOM } from '../core/batch.js';
import { NO_KEY } from '../core/suite.js';
import { addressOf, allocate, type Library, type Native } from '../linux/ffi.js';
import { type Aead, checkRoom, KEYSTREAM_ROOM, type Keystream, ONE_SHOT_ROOM, TAG_SIZE } from './aead.js';
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
/** Everything native code works with besides the arena, in one allocation. */
const COUNTER = 0;
const TAG = 64;
const KEYSTREAM = 128;
const KEY: number = KEYSTREAM + CHACHA_BLOCK;
const CONTEXT: number = KEY + 64;
const CONTEXT_ROOM = 1024;
/** Associated data ends where the message begins. */
const MESSAGE: number = CONTEXT + CONTEXT_ROOM + ONE_SHOT_ROOM;
/** As long as a keystream. */
const ZEROS: number = MESSAGE + ONE_SHOT_ROOM + 4 * BLOCK;
const SCRATCH_SIZE: number = ZEROS + KEYSTREAM_ROOM;

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
 * @param stream room for a keystream, and the fastest XOR there is; default: some of its own, and JavaScript
 */
export function createPrimitives(
  library: Library,
  arena: Uint8Array,
  keys: NativeKeys,
  stream: Keystream = ownKeystream(arena),
): Aead {
  const kit = bind(library);
  const wipe = (): void => {
    kit.bytes.fill(0, 0, ZEROS);
    stream.wipe();
  };
  return {
    cipher: { seal: createSealer(kit, arena, keys), open: createOpener(kit, arena, keys, stream) },
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

function ownKeystream(arena: Uint8Array): Keystream {
  const bytes = allocate(KEYSTREAM_ROOM);
  const stream = new DataView(bytes.buffer, CHACHA_BLOCK);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  return {
    address: addressOf(bytes),
    xor(to, length) {
      let i = 0;
      for (; i + 4 <= length; i += 4) view.setInt32(to + i, view.getInt32(to + i) ^ stream.getInt32(i));
      for (; i < length; i++) view.setUint8(to + i, view.getUint8(to + i) ^ stream.getUint8(i));
    },
    wipe: () => void bytes.fill(0),
  };
}

function createOpener(kit: Kit, arena: Uint8Array, keys: NativeKeys, stream: Keystream): BatchCipher['open'] {
  const { chacha20, polyInit, polyUpdate, polyFinal, scratch, counter, at } = kit;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const zerosAt = at + ZEROS;
  const streamAt = stream.address;
  const counterAt = at + COUNTER;
  const contextAt = at + CONTEXT;
  const tagAt = at + TAG;

  /** Poly1305 over the ciphertext, its padding and the lengths, under the key at the head of the keystream. */
  function authenticate(offset: number, length: number, padded: number): void {
    writeLengths(view, offset + padded, 0, length);
    polyInit(contextAt, streamAt);
    polyUpdate(contextAt, base + offset, padded + BLOCK);
    polyFinal(contextAt, tagAt);
  }

  /** As `authenticate`, where padding is needed: the lengths then reach into what may be another row. */
  function authenticatePadded(offset: number, length: number, padded: number): void {
    const behind = offset + length + TAG_SIZE;
    const b0 = view.getInt32(behind, true);
    const b1 = view.getInt32(behind + 4, true);
    const b2 = view.getInt32(behind + 8, true);
    const b3 = view.getInt32(behind + 12, true);
    zeroBlocks(view, offset + length, behind);
    authenticate(offset, length, padded);
    view.setInt32(behind, b0, true);
    view.setInt32(behind + 4, b1, true);
    view.setInt32(behind + 8, b2, true);
    view.setInt32(behind + 12, b3, true);
  }

  function openRow(offset: number, length: number, key: number): number {
    counter[0] = 0;
    chacha20(streamAt, zerosAt, CHACHA_BLOCK + length, key, counterAt);
    const end = offset + length;
    const t0 = view.getInt32(end, true);
    const t1 = view.getInt32(end + 4, true);
    const t2 = view.getInt32(end + 8, true);
    const t3 = view.getInt32(end + 12, true);
    const padded = (length + BLOCK - 1) & -BLOCK;
    if (padded === length) authenticate(offset, length, padded);
    else authenticatePadded(offset, length, padded);
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
    stream.xor(offset, length);
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
