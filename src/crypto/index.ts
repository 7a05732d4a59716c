/**
 * The cipher's three back ends behind one door, the best first:
 *
 *   primitives  OpenSSL's own ChaCha20 and Poly1305, composed here; where Node.js exports them
 *   evp         the same by OpenSSL's public API; everywhere else
 *   noble       JavaScript; for tests, and as what the others are held equal to
 */
import { randomFillSync } from 'node:crypto';
import type { BatchCipher } from '../core/batch.js';
import type { Suite } from '../core/suite.js';
import { type Keystream, oneShotFunctions } from './aead.js';
import { backendWorks, bindParts } from './check.js';
import { compose } from './composed.js';
import { hashes } from './hashes.js';
import { NativeKeys } from './keys.js';
import { createNativeHashes } from './native-hashes.js';
import { createNobleSuite } from './noble.js';
import { findOpenSsl, type OpenSsl } from './openssl.js';
import { createDirectX25519, createX25519 } from './x25519.js';

const BACKENDS = ['primitives', 'evp', 'noble'] as const;
export type Backend = (typeof BACKENDS)[number];

/** A back end was asked for that does not exist, or cannot work here. */
export class CryptoError extends Error {
  readonly code: 'ERR_AEAD_UNKNOWN' | 'ERR_AEAD_UNAVAILABLE';

  constructor(code: CryptoError['code'], message: string) {
    super(message);
    this.name = 'CryptoError';
    this.code = code;
  }
}

export interface Crypto {
  readonly backend: Backend;
  readonly suite: Suite;
  readonly cipher: BatchCipher;
  /** Wipes the transport keys and gives native objects back. Neither part can be used afterwards. */
  close(): void;
}

/**
 * The back end that `TYPETUN_AEAD` names, or the best that works here where it is unset or empty.
 * @param openssl what there is of OpenSSL; default: Node.js's own, else the system's
 * @throws CryptoError when it names none, or one that cannot work here: never another one silently
 */
export function chooseBackend(
  env: Readonly<Record<string, string | undefined>> = process.env,
  openssl: OpenSsl | null = openSsl(),
): Backend {
  const wanted = env['TYPETUN_AEAD'];
  if (!wanted) return BACKENDS.find((backend) => obstacle(backend, openssl) === undefined)!;
  const backend = BACKENDS.find((name) => name === wanted);
  if (!backend) {
    const choices = BACKENDS.join(', ');
    throw new CryptoError('ERR_AEAD_UNKNOWN', `TYPETUN_AEAD=${wanted} is no cipher back end; choose one of ${choices}`);
  }
  refuseImpossible(backend, openssl);
  return backend;
}

function refuseImpossible(backend: Backend, openssl: OpenSsl | null): void {
  const reason = obstacle(backend, openssl);
  if (reason === undefined) return;
  const choices = BACKENDS.filter((other) => obstacle(other, openssl) === undefined).join(', ');
  const message = `the cipher back end ${backend} cannot work here: ${reason}; choose one of ${choices}`;
  throw new CryptoError('ERR_AEAD_UNAVAILABLE', message);
}

let found: OpenSsl | null | undefined;

/** Looked for once. */
function openSsl(): OpenSsl | null {
  if (found === undefined) found = findOpenSsl() ?? null;
  return found;
}

/** @returns what keeps a back end from working here, or undefined */
function obstacle(backend: Backend, openssl: OpenSsl | null): string | undefined {
  if (backend === 'noble') return undefined;
  if (!openssl) return `Node.js ${process.version} does not export OpenSSL 3, and there is no libcrypto.so.3`;
  if (backendWorks(backend, openssl)) return undefined;
  return `${openssl.description} does not give ChaCha20 and Poly1305 on their own`;
}

/** For people: `primitives (OpenSSL 3.0.19 in node)`. */
export function describeBackend(backend: Backend, openssl: OpenSsl | null = openSsl()): string {
  return `${backend} (${backend === 'noble' || !openssl ? 'JavaScript' : openssl.description})`;
}

export interface CryptoOptions {
  /** The memory that all batches are in. */
  readonly arena: Uint8Array;
  /** Default: {@link chooseBackend}'s choice. */
  readonly backend?: Backend;
  /** Room for a keystream and a fast XOR; all back ends can do without. */
  readonly keystream?: Keystream | undefined;
  /** Default: Node.js's own, else the system's. */
  readonly openssl?: OpenSsl | null;
}

/** @throws CryptoError when the back end cannot work here */
export function createSuite(options: CryptoOptions): Crypto {
  const { arena, openssl = openSsl() } = options;
  const backend = options.backend ?? chooseBackend(process.env, openssl);
  refuseImpossible(backend, openssl);
  if (backend === 'noble' || !openssl) return { backend, ...createNobleSuite(arena) };
  const { library } = openssl;
  const keys = new NativeKeys();
  const aead = compose(bindParts(backend, openssl), arena, keys, options.keystream);
  const suite: Suite = {
    ...(createNativeHashes(library) ?? hashes),
    ...oneShotFunctions(aead),
    random: (out) => void randomFillSync(out),
    importPrivateKey: (backend === 'primitives' && createDirectX25519(library)) || createX25519(library),
    installKey: (key) => keys.install(key),
    removeKey(slot) {
      keys.remove(slot);
      aead.forget();
    },
  };
  const close = (): void => {
    keys.clear();
    aead.close();
  };
  return { backend, suite, cipher: aead.cipher, close };
}

/**
 * As {@link createSuite}, with the value of `TYPETUN_AEAD` from wherever it came.
 * @throws CryptoError
 */
export function createCrypto(arena: Uint8Array, wanted?: string, keystream?: Keystream): Crypto {
  return createSuite({ arena, backend: chooseBackend({ TYPETUN_AEAD: wanted }), keystream });
}
