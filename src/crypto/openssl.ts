/** OpenSSL inside Node.js, or the system's where Node.js does not export it. */
import { type Library, loadLibrary } from '../linux/ffi.js';

const SYSTEM_LIBRARY = 'libcrypto.so.3';
/** All that is called of it, apart from the primitives. */
const SYMBOLS: readonly string[] = [
  'EVP_CIPHER_CTX_new',
  'EVP_CIPHER_CTX_free',
  'EVP_chacha20',
  'EVP_CipherInit_ex2',
  'EVP_CipherUpdate',
  'EVP_MAC_fetch',
  'EVP_MAC_free',
  'EVP_MAC_CTX_new',
  'EVP_MAC_CTX_free',
  'EVP_MAC_init',
  'EVP_MAC_update',
  'EVP_MAC_final',
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
