/**
 * The portable back end: everything by @noble, readable, and slow. Imports no Node.js module.
 */
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import type { BatchCipher, PacketBatch } from '../core/batch.js';
import { NO_KEY, type PrivateKey, type Suite } from '../core/suite.js';
import { hashes } from './hashes.js';

const TAG_SIZE = 16;
const ZERO_NONCE = new Uint8Array(12);

type OneShot = Pick<Suite, 'seal' | 'open' | 'xseal' | 'xopen'>;

/** The AEADs on small messages, as handshakes use them. */
const oneShot: OneShot = {
  seal(out, key, plaintext, ad) {
    out.set(chacha20poly1305(key, ZERO_NONCE, ad).encrypt(plaintext));
  },
  open(out, key, ciphertext, ad) {
    return attempt(out, () => chacha20poly1305(key, ZERO_NONCE, ad).decrypt(ciphertext));
  },
  xseal(out, key, nonce, plaintext, ad) {
    out.set(xchacha20poly1305(key, nonce, ad).encrypt(plaintext));
  },
  xopen(out, key, nonce, ciphertext, ad) {
    return attempt(out, () => xchacha20poly1305(key, nonce, ad).decrypt(ciphertext));
  },
};

/** noble throws when a tag does not fit. */
function attempt(out: Uint8Array, decrypt: () => Uint8Array): boolean {
  try {
    const result = decrypt();
    out.set(result);
    result.fill(0);
    return true;
  } catch {
    out.fill(0);
    return false;
  }
}

export function importPrivateKey(privateKey: Uint8Array): PrivateKey {
  const key = privateKey.slice();
  return {
    publicKey: x25519.getPublicKey(key),
    dh(publicKey, out) {
      // For a low-order point noble throws, as the result would be zero. We look at it all the same.
      return attempt(out, () => x25519.getSharedSecret(key, publicKey)) && out.some((byte) => byte !== 0);
    },
    destroy() {
      key.fill(0);
    },
  };
}

/** The one thing needed of the platform: Node.js and browsers have it. */
interface Platform {
  readonly crypto: { getRandomValues(out: Uint8Array): void };
}
/** What getRandomValues gives at once (W3C Web Cryptography API, section 10.1.1). */
const RANDOM_QUOTA = 65536;

export function random(out: Uint8Array): void {
  const { crypto } = globalThis as unknown as Platform;
  for (let at = 0; at < out.length; at += RANDOM_QUOTA) crypto.getRandomValues(out.subarray(at, at + RANDOM_QUOTA));
}

const MAX_KEYS: number = 1 << 22;

/** Transport keys by slot. */
class KeyStore {
  readonly #keys: (Uint8Array | undefined)[] = [];
  readonly #free: number[] = [];

  install(key: Uint8Array): number {
    if (key.length !== 32) throw new RangeError('a transport key has 32 bytes');
    const slot = this.#free.pop() ?? this.#keys.length;
    if (slot >= MAX_KEYS) throw new RangeError('too many transport keys');
    this.#keys[slot] = key.slice();
    return slot;
  }

  remove(slot: number): void {
    this.#keys[slot]?.fill(0);
    this.#keys[slot] = undefined;
    this.#free.push(slot);
  }

  /** Wipes every key. */
  clear(): void {
    for (const key of this.#keys) key?.fill(0);
  }

  at(slot: number): Uint8Array {
    const key = this.#keys[slot];
    if (!key) throw new Error(`no key in slot ${slot}`);
    return key;
  }
}

/** @param arena the memory that the batches are in */
function createNobleCipher(arena: Uint8Array, keys: KeyStore): BatchCipher {
  const nonce = new Uint8Array(12);
  const nonceView = new DataView(nonce.buffer);
  const cipher = (batch: PacketBatch, row: number): ReturnType<typeof chacha20poly1305> => {
    nonceView.setUint32(4, batch.counterLo[row]!, true);
    nonceView.setUint32(8, batch.counterHi[row]!, true);
    return chacha20poly1305(keys.at(batch.key[row]!), nonce);
  };
  return {
    seal(batch) {
      for (let row = 0; row < batch.count; row++) {
        const length = batch.length[row]!;
        if (batch.key[row] === NO_KEY || length < 0) continue;
        const at = batch.offset[row]!;
        arena.set(cipher(batch, row).encrypt(arena.subarray(at, at + length)), at);
      }
    },
    open(batch) {
      for (let row = 0; row < batch.count; row++) {
        const length = batch.length[row]!;
        if (batch.key[row] === NO_KEY || length < 0) continue;
        const at = batch.offset[row]!;
        batch.verdict[row] = 0;
        try {
          arena.set(cipher(batch, row).decrypt(arena.subarray(at, at + length + TAG_SIZE)), at);
          batch.verdict[row] = 1;
        } catch {
          // The tag does not fit: the verdict says so.
        }
      }
    },
  };
}

export interface NobleCrypto {
  readonly suite: Suite;
  readonly cipher: BatchCipher;
  /** Wipes the transport keys. */
  close(): void;
}

/** A whole suite without OpenSSL. */
export function createNobleSuite(arena: Uint8Array): NobleCrypto {
  const keys = new KeyStore();
  const suite: Suite = {
    ...hashes,
    ...oneShot,
    random,
    importPrivateKey,
    installKey: (key) => keys.install(key),
    removeKey: (slot) => keys.remove(slot),
  };
  return { suite, cipher: createNobleCipher(arena, keys), close: () => keys.clear() };
}
