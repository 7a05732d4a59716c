/**
 * ChaCha20-Poly1305 through OpenSSL's public API (EVP_EncryptInit(3)), with one context for each
 * direction that is given a key anew for every packet: that costs no more than to keep one for each key.
 *
 * EVP decrypts before it verifies: when the tag does not fit, what it wrote is wiped before anything
 * can read it.
 */
import type { BatchCipher, PacketBatch } from '../core/batch.js';
import { NO_KEY } from '../core/suite.js';
import { addressOf, allocate, type Library } from '../linux/ffi.js';
import { type Aead, checkRoom, ONE_SHOT_ROOM, TAG_SIZE } from './aead.js';
import type { NativeKeys } from './keys.js';

/** OSSL_PARAM(3): key, data_type, data, data_size, return_size; a parameter without a key ends the list. */
const PARAM_SIZE = 40;
const OSSL_PARAM_OCTET_STRING = 5;

/** Everything native code works with besides the arena, in one allocation. */
const NONCE = 0;
const LENGTH = 16;
const NAME = 32;
const TAG = 48;
const PARAMS = 64;
const KEY: number = PARAMS + 2 * PARAM_SIZE + 16;
const SPARE: number = KEY + 32;
const DATA = 512;
const MESSAGE: number = DATA + ONE_SHOT_ROOM;
const SCRATCH_SIZE: number = MESSAGE + ONE_SHOT_ROOM + 64;

const INIT = ['pointer', 'pointer', 'pointer', 'pointer', 'int', 'pointer'] as const;

/** The two contexts, and the memory their calls share. Places are addresses. */
interface Kit {
  readonly bytes: Uint8Array;
  readonly scratch: DataView;
  /** Address of the scratch. */
  readonly at: number;
  nonce(lo: number, hi: number): void;
  /**
   * In place. The associated data is in the scratch, and the tag then too.
   * @returns whether all steps went well
   */
  encrypt(key: number, place: number, length: number, ad: number): boolean;
  /** In place. The associated data and the tag are in the scratch. */
  decrypt(key: number, place: number, length: number, ad: number): boolean;
  /** Takes the last keys out of the contexts. */
  forget(): void;
  close(): void;
}

function bind(library: Library): Kit {
  const freeContext = library.func('EVP_CIPHER_CTX_free', 'void', ['pointer']);
  const init = library.func('EVP_CipherInit_ex2', 'int', INIT);
  const update = library.func('EVP_CipherUpdate', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'int']);
  const final = library.func('EVP_CipherFinal_ex', 'int', ['pointer', 'pointer', 'pointer']);
  const getParams = library.func('EVP_CIPHER_CTX_get_params', 'int', ['pointer', 'pointer']);
  const clearErrors = library.func('ERR_clear_error', 'void', []);

  const bytes = allocate(SCRATCH_SIZE);
  const scratch = new DataView(bytes.buffer);
  const at = addressOf(bytes);
  const nonceAt = at + NONCE;
  const lengthAt = at + LENGTH;
  const paramsAt = at + PARAMS;
  const spareAt = at + SPARE;

  describeTag(bytes, scratch, at);
  const contexts = makeContexts(library);
  const [sealing, opening] = contexts;

  function nonce(lo: number, hi: number): void {
    scratch.setUint32(NONCE + 4, lo, true);
    scratch.setUint32(NONCE + 8, hi, true);
  }

  function encrypt(key: number, place: number, length: number, ad: number): boolean {
    return (
      init(sealing, 0, key, nonceAt, 1, 0) === 1 &&
      (ad === 0 || update(sealing, 0, lengthAt, at + DATA, ad) === 1) &&
      (length === 0 || update(sealing, place, lengthAt, place, length) === 1) &&
      final(sealing, spareAt, lengthAt) === 1 &&
      getParams(sealing, paramsAt) === 1
    );
  }

  function decrypt(key: number, place: number, length: number, ad: number): boolean {
    const fits =
      init(opening, 0, key, nonceAt, 0, paramsAt) === 1 &&
      (ad === 0 || update(opening, 0, lengthAt, at + DATA, ad) === 1) &&
      (length === 0 || update(opening, place, lengthAt, place, length) === 1) &&
      final(opening, spareAt, lengthAt) === 1;
    if (!fits) clearErrors();
    return fits;
  }

  function forget(): void {
    bytes.fill(0, KEY, KEY + 32);
    nonce(0, 0);
    init(sealing, 0, at + KEY, nonceAt, 1, 0);
    init(opening, 0, at + KEY, nonceAt, 0, 0);
  }

  return {
    bytes,
    scratch,
    at,
    nonce,
    encrypt,
    decrypt,
    forget,
    close() {
      for (const context of contexts) freeContext(context);
      bytes.fill(0);
    },
  };
}

