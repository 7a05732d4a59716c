/** Keys: public ones are base64 text, secret ones bytes in an object that never shows them. */
import { decodeKey, encodeKey, KEY_BYTES, KEY_TEXT_BYTES } from '../config/key.js';
import { clamp } from '../core/noise.js';
import { importPrivateKey, random } from '../crypto/noble.js';
import { REDACTED } from '../uapi/slab.js';
import { show, TypetunError } from './errors.js';

const HEX = /^[0-9a-fA-F]{64}$/;

/** 32 bytes, or their base64 (as `wg genkey` prints it) or hexadecimal text (as in the UAPI). */
export type PublicKeyInput = Uint8Array | string;

/**
 * As {@link PublicKeyInput}. **Text cannot be wiped**: JavaScript keeps strings until, and often after, they are
 * collected as garbage. Hand over bytes, and wipe them afterwards, where that matters.
 */
export type SecretKeyInput = SecretKey | Uint8Array | string;

/**
 * A private key or a preshared key. Printing, logging, inspecting or serializing it gives `[SecretKey]`;
 * only {@link toBytes} and {@link toBase64} give it out. It is copied in and out, so that each copy has one
 * owner, who wipes it.
 */
export class SecretKey {
  readonly #bytes: Uint8Array;
  #isWiped = false;

  /**
   * Copies a key.
   * @throws TypetunError `ERR_INVALID_KEY`, `ERR_KEY_WIPED`
   */
  constructor(key: SecretKeyInput) {
    this.#bytes = key instanceof SecretKey ? key.toBytes() : keyBytes(key, 'secret key');
  }

  /** A new private key (Curve25519, clamped as RFC 7748, section 5, asks for), as `wg genkey`. */
  static generatePrivateKey(): SecretKey {
    const key = SecretKey.generatePresharedKey();
    clamp(key.#bytes);
    return key;
  }

  /** A new preshared key: 32 random bytes, as `wg genpsk`. */
  static generatePresharedKey(): SecretKey {
    const key = new SecretKey(new Uint8Array(KEY_BYTES));
    random(key.#bytes);
    return key;
  }

  /**
   * The public key that belongs to this private key, in base64, as `wg pubkey` prints it.
   * @throws TypetunError `ERR_KEY_WIPED`
   */
  publicKey(): string {
    const clamped = this.toBytes();
    clamp(clamped);
    const key = importPrivateKey(clamped);
    clamped.fill(0);
    key.destroy();
    return keyText(key.publicKey);
  }

  /**
   * @returns a copy, 32 bytes, for the caller to wipe
   * @throws TypetunError `ERR_KEY_WIPED`
   */
  toBytes(): Uint8Array {
    if (this.#isWiped) throw new TypetunError('ERR_KEY_WIPED', 'the key was wiped and cannot be used any more');
    return this.#bytes.slice();
  }

  /**
   * For a configuration file. The text cannot be wiped.
   * @throws TypetunError `ERR_KEY_WIPED`
   */
  toBase64(): string {
    const bytes = this.toBytes();
    const text = keyText(bytes);
    bytes.fill(0);
    return text;
  }

  /**
   * Compares in time that does not depend on the bytes. A wiped key equals none.
   * @throws TypetunError `ERR_INVALID_ARGUMENT`
   */
  equals(other: SecretKey): boolean {
    // Not shown: it may be a key's text.
    const what = 'other: expected a SecretKey';
    if (!(other instanceof SecretKey)) throw new TypetunError('ERR_INVALID_ARGUMENT', `${what}, got ${typeof other}`);
    let difference = this.#isWiped || other.#isWiped ? 1 : 0;
    for (let i = 0; i < KEY_BYTES; i++) difference |= this.#bytes[i]! ^ other.#bytes[i]!;
    return difference === 0;
  }

  /** Zeroes the bytes. Devices have copies of their own, and are not affected. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#isWiped = true;
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  static {
    // For console.log and util.inspect of Node.js (private fields are not shown anyway).
    Object.defineProperty(SecretKey.prototype, Symbol.for('nodejs.util.inspect.custom'), { value: () => REDACTED });
  }
}

/**
 * A key's bytes from any of its forms.
 * @param what names it in an error
 * @returns a copy of 32 bytes
 * @throws TypetunError `ERR_INVALID_KEY`, without saying what was there instead: it may be most of a secret
 */
export function keyBytes(key: PublicKeyInput, what: string): Uint8Array {
  const bytes = typeof key === 'string' ? (fromBase64(key) ?? fromHex(key)) : key;
  // Not by slice, which gives a Buffer another view of its own memory.
  if (bytes instanceof Uint8Array && bytes.length === KEY_BYTES) return Uint8Array.from(bytes);
  const expected = `${KEY_BYTES} bytes, or their text: 44 characters of base64 or 64 hexadecimal digits`;
  const hasLength = typeof key === 'string' || key instanceof Uint8Array;
  const got = hasLength ? `${typeof key === 'string' ? 'string' : 'bytes'} of length ${key.length}` : show(key);
  throw new TypetunError('ERR_INVALID_KEY', `${what}: expected ${expected}, got ${got}`);
}

function fromBase64(text: string): Uint8Array | undefined {
  if (text.length !== KEY_TEXT_BYTES) return undefined;
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const key = new Uint8Array(KEY_BYTES);
  const isKey = decodeKey(bytes, 0, bytes.length, key);
  bytes.fill(0);
  return isKey ? key : undefined;
}

function fromHex(text: string): Uint8Array | undefined {
  if (!HEX.test(text)) return undefined;
  return Uint8Array.from({ length: KEY_BYTES }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** A key in base64. @param key 32 bytes */
export function keyText(key: Uint8Array): string {
  const bytes = new Uint8Array(KEY_TEXT_BYTES);
  encodeKey(key, bytes);
  const text = String.fromCharCode(...bytes);
  bytes.fill(0);
  return text;
}
