/** Small byte arrays cut from a few larger pieces: a million keys or addresses cost little, and one call wipes them. */
const PIECE_BYTES = 8192;

export class ByteSlab {
  #pieces: Uint8Array[] = [];
  #used = PIECE_BYTES;

  /** @returns `length` zero bytes that nobody else has, as a view of a larger buffer */
  take(length: number): Uint8Array {
    if (this.#used + length > PIECE_BYTES) {
      this.#pieces.push(new Uint8Array(PIECE_BYTES));
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    return this.#pieces[this.#pieces.length - 1]!.subarray(start, start + length);
  }

  /** Zeroes everything that was ever taken, and lets go of it. */
  wipe(): void {
    for (const piece of this.#pieces) piece.fill(0);
    this.#pieces = [];
    this.#used = PIECE_BYTES;
  }
}

/** What a secret key looks like in a log. */
export const REDACTED = '[SecretKey]';

/** Bytes like all others, but for what console.log, String and JSON.stringify make of them. */
class SecretBytes extends Uint8Array<ArrayBuffer> {
  override toString(): string {
    return REDACTED;
  }

  override toLocaleString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  static {
    Object.defineProperty(SecretBytes.prototype, Symbol.for('nodejs.util.inspect.custom'), { value: () => REDACTED });
  }
}

/** @returns the same memory, as bytes that do not show themselves */
export function secretView(key: Uint8Array): Uint8Array {
  return new SecretBytes(key.buffer as ArrayBuffer, key.byteOffset, key.length);
}
