/**
 * ChaCha20-Poly1305 (RFC 8439, section 2.8) composed from ChaCha20 and Poly1305, wherever OpenSSL gives them.
 *
 * ChaCha20 runs once for a packet, from block 0, for the Poly1305 key and the rest together: sealing, over
 * a zeroed prefix and the cleartext; opening, over zeros, and the keystream is XORed in only after the
 * tag was found right. Poly1305 reads ciphertext, padding and lengths in one piece: they are written where
 * the tag goes, or came from, and what was there is put back.
 * A native call costs as much as ChaCha20 over some 100 bytes, so the fewest calls win.
 */
import { type BatchCipher, HEADROOM } from '../core/batch.js';
import { NO_KEY } from '../core/suite.js';
import { addressOf, allocate } from '../linux/ffi.js';
import { type Aead, checkRoom, KEYSTREAM_ROOM, type Keystream, ONE_SHOT_ROOM, TAG_SIZE } from './aead.js';
import type { NativeKeys } from './keys.js';

/** What is composed. Places are native addresses. */
export interface Parts {
  /**
   * XORs the keystream into `length` bytes, from one place to another or the same.
   * @param key 32 bytes; @param counter 16: the first block's number and the nonce (RFC 8439, section 2.4)
   */
  chacha20(to: number, from: number, length: number, key: number, counter: number): void;
  /** @param key 32 bytes, good for one message; @param tag receives 16 */
  poly1305(key: number, from: number, length: number, tag: number): void;
  /** Forgets the keys it used last. */
  forget(): void;
  /** Gives native objects back. */
  close(): void;
}

const BLOCK = 16;
/** ChaCha20's block, and what of its first one is no Poly1305 key is thrown away. */
const CHACHA_BLOCK = 64;
/** Everything native code works with besides the arena, in one allocation. */
const COUNTER = 0;
const TAG = 64;
const KEYSTREAM = 128;
const KEY: number = KEYSTREAM + CHACHA_BLOCK;
/** Associated data ends where the message begins. */
const MESSAGE: number = KEY + 64 + ONE_SHOT_ROOM;
/** As long as a keystream. */
const ZEROS: number = MESSAGE + ONE_SHOT_ROOM + 4 * BLOCK;
const SCRATCH_SIZE: number = ZEROS + KEYSTREAM_ROOM;

/** The parts, and the memory of what is native. */
interface Kit {
  readonly parts: Parts;
  readonly bytes: Uint8Array;
  readonly scratch: DataView;
  /** Address of the scratch. */
  readonly at: number;
  /** The nonce: four zero bytes, then these words. The first block is number 0. */
  nonce(lo: number, hi: number): void;
}

function equip(parts: Parts): Kit {
  const bytes = allocate(SCRATCH_SIZE);
  const scratch = new DataView(bytes.buffer);
  const nonce = (lo: number, hi: number): void => {
    scratch.setUint32(COUNTER, 0, true);
    scratch.setUint32(COUNTER + 8, lo, true);
    scratch.setUint32(COUNTER + 12, hi, true);
  };
  return { parts, bytes, scratch, at: addressOf(bytes), nonce };
}

/**
 * @param arena the memory that all batches are in
 * @param stream room for a keystream, and the fastest XOR there is; default: some of its own, and JavaScript
 */
