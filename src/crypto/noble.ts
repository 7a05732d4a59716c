/**
 * The portable back end: everything by @noble, readable, and slow. Imports no Node.js module.
 */
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { randomBytes } from '@noble/hashes/utils.js';
import type { BatchCipher, PacketBatch } from '../core/batch.js';
import { NO_KEY, type PrivateKey, type Suite } from '../core/suite.js';
import { hashes } from './hashes.js';

const TAG_SIZE = 16;
const ZERO_NONCE = new Uint8Array(12);

type OneShot = Pick<Suite, 'seal' | 'open' | 'xseal' | 'xopen'>;

/** The AEADs on small messages, as handshakes use them. */
export const oneShot: OneShot = {
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
    out.set(decrypt());
    return true;
  } catch {
    out.fill(0);
    return false;
  }
}

function importPrivateKey(privateKey: Uint8Array): PrivateKey {
  const key = privateKey.slice();
  return {
    publicKey: x25519.getPublicKey(key),
    dh(publicKey, out) {
      return attempt(out, () => x25519.getSharedSecret(key, publicKey));
    },
    destroy() {
      key.fill(0);
    },
  };
}

/** Transport keys by slot. */
export class KeyStore {
  readonly #keys: (Uint8Array | undefined)[] = [];
  readonly #free: number[] = [];

  install(key: Uint8Array): number {
    const slot = this.#free.pop() ?? this.#keys.length;
    this.#keys[slot] = key.slice();
    return slot;
  }

  remove(slot: number): void {
    this.#keys[slot]?.fill(0);
    this.#keys[slot] = undefined;
    this.#free.push(slot);
  }

  at(slot: number): Uint8Array {
    const key = this.#keys[slot];
    if (!key) throw new Error(`no key in slot ${slot}`);
    return key;
  }
}

/** @param arena the memory that the batches are in */
export function createNobleCipher(arena: Uint8Array, keys: KeyStore): BatchCipher {
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

/** A whole suite without OpenSSL. */
export function createNobleSuite(arena: Uint8Array): { suite: Suite; cipher: BatchCipher } {
  const keys = new KeyStore();
  const suite: Suite = {
    ...hashes,
    ...oneShot,
    random: (out) => out.set(randomBytes(out.length)),
    importPrivateKey,
    installKey: (key) => keys.install(key),
    removeKey: (slot) => keys.remove(slot),
  };
  return { suite, cipher: createNobleCipher(arena, keys) };
}
