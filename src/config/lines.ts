/** Lines of a configuration, without white space and comments, in a buffer that is zeroed afterwards. */
import { ConfigError } from './errors.js';
import { isSpace } from './values.js';

const NEWLINE = 0x0a;
const HASH = 0x23;

/** What a file may have at most: room for a million peers, as a UAPI request has. */
export const MAX_CONFIG_BYTES: number = 128 * 1024 * 1024;

export class LineReader {
  readonly #file: Uint8Array;
  /** Where the first NUL byte is, or -1. Looked for once: the reader takes time that grows with the file. */
  readonly #nul: number;
  #next = 0;
  #scratch = new Uint8Array(256);
  /** Of the line that was read last, counted from 1. */
  line = 0;
  /** Where that line stands in the file, without its end. */
  from = 0;
  to = 0;

  /** @throws ConfigError `ERR_CONFIG_TOO_LARGE`; TypeError for what is no file's content */
  constructor(file: Uint8Array) {
    if (!(file instanceof Uint8Array))
      throw new TypeError(`a configuration is a Uint8Array or a string, not ${typeof file}`);
    if (file.length > MAX_CONFIG_BYTES) {
      throw new ConfigError('ERR_CONFIG_TOO_LARGE', `The configuration is larger than ${MAX_CONFIG_BYTES} bytes`);
    }
    this.#file = file;
    this.#nul = file.indexOf(0);
  }

  /**
   * Goes to the next line.
   * @returns whether there is one
   * @throws ConfigError `ERR_CONFIG_NUL`
   */
  read(): boolean {
    if (this.#next >= this.#file.length) return false;
    this.line++;
    this.from = this.#next;
    const end = this.#file.indexOf(NEWLINE, this.from);
    this.to = end < 0 ? this.#file.length : end;
    this.#next = this.to + 1;
    if (this.#nul >= this.from && this.#nul < this.to) {
      throw new ConfigError('ERR_CONFIG_NUL', 'The file has a NUL byte', undefined, this.line);
    }
    return true;
  }

  /** The line without white space and without its comment. A view, good until the next call. */
  compact(): Uint8Array {
    if (this.to - this.from > this.#scratch.length) {
      this.wipe();
      this.#scratch = new Uint8Array((this.to - this.from) * 2);
    }
    let length = 0;
    for (let at = this.from; at < this.to; at++) {
      const byte = this.#file[at]!;
      if (byte === HASH) break;
      if (!isSpace(byte)) this.#scratch[length++] = byte;
    }
    return this.#scratch.subarray(0, length);
  }

  /** The line as it is. A view of the file. */
  raw(): Uint8Array {
    return this.#file.subarray(this.from, this.to);
  }

  wipe(): void {
    this.#scratch.fill(0);
  }
}