/** @throws when this OpenSSL has no ChaCha20-Poly1305 */
function makeContexts(library: Library): readonly [number, number] {
  const newContext = library.func('EVP_CIPHER_CTX_new', 'pointer', []);
  const chacha20poly1305 = library.func('EVP_chacha20_poly1305', 'pointer', []);
  const init = library.func('EVP_CipherInit_ex2', 'int', INIT);
  const [sealing, opening] = [newContext(), newContext()];
  const usable =
    sealing !== 0 &&
    opening !== 0 &&
    init(sealing, chacha20poly1305(), 0, 0, 1, 0) === 1 &&
    init(opening, chacha20poly1305(), 0, 0, 0, 0) === 1;
  if (!usable) throw new Error('OpenSSL has no ChaCha20-Poly1305');
  return [sealing, opening];
}

/** Writes the parameter that takes the tag to OpenSSL, and back. */
function describeTag(bytes: Uint8Array, scratch: DataView, at: number): void {
  bytes.set([0x74, 0x61, 0x67, 0], NAME); // "tag"
  scratch.setBigUint64(PARAMS, BigInt(at + NAME), true);
  scratch.setUint32(PARAMS + 8, OSSL_PARAM_OCTET_STRING, true);
  scratch.setBigUint64(PARAMS + 16, BigInt(at + TAG), true);
  scratch.setUint32(PARAMS + 24, TAG_SIZE, true);
}

/** Four words at once: the tag between the scratch and a message. */
function copyTag(from: DataView, source: number, to: DataView, target: number): void {
  to.setInt32(target, from.getInt32(source, true), true);
  to.setInt32(target + 4, from.getInt32(source + 4, true), true);
  to.setInt32(target + 8, from.getInt32(source + 8, true), true);
  to.setInt32(target + 12, from.getInt32(source + 12, true), true);
}

/**
 * @param library what exports OpenSSL 3
 * @param arena the memory that all batches are in
 * @throws when this OpenSSL has no ChaCha20-Poly1305
 */
export function createEvp(library: Library, arena: Uint8Array, keys: NativeKeys): Aead {
  const kit = bind(library);
  return { cipher: createBatchCipher(kit, arena, keys), ...createOneShot(kit), forget: kit.forget, close: kit.close };
}

function createBatchCipher(kit: Kit, arena: Uint8Array, keys: NativeKeys): BatchCipher {
  const { scratch, nonce, encrypt, decrypt } = kit;
  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);

  const seal = (batch: PacketBatch): void => {
    for (let row = 0; row < batch.count; row++) {
      const slot = batch.key[row]!;
      const length = batch.length[row]!;
      if (slot === NO_KEY || length < 0) continue;
      const offset = batch.offset[row]!;
      nonce(batch.counterLo[row]!, batch.counterHi[row]!);
      if (!encrypt(keys.address(slot), base + offset, length, 0)) throw new Error('OpenSSL failed to encrypt');
      copyTag(scratch, TAG, view, offset + length);
    }
  };

  const open = (batch: PacketBatch): void => {
    for (let row = 0; row < batch.count; row++) {
      const slot = batch.key[row]!;
      const length = batch.length[row]!;
      if (slot === NO_KEY || length < 0) continue;
      const offset = batch.offset[row]!;
      nonce(batch.counterLo[row]!, batch.counterHi[row]!);
      copyTag(view, offset + length, scratch, TAG);
      const fits = decrypt(keys.address(slot), base + offset, length, 0);
      batch.verdict[row] = fits ? 1 : 0;
      if (!fits) arena.fill(0, offset, offset + length);
    }
  };

  return { seal, open };
}

/** One message with associated data, in the scratch, which is wiped after each. */
function createOneShot(kit: Kit): Pick<Aead, 'seal' | 'open'> {
  const { bytes, at, nonce, encrypt, decrypt, forget } = kit;

  function wipe(length: number, ad: number): void {
    bytes.fill(0, DATA, DATA + ad);
    bytes.fill(0, MESSAGE, MESSAGE + length);
    forget();
  }

  return {
    seal(out, key, lo, hi, plaintext, ad) {
      const length = plaintext.length;
      checkRoom(length, ad.length);
      bytes.set(key, KEY);
      bytes.set(ad, DATA);
      bytes.set(plaintext, MESSAGE);
      nonce(lo, hi);
      if (!encrypt(at + KEY, at + MESSAGE, length, ad.length)) throw new Error('OpenSSL failed to encrypt');
      out.set(bytes.subarray(MESSAGE, MESSAGE + length));
      out.set(bytes.subarray(TAG, TAG + TAG_SIZE), length);
      wipe(length, ad.length);
    },
    open(out, key, lo, hi, ciphertext, ad) {
      const length = ciphertext.length - TAG_SIZE;
      checkRoom(length, ad.length);
      out.fill(0);
      if (length < 0) return false;
      bytes.set(key, KEY);
      bytes.set(ad, DATA);
      bytes.set(ciphertext.subarray(0, length), MESSAGE);
      bytes.set(ciphertext.subarray(length), TAG);
      nonce(lo, hi);
      const fits = decrypt(at + KEY, at + MESSAGE, length, ad.length);
      if (fits) out.set(bytes.subarray(MESSAGE, MESSAGE + length));
      wipe(length, ad.length);
      return fits;
    },
  };
}