export function compose(
  parts: Parts,
  arena: Uint8Array,
  keys: NativeKeys,
  stream: Keystream = ownKeystream(arena),
): Aead {
  const kit = equip(parts);
  const forget = (): void => {
    kit.bytes.fill(0, 0, ZEROS);
    stream.wipe();
    parts.forget();
  };
  return {
    cipher: { seal: createSealer(kit, arena, keys), open: createOpener(kit, arena, keys, stream) },
    ...createOneShot(kit),
    forget,
    close() {
      forget();
      parts.close();
    },
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
  const { nonce, at } = kit;
  const { chacha20, poly1305 } = kit.parts;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const counterAt = at + COUNTER;

  /** Writes over up to TAILROOM bytes behind the payload; the tag comes last. */
  function sealRow(offset: number, length: number, key: number): void {
    const prefix = offset - HEADROOM;
    zeroBlocks(view, prefix, offset);
    const from = base + prefix;
    chacha20(from, from, length + HEADROOM, key, counterAt);
    const padded = (length + BLOCK - 1) & -BLOCK;
    zeroBlocks(view, offset + length, offset + length + BLOCK);
    writeLengths(view, offset + padded, 0, length);
    poly1305(from, base + offset, padded + BLOCK, base + offset + length);
  }

  return (batch) => {
    for (let row = 0; row < batch.count; row++) {
      const slot = batch.key[row]!;
      const length = batch.length[row]!;
      if (slot === NO_KEY || length < 0) continue;
      nonce(batch.counterLo[row]!, batch.counterHi[row]!);
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
  const { nonce, scratch, at } = kit;
  const { chacha20, poly1305 } = kit.parts;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const zerosAt = at + ZEROS;
  const streamAt = stream.address;
  const counterAt = at + COUNTER;
  const tagAt = at + TAG;

  /** Poly1305 over the ciphertext, its padding and the lengths, under the key at the head of the keystream. */
  function authenticate(offset: number, length: number, padded: number): void {
    writeLengths(view, offset + padded, 0, length);
    poly1305(streamAt, base + offset, padded + BLOCK, tagAt);
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
      nonce(batch.counterLo[row]!, batch.counterHi[row]!);
      batch.verdict[row] = openRow(batch.offset[row]!, length, keys.address(slot));
    }
  };
}

/** One message with associated data, in the scratch, which is wiped after each. */
function createOneShot(kit: Kit): Pick<Aead, 'seal' | 'open'> {
  const { bytes, scratch, at, nonce } = kit;
  const { chacha20, poly1305 } = kit.parts;
  const counterAt = at + COUNTER;
  const streamAt = at + KEYSTREAM;

  function begin(key: Uint8Array, lo: number, hi: number, message: Uint8Array): void {
    bytes.set(key, KEY);
    bytes.set(message, MESSAGE);
    nonce(lo, hi);
  }

  /** The tag over a message and its data in the scratch, both followed by zeros, into the scratch. */
  function authenticateMessage(length: number, ad: Uint8Array): void {
    const paddedAd = (ad.length + BLOCK - 1) & -BLOCK;
    const padded = (length + BLOCK - 1) & -BLOCK;
    bytes.fill(0, MESSAGE - paddedAd, MESSAGE);
    bytes.set(ad, MESSAGE - paddedAd);
    writeLengths(scratch, MESSAGE + padded, ad.length, length);
    poly1305(streamAt, at + MESSAGE - paddedAd, paddedAd + padded + BLOCK, at + TAG);
  }

  function wipe(length: number): void {
    bytes.fill(0, KEYSTREAM, KEY + 64);
    bytes.fill(0, MESSAGE - ONE_SHOT_ROOM, MESSAGE + length + 2 * BLOCK);
  }

  return {
    seal(out, key, lo, hi, plaintext, ad) {
      checkRoom(plaintext.length, ad.length);
      begin(key, lo, hi, plaintext);
      const from = at + MESSAGE - CHACHA_BLOCK;
      chacha20(from, from, CHACHA_BLOCK + plaintext.length, at + KEY, counterAt);
      // The data goes where the Poly1305 key is.
      bytes.copyWithin(KEYSTREAM, MESSAGE - CHACHA_BLOCK, MESSAGE);
      authenticateMessage(plaintext.length, ad);
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
      authenticateMessage(length, ad);
      let unlike = 0;
      for (let i = 0; i < TAG_SIZE; i++) unlike |= bytes[TAG + i]! ^ ciphertext[length + i]!;
      if (unlike === 0) {
        scratch.setUint32(COUNTER, 1, true);
        if (length > 0) chacha20(at + MESSAGE, at + MESSAGE, length, at + KEY, counterAt);
        out.set(bytes.subarray(MESSAGE, MESSAGE + length));
      } else out.fill(0);
      wipe(length);
      return unlike === 0;
    },
  };
}
