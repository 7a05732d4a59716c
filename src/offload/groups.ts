/**
 * What is to be written to the TUN: groups of I/O vectors, a group one write.
 *
 * Each group is a virtio_net_hdr and a packet: one that came in as it is, or a super-packet gathered from
 * several by `writev` without moving their payloads. Columns, never an object per group.
 */
/** Bytes of a `struct iovec` (readv(2)) on a 64-bit machine: address and length, 64 bits each. */
export const IOVEC_SIZE = 16;

export class Groups {
  /** Groups in use: 0 to `count - 1`. In the order of their first packets. */
  count = 0;
  /** Of each group: its first I/O vector, and how many it has: one for each packet in it. */
  readonly first: Int32Array;
  readonly packets: Int32Array;
  /** Of each I/O vector: its place in the arena, and bytes. */
  readonly offset: Int32Array;
  readonly length: Int32Array;
  /** The same as an array of `struct iovec`, for `writev(fd, address + IOVEC_SIZE * first, packets)`. */
  readonly #iovecs: Uint32Array;
  readonly #baseLow: number;
  readonly #baseHigh: number;

  /**
   * @param capacity rows of the largest batch
   * @param iovecs native memory, at least `capacity * IOVEC_SIZE` bytes and aligned to 8
   * @param base the arena's native address
   */
  constructor(capacity: number, iovecs: Uint8Array, base: number) {
    this.first = new Int32Array(capacity);
    this.packets = new Int32Array(capacity);
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.#iovecs = new Uint32Array(iovecs.buffer, iovecs.byteOffset, (capacity * IOVEC_SIZE) / 4);
    this.#iovecs.fill(0);
    this.#baseLow = base >>> 0;
    this.#baseHigh = Math.floor(base / 2 ** 32);
  }

  /** Sets an I/O vector, in both forms. */
  set(index: number, offset: number, length: number): void {
    const low = this.#baseLow + offset;
    const word = index * (IOVEC_SIZE / 4);
    this.offset[index] = offset;
    this.length[index] = length;
    this.#iovecs[word] = low;
    this.#iovecs[word + 1] = low > 0xffffffff ? this.#baseHigh + 1 : this.#baseHigh;
    this.#iovecs[word + 2] = length;
  }

  /** Bytes of a group: what a whole `writev` of it returns. */
  bytes(group: number): number {
    const first = this.first[group]!;
    let total = 0;
    for (let i = first + this.packets[group]! - 1; i >= first; i--) total += this.length[i]!;
    return total;
  }
}
