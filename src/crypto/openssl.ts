/** OpenSSL inside Node.js, or the system's where Node.js does not export it; and its X25519. */
import type { PrivateKey } from '../core/suite.js';
import { addressOf, allocate, type Library, loadLibrary } from '../linux/ffi.js';

const SYSTEM_LIBRARY = 'libcrypto.so.3';
/** All that is called of it, apart from the primitives. */
const SYMBOLS: readonly string[] = [
  'EVP_CIPHER_CTX_new',
  'EVP_CIPHER_CTX_free',
  'EVP_CIPHER_CTX_get_params',
  'EVP_chacha20_poly1305',
  'EVP_CipherInit_ex2',
  'EVP_CipherUpdate',
  'EVP_CipherFinal_ex',
  'EVP_PKEY_new_raw_private_key',
  'EVP_PKEY_new_raw_public_key',
  'EVP_PKEY_get_raw_public_key',
  'EVP_PKEY_free',
  'EVP_PKEY_CTX_new',
  'EVP_PKEY_CTX_free',
  'EVP_PKEY_derive_init',
  'EVP_PKEY_derive_set_peer',
  'EVP_PKEY_derive',
  'ERR_clear_error',
  'OPENSSL_version_major',
  'OPENSSL_version_minor',
  'OPENSSL_version_patch',
];

export interface OpenSsl {
  readonly library: Library;
  /** `OpenSSL 3.0.19 in node`. */
  readonly description: string;
}

/**
 * @param place only this one; undefined for the first that has everything
 * @returns undefined when there is none
 */
export function findOpenSsl(place?: 'node' | 'system'): OpenSsl | undefined {
  for (const candidate of place === undefined ? (['node', 'system'] as const) : [place]) {
    const library = load(candidate);
    if (!library) continue;
    const part = (name: string): number => library.func(`OPENSSL_version_${name}`, 'uint', [])();
    const version = [part('major'), part('minor'), part('patch')].join('.');
    return { library, description: `OpenSSL ${version} in ${candidate === 'node' ? 'node' : SYSTEM_LIBRARY}` };
  }
  return undefined;
}

function load(place: 'node' | 'system'): Library | undefined {
  try {
    const library = loadLibrary(place === 'node' ? null : SYSTEM_LIBRARY);
    return SYMBOLS.every((symbol) => library.has(symbol)) ? library : undefined;
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
  const scratch = allocate(4096);
  const input = addressOf(scratch);
  const output = input + KEY_SIZE;
  const lengthAt = input + 2 * KEY_SIZE;
  const result = scratch.subarray(KEY_SIZE, 2 * KEY_SIZE);
  const resetLength = (): void => void scratch.fill(0, 2 * KEY_SIZE, 2 * KEY_SIZE + 8).fill(KEY_SIZE, 64, 65);

  /** A context of its own for each computation: one that is used again holds the last peer's key. */
  const compute = (key: number, peer: number): boolean => {
    const context = newContext(key, 0);
    if (context === 0) return false;
    resetLength();
    const fine = deriveInit(context) === 1 && setPeer(context, peer) === 1 && derive(context, output, lengthAt) === 1;
    freeContext(context);
    return fine;
  };

  // A key that its owner dropped without destroying it must not stay in OpenSSL's memory.
  const forgotten = new FinalizationRegistry<number>((key) => void freeKey(key));

  return (privateKey) => {
    scratch.set(privateKey);
    let key = newPrivate(NID_X25519, 0, input, KEY_SIZE);
    scratch.fill(0, 0, KEY_SIZE);
    resetLength();
    if (key === 0 || getPublic(key, output, lengthAt) !== 1) throw new Error('OpenSSL refused to make an X25519 key');
    const imported: PrivateKey = {
      publicKey: result.slice(),
      dh(publicKey, out) {
        if (key === 0) throw new Error('the private key has been destroyed');
        scratch.set(publicKey);
        const peer = newPublic(NID_X25519, 0, input, KEY_SIZE);
        // OpenSSL fails for a low-order point, as the result would be zero. We look at it all the same.
        const fine = peer !== 0 && compute(key, peer) && !isZero(result);
        if (peer !== 0) freeKey(peer);
        if (fine) out.set(result);
        else {
          out.fill(0);
          clearErrors();
        }
        result.fill(0);
        return fine;
      },
      destroy() {
        if (key === 0) return;
        forgotten.unregister(imported);
        freeKey(key);
        key = 0;
      },
    };
    forgotten.register(imported, key, imported);
    return imported;
  };
}

function isZero(bytes: Uint8Array): boolean {
  let bits = 0;
  for (let i = 0; i < bytes.length; i++) bits |= bytes[i]!;
  return bits === 0;
}
