/** Who may use a proxy: one name and password. */
import { createHash, timingSafeEqual } from 'node:crypto';

const MAX_BYTES = 512;
const COLON = 0x3a;

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

export class Credentials {
  readonly #digest: Buffer;

  /**
   * @param file `name:password`, one line; wiped
   * @throws Error with a text for people
   */
  constructor(file: Uint8Array) {
    let end = file.length;
    while (end > 0 && (file[end - 1] === 0x0a || file[end - 1] === 0x0d)) end--;
    const line = file.subarray(0, end);
    const colon = line.indexOf(COLON);
    const isFit = colon > 0 && end <= MAX_BYTES && !line.includes(0x0a);
    this.#digest = digest(line);
    file.fill(0);
    if (!isFit) throw new Error('expected one line, NAME:PASSWORD, of at most 512 bytes');
  }

  /** @param pair `name:password` */
  allows(pair: Uint8Array): boolean {
    return timingSafeEqual(digest(pair), this.#digest);
  }
}
