/**
 * Endpoints as rows of one flat table, so that packets name them by number.
 *
 * A row, in 48 bytes (network order where a socket address has it, little-endian elsewhere):
 *
 *     0  family       0 none, 4, 6
 *     1  flags        bit 0: a source is set; bit 1: the source is suppressed (see below)
 *     2  port         big-endian
 *     4  address      16 bytes; IPv4 in the first 4, the rest zero
 *    20  scope id     u32 LE, the interface of an IPv6 link-local address, else 0
 *    24  source       16 bytes: the local address the peer last wrote to ("sticky source")
 *    40  source if    u32 LE: the interface it arrived at
 *    44  generation   u32 LE: of the routing state at which the socket layer last checked the source
 *
 * The socket layer fills a row for every datagram it receives (generation 0, bit 1 clear), and may
 * set bit 1 and the generation of a row it sends to: a source that no longer works is suppressed
 * rather than forgotten, so that the next datagram from the same place is not news.
 */
export const ENDPOINT_SIZE = 48;
const ENDPOINT_SOURCE_SUPPRESSED = 2;

/** An endpoint as people and the UAPI know it. */
export interface Endpoint {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** Interface index of an IPv6 link-local address, else 0. */
  readonly scopeId?: number;
}

const WORDS = ENDPOINT_SIZE / 4;

/** Rows are given out and taken back; the table grows by half when it is full. */
export class EndpointTable {
  bytes: Uint8Array;
  #words: Int32Array;
  #free: number[] = [];
  #used = 0;

  constructor(rows = 64) {
    const buffer = new ArrayBuffer(rows * ENDPOINT_SIZE);
    this.bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer);
  }

  /** @returns an empty row */
  allocate(): number {
    const row = this.#free.pop() ?? this.#used++;
    if (row * ENDPOINT_SIZE >= this.bytes.length) this.#grow();
    this.clear(row);
    return row;
  }

  release(row: number): void {
    this.clear(row);
    this.#free.push(row);
  }

  clear(row: number): void {
    this.#words.fill(0, row * WORDS, (row + 1) * WORDS);
  }

  copy(from: number, to: number): void {
    this.#words.copyWithin(to * WORDS, from * WORDS, (from + 1) * WORDS);
  }

  isSet(row: number): boolean {
    return this.bytes[row * ENDPOINT_SIZE] !== 0;
  }

  /**
   * Takes over where a datagram came from, if that differs (source and interface included).
   * @returns 0 nothing new, 1 only the source changed, 2 the endpoint itself changed
   */
  roam(row: number, from: number): 0 | 1 | 2 {
    const words = this.#words;
    const a = row * WORDS;
    const b = from * WORDS;
    let changed: 0 | 1 | 2 = this.isSame(row, from) ? 0 : 2;
    // The socket layer changes the other flag behind our back.
    if (changed === 0 && ((words[a]! ^ words[b]!) & ~(ENDPOINT_SOURCE_SUPPRESSED << 8)) !== 0) changed = 1;
    for (let i = 6; changed === 0 && i < 11; i++) if (words[a + i] !== words[b + i]) changed = 1;
    if (changed !== 0) this.copy(from, row);
    return changed;
  }

  /** Whether two rows are one endpoint, whatever their sources and flags. */
  isSame(row: number, other: number): boolean {
    const words = this.#words;
    const a = row * WORDS;
    const b = other * WORDS;
    // Word 0 holds the flags too.
    if (((words[a]! ^ words[b]!) & ~0xff00) !== 0) return false;
    for (let i = 1; i <= 5; i++) if (words[a + i] !== words[b + i]) return false;
    return true;
  }

  /** Forgets the source, so that the system chooses one again (a new attempt may fare better). */
  clearSource(row: number): void {
    this.bytes[row * ENDPOINT_SIZE + 1] = 0;
    this.#words.fill(0, row * WORDS + 6, (row + 1) * WORDS);
  }

  set(row: number, endpoint: Endpoint): void {
    this.clear(row);
    const at = row * ENDPOINT_SIZE;
    this.bytes[at] = endpoint.address.length === 4 ? 4 : 6;
    this.bytes[at + 2] = endpoint.port >>> 8;
    this.bytes[at + 3] = endpoint.port & 0xff;
    this.bytes.set(endpoint.address, at + 4);
    this.#words[row * WORDS + 5] = endpoint.scopeId ?? 0;
  }

  get(row: number): Endpoint | undefined {
    const at = row * ENDPOINT_SIZE;
    const family = this.bytes[at];
    if (family === 0) return undefined;
    const address = this.bytes.slice(at + 4, at + (family === 4 ? 8 : 20));
    const port = (this.bytes[at + 2]! << 8) | this.bytes[at + 3]!;
    return { address, port, scopeId: this.#words[row * WORDS + 5]! >>> 0 };
  }

  #grow(): void {
    const buffer = new ArrayBuffer(Math.ceil((this.#used * 3) / 2) * ENDPOINT_SIZE);
    const bytes = new Uint8Array(buffer);
    bytes.set(this.bytes);
    this.bytes = bytes;
    this.#words = new Int32Array(buffer);
  }
}
