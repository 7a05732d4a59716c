/** X25519 by OpenSSL, in two ways: by its public API, and by the function underneath where that is exported. */
import { randomFillSync } from 'node:crypto';
import type { PrivateKey } from '../core/suite.js';
import { addressOf, allocate, type Library } from '../linux/ffi.js';

const NID_X25519 = 1034;
const KEY_SIZE = 32;

const X25519: readonly string[] = ['ossl_x25519', 'ossl_x25519_public_from_private'];
/** RFC 7748, section 5.2: scalar, u-coordinate, result. */
const VECTOR: readonly Uint8Array[] = [
  'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
  'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
  'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
].map((text) => Uint8Array.from(Buffer.from(text, 'hex')));

/**
 * X25519 by the function under OpenSSL's EVP_PKEY, which the official Node.js binaries export: a fifth
 * less time, and no native objects.
 * @returns undefined where it is not exported, or does not give what RFC 7748 and EVP_PKEY give
 */
export function createDirectX25519(library: Library): ((privateKey: Uint8Array) => PrivateKey) | undefined {
  if (!X25519.every((symbol) => library.has(symbol))) return undefined;
  const multiply = library.func('ossl_x25519', 'int', ['pointer', 'pointer', 'pointer']);
  const derivePublic = library.func('ossl_x25519_public_from_private', 'void', ['pointer', 'pointer']);
  const scratch = allocate(4096);
  const [scalar, point, result] = [0, 1, 2].map((i) => scratch.subarray(i * KEY_SIZE, (i + 1) * KEY_SIZE)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const [scalarAt, pointAt, resultAt] = [addressOf(scalar), addressOf(point), addressOf(result)];

  const importKey = (privateKey: Uint8Array): PrivateKey => {
    const key = privateKey.slice();
    let destroyed = false;
    scalar.set(key);
    derivePublic(resultAt, scalarAt);
    const publicKey = result.slice();
    scratch.fill(0, 0, 3 * KEY_SIZE);
    return {
      publicKey,
      dh(peerKey, out) {
        if (destroyed) throw new Error('the private key has been destroyed');
        scalar.set(key);
        point.set(peerKey);
        // It says 0 for a result of zeros. We look at it all the same.
        const fine = multiply(resultAt, scalarAt, pointAt) === 1 && !isZero(result);
        if (fine) out.set(result);
        else out.fill(0);
        scratch.fill(0, 0, 3 * KEY_SIZE);
        return fine;
      },
      destroy() {
        key.fill(0);
        destroyed = true;
      },
    };
  };
  return givesTheSame(importKey, createX25519(library)) ? importKey : undefined;
}

type Import = (privateKey: Uint8Array) => PrivateKey;

function givesTheSame(ours: Import, theirs: Import): boolean {
  const [scalar, point, expected] = VECTOR as [Uint8Array, Uint8Array, Uint8Array];
  const out = new Uint8Array(KEY_SIZE);
  const random = randomFillSync(new Uint8Array(KEY_SIZE));
  const [one, other, fixed] = [ours(random), theirs(random), ours(scalar)];
  const gives = (key: PrivateKey, peer: Uint8Array, result: Uint8Array): boolean =>
    key.dh(peer, out) && Buffer.compare(out, result) === 0;
  const shared = new Uint8Array(KEY_SIZE);
  const fine =
    gives(fixed, point, expected) &&
    Buffer.compare(one.publicKey, other.publicKey) === 0 &&
    other.dh(fixed.publicKey, shared) &&
    gives(one, fixed.publicKey, shared) &&
    !one.dh(new Uint8Array(KEY_SIZE), out);
  for (const key of [one, other, fixed]) key.destroy();
  random.fill(0);
  return fine;
}

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
