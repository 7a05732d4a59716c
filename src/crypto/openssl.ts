/**
 * OpenSSL inside Node.js (or the system's libcrypto.so.3 where Node.js links it dynamically): X25519,
 * and memory for transport keys.
 */
import { type Library, addressOf, allocate, loadLibrary } from '../linux/ffi.js';
import type { KeySlot, PrivateKey } from '../core/suite.js';

export const LIBCRYPTO = 'libcrypto.so.3';

/** @returns the library that exports `symbol`, or undefined */
export function findOpenSsl(symbol: string): Library | undefined {
  const process = loadLibrary(null);
  if (process.has(symbol)) return process;
  try {
    const shared = loadLibrary(LIBCRYPTO);
    return shared.has(symbol) ? shared : undefined;
  } catch {
    return undefined;
  }
}

const NID_X25519 = 1034;
const KEY_SIZE = 32;

/** X25519 through EVP_PKEY (EVP_PKEY-X25519(7)). Null pointers are 0. */
export function createX25519(library: Library): (privateKey: Uint8Array) => PrivateKey {
  const newPrivate = library.func('EVP_PKEY_new_raw_private_key', 'pointer', ['int', 'pointer', 'pointer', 'size']);
  const newPublic = library.func('EVP_PKEY_new_raw_public_key', 'pointer', ['int', 'pointer', 'pointer', 'size']);
  const getPublic = library.func('EVP_PKEY_get_raw_public_key', 'int', ['pointer', 'pointer', 'pointer']);
  const freeKey = library.func('EVP_PKEY_free', 'void', ['pointer']);
  const newContext = library.func('EVP_PKEY_CTX_new', 'pointer', ['pointer', 'pointer']);
  const freeContext = library.func('EVP_PKEY_CTX_free', 'void', ['pointer']);
  const deriveInit = library.func('EVP_PKEY_derive_init', 'int', ['pointer']);
  const setPeer = library.func('EVP_PKEY_derive_set_peer', 'int', ['pointer', 'pointer']);
  const derive = library.func('EVP_PKEY_derive', 'int', ['pointer', 'pointer', 'pointer']);
  const clearErrors = library.func('ERR_clear_error', 'void', []);
  const scratch = allocate(3 * KEY_SIZE);
  const input = addressOf(scratch);
  const output = input + KEY_SIZE;
  const lengthAt = input + 2 * KEY_SIZE;
  const length = new DataView(scratch.buffer, 2 * KEY_SIZE, 8);
  const resetLength = (): void => {
    length.setUint32(0, KEY_SIZE, true);
    length.setUint32(4, 0, true);
  };

  return (privateKey) => {
    scratch.set(privateKey);
    const key = newPrivate(NID_X25519, 0, input, KEY_SIZE);
    scratch.fill(0, 0, KEY_SIZE);
    const context = key === 0 ? 0 : newContext(key, 0);
    if (context === 0 || deriveInit(context) !== 1) throw new Error('OpenSSL refused to make an X25519 key');
    resetLength();
    getPublic(key, output, lengthAt);
    const publicKey = scratch.slice(KEY_SIZE, 2 * KEY_SIZE);
    return {
      publicKey,
      dh(peerKey, out) {
        scratch.set(peerKey);
        const peer = newPublic(NID_X25519, 0, input, KEY_SIZE);
        resetLength();
        // For a low-order point OpenSSL fails, as its result would be zero.
        const fine = peer !== 0 && setPeer(context, peer) === 1 && derive(context, output, lengthAt) === 1;
        if (peer !== 0) freeKey(peer);
        if (fine) out.set(scratch.subarray(KEY_SIZE, 2 * KEY_SIZE));
        else {
          out.fill(0);
          clearErrors();
        }
        scratch.fill(0);
        return fine && out.some((byte) => byte !== 0);
      },
      destroy() {
        freeContext(context);
        freeKey(key);
      },
    };
  };
}

const CHUNK_KEYS = 1024;

/** Transport keys in native memory, by slot; their addresses never change. */
export class NativeKeys {
  readonly #chunks: Uint8Array[] = [];
  readonly #addresses: number[] = [];
  readonly #free: number[] = [];
  #used = 0;

  install(key: Uint8Array): KeySlot {
    const slot = this.#free.pop() ?? this.#used++;
    const chunk = Math.floor(slot / CHUNK_KEYS);
    if (chunk === this.#chunks.length) {
      const memory = allocate(CHUNK_KEYS * KEY_SIZE);
      this.#chunks.push(memory);
      this.#addresses.push(addressOf(memory));
    }
    this.#chunks[chunk]!.set(key, (slot % CHUNK_KEYS) * KEY_SIZE);
    return slot;
  }

  remove(slot: KeySlot): void {
    const at = (slot % CHUNK_KEYS) * KEY_SIZE;
    this.#chunks[Math.floor(slot / CHUNK_KEYS)]!.fill(0, at, at + KEY_SIZE);
    this.#free.push(slot);
  }

  address(slot: KeySlot): number {
    return this.#addresses[Math.floor(slot / CHUNK_KEYS)]! + (slot % CHUNK_KEYS) * KEY_SIZE;
  }
}
