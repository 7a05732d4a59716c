/** What a native back end of the AEAD gives, and the suite's one-shot functions made of it. */
import { hchacha } from '@noble/ciphers/chacha.js';
import type { BatchCipher } from '../core/batch.js';
import type { Suite } from '../core/suite.js';

export const TAG_SIZE = 16;
/** Bytes of a message, and of its associated data, that the one-shot functions take. */
export const ONE_SHOT_ROOM = 2048;

/** Where a back end may put a keystream, and XOR it into the arena. */
export interface Keystream {
  /** Native address of at least {@link KEYSTREAM_ROOM} bytes. Secret: whoever owns it wipes it at the end. */
  readonly address: number;
  /** XORs `length` bytes of it, from its second 64-byte block on, into the arena at `to`. */
  xor(to: number, length: number): void;
  wipe(): void;
}

/** ChaCha20's first block, which makes the Poly1305 key, and the longest datagram. */
export const KEYSTREAM_ROOM: number = 64 + 65536;

export interface Aead {
  readonly cipher: BatchCipher;
  /**
   * ChaCha20-Poly1305 (RFC 8439), one message. The nonce is four zero bytes and these two words, little-endian.
   * @param out receives `plaintext.length + 16` bytes
   */
  seal(out: Uint8Array, key: Uint8Array, lo: number, hi: number, plaintext: Uint8Array, ad: Uint8Array): void;
  /** @returns `false`, with `out` zeroed, when the tag does not fit */
  open(out: Uint8Array, key: Uint8Array, lo: number, hi: number, ciphertext: Uint8Array, ad: Uint8Array): boolean;
  /** Forgets what it may still hold of the keys it used last. */
  forget(): void;
  /** Gives native objects back. The back end cannot be used afterwards. */
  close(): void;
}

/** @throws RangeError for more than the one-shot functions are made for: a mistake of the caller */
export function checkRoom(message: number, ad: number): void {
  if (message > ONE_SHOT_ROOM || ad > ONE_SHOT_ROOM) throw new RangeError('message too long for one-shot encryption');
}

/** "expand 32-byte k" as four little-endian words. */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/**
 * XChaCha20-Poly1305 is ChaCha20-Poly1305 under a subkey (draft-irtf-cfrg-xchacha-03, section 2.3):
 * noble's HChaCha20 makes it, and the back end does the rest.
 */
export function oneShotFunctions(aead: Aead): Pick<Suite, 'seal' | 'open' | 'xseal' | 'xopen'> {
  const keyWords = new Uint32Array(8);
  const keyBytes = new Uint8Array(keyWords.buffer);
  const nonceWords = new Uint32Array(6);
  const nonceBytes = new Uint8Array(nonceWords.buffer);
  const nonceHead = nonceWords.subarray(0, 4);
  const subkeyWords = new Uint32Array(8);
  const subkey = new Uint8Array(subkeyWords.buffer);
  const derive = (key: Uint8Array, nonce: Uint8Array): void => {
    keyBytes.set(key);
    nonceBytes.set(nonce);
    hchacha(SIGMA, keyWords, nonceHead, subkeyWords);
    keyBytes.fill(0);
  };
  return {
    seal: (out, key, plaintext, ad) => aead.seal(out, key, 0, 0, plaintext, ad),
    open: (out, key, ciphertext, ad) => aead.open(out, key, 0, 0, ciphertext, ad),
    xseal(out, key, nonce, plaintext, ad) {
      derive(key, nonce);
      aead.seal(out, subkey, nonceWords[4]!, nonceWords[5]!, plaintext, ad);
      subkey.fill(0);
    },
    xopen(out, key, nonce, ciphertext, ad) {
      derive(key, nonce);
      const fits = aead.open(out, subkey, nonceWords[4]!, nonceWords[5]!, ciphertext, ad);
      subkey.fill(0);
      return fits;
    },
  };
}
