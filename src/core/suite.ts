/**
 * What the core needs of cryptography, handed to it from outside (see `src/crypto`).
 *
 * Every secret crosses this boundary as a `Uint8Array` that its owner wipes. Nothing here
 * throws for what came from the network: a bad public key or tag is a `false`.
 */

/** A Curve25519 private key made ready once, for many Diffie-Hellman computations. */
export interface PrivateKey {
  /** The public key that belongs to it: 32 bytes. */
  readonly publicKey: Uint8Array;
  /**
   * X25519 (RFC 7748, section 5).
   * @param publicKey 32 bytes, from anywhere
   * @param out receives 32 bytes; zeroed when the answer is `false`
   * @returns `false` when the result is all zeros, or the library refuses the point
   */
  dh(publicKey: Uint8Array, out: Uint8Array): boolean;
  /** Wipes the key. The object cannot be used afterwards. */
  destroy(): void;
}

/** Keyed BLAKE2s-128 with its key absorbed once (`mac1`, `mac2` and the cookie value). */
export interface Mac {
  /** @param out receives 16 bytes */
  compute(data: Uint8Array, out: Uint8Array): void;
  /** Wipes the key. */
  destroy(): void;
}

/** Names a transport key that was installed with {@link Suite.installKey}. */
export type KeySlot = number;

/** A row of a batch with no work for the cipher. */
export const NO_KEY = -1;

export interface Suite {
  /** Fills `out` with cryptographically secure random bytes. */
  random(out: Uint8Array): void;
  /** @param privateKey 32 bytes, already clamped; copied, the caller wipes its own */
  importPrivateKey(privateKey: Uint8Array): PrivateKey;

  /** BLAKE2s-256 of `a || b`, into the 32 bytes of `out`, which may be `a`. */
  hash(out: Uint8Array, a: Uint8Array, b: Uint8Array): void;
  /** HMAC-BLAKE2s-256 of `a || b` under `key`, into the 32 bytes of `out`, which may be any of them. */
  hmac(out: Uint8Array, key: Uint8Array, a: Uint8Array, b?: Uint8Array): void;
  /** @param key at most 32 bytes */
  createMac(key: Uint8Array): Mac;
  /** Keyed BLAKE2s-128 of `data` under a key that is used once, into the 16 bytes of `out`, which may be the key. */
  mac(out: Uint8Array, key: Uint8Array, data: Uint8Array): void;

  /**
   * ChaCha20-Poly1305 (RFC 8439) with an all-zero nonce, as the handshake uses it.
   * @param out receives `plaintext.length + 16` bytes
   */
  seal(out: Uint8Array, key: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void;
  /** @returns `false`, with `out` zeroed, when the tag does not fit */
  open(out: Uint8Array, key: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean;
  /** XChaCha20-Poly1305 with a 24-byte nonce, for cookies. Shapes as in `seal`. */
  xseal(out: Uint8Array, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void;
  xopen(out: Uint8Array, key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean;

  /** Gives a transport key (32 bytes, copied) to the cipher. */
  installKey(key: Uint8Array): KeySlot;
  /** Wipes it; the slot may be given out again at once. */
  removeKey(slot: KeySlot): void;
}
