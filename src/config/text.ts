/** Text as bytes that grow, since keys may be in it: what was outgrown is zeroed, and the rest by {@link ByteText.wipe}. */
import { encodeKey, KEY_TEXT_BYTES } from './key.js';

const encoder = new TextEncoder();

export class ByteText {
  #bytes = new Uint8Array(4096);
  #length = 0;

  add(text: string): this {
    this.#reserve(text.length * 3);
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
    return this;
  }

  addBytes(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** @param key 32 bytes, written in base64 */
  addKey(key: Uint8Array): this {
    this.#reserve(KEY_TEXT_BYTES);
    encodeKey(key, this.#bytes, this.#length);
    this.#length += KEY_TEXT_BYTES;
    return this;
  }

  /** What was written. A view, good until more is written. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Zeroes and empties it. */
  wipe(): void {
    this.#bytes.fill(0, 0, this.#length);
    this.#length = 0;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array((this.#length + more) * 2);
    larger.set(this.bytes());
    this.#bytes.fill(0);
    this.#bytes = larger;
  }
}

/** Whether a key is more than zeros, which stand for none. */
export function isSet(key: Uint8Array | undefined): key is Uint8Array {
  return key?.some((byte) => byte !== 0) ?? false;
}
