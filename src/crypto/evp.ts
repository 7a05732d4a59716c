/**
 * ChaCha20 and Poly1305 by OpenSSL's public API, EVP_EncryptInit(3) and EVP_MAC(3). Its ChaCha20-Poly1305 takes longer
 * than both of them, and decrypts before it verifies (docs/adr/0007).
 */
import { addressOf, allocate, cString, type Library, type Native } from '../linux/ffi.js';
import { TAG_SIZE } from './aead.js';
import type { Parts } from './composed.js';

const KEY_SIZE = 32;

// In one allocation: a length that OpenSSL tells, a byte to encrypt, and zeros for a key and a nonce.
const LENGTH = 0;
const SPARE = 32;
const ZEROS = 64;
const SCRATCH_SIZE: number = ZEROS + KEY_SIZE;

/** @throws Error when this OpenSSL has no ChaCha20, or no Poly1305 */
export function bindEvp(library: Library): Parts {
  const init = library.func('EVP_CipherInit_ex2', 'int', [
    'pointer',
    'pointer',
    'pointer',
    'pointer',
    'int',
    'pointer',
  ]);
  const update = library.func('EVP_CipherUpdate', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'int']);
  const macInit = library.func('EVP_MAC_init', 'int', ['pointer', 'pointer', 'size', 'pointer']);
  const macUpdate = library.func('EVP_MAC_update', 'int', ['pointer', 'pointer', 'size']);
  const macFinal = library.func('EVP_MAC_final', 'int', ['pointer', 'pointer', 'pointer', 'size']);
  const scratch = allocate(SCRATCH_SIZE);
  const at = addressOf(scratch);
  const lengthAt = at + LENGTH;
  const cipher = makeCipher(library, init);
  const mac = makeMac(library);

  function chacha20(to: number, from: number, length: number, key: number, counter: number): void {
    const done = init(cipher, 0, key, counter, 1, 0) === 1 && update(cipher, to, lengthAt, from, length) === 1;
    if (!done) throw new Error('OpenSSL failed to encrypt');
  }

  function poly1305(key: number, from: number, length: number, tag: number): void {
    const done =
      macInit(mac, key, KEY_SIZE, 0) === 1 &&
      macUpdate(mac, from, length) === 1 &&
      macFinal(mac, tag, lengthAt, TAG_SIZE) === 1;
    if (!done) throw new Error('OpenSSL failed to authenticate');
  }

  return {
    chacha20,
    poly1305,
    forget() {
      // A byte, so that the rest of the last block of keystream goes as well.
      chacha20(at + SPARE, at + SPARE, 1, at + ZEROS, at + ZEROS);
      macInit(mac, at + ZEROS, KEY_SIZE, 0);
      // It lives as long as something refers to it: an address does not.
      scratch[SPARE] = 0;
    },
    close() {
      library.func('EVP_CIPHER_CTX_free', 'void', ['pointer'])(cipher);
      library.func('EVP_MAC_CTX_free', 'void', ['pointer'])(mac);
    },
  };
}

function makeCipher(library: Library, init: Native): number {
  const chacha20 = library.func('EVP_chacha20', 'pointer', [])();
  const cipher = library.func('EVP_CIPHER_CTX_new', 'pointer', [])();
  if (cipher === 0 || init(cipher, chacha20, 0, 0, 1, 0) !== 1) throw new Error('OpenSSL has no ChaCha20');
  return cipher;
}

function makeMac(library: Library): number {
  const fetch = library.func('EVP_MAC_fetch', 'pointer', ['pointer', 'pointer', 'pointer']);
  const poly1305 = fetch(0, addressOf(cString('POLY1305')), 0);
  const mac = poly1305 === 0 ? 0 : library.func('EVP_MAC_CTX_new', 'pointer', ['pointer'])(poly1305);
  if (mac === 0) throw new Error('OpenSSL has no Poly1305');
  // The context holds it by itself.
  library.func('EVP_MAC_free', 'void', ['pointer'])(poly1305);
  return mac;
}
