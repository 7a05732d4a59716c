/** The public key of an X25519 private key, by node:crypto: for programs that need nothing else of OpenSSL. */
import { createPrivateKey, createPublicKey } from 'node:crypto';

/** The fixed start of a private key in PKCS #8 (RFC 8410, section 7). */
const PKCS8 = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20]);
const KEY_BYTES = 32;

/** @param privateKey 32 bytes. @returns 32 bytes */
export function publicKeyOf(privateKey: Uint8Array): Uint8Array {
  const der = Buffer.alloc(PKCS8.length + KEY_BYTES);
  der.set(PKCS8);
  der.set(privateKey, PKCS8.length);
  try {
    const key = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    return new Uint8Array(key.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES));
  } finally {
    der.fill(0);
  }
}
