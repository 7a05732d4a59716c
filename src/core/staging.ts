/**
 * Packets that wait for a session, copied out of the arena into cells of one shared pool.
 *
 * Per peer at most MAX_STAGED_PACKETS, the oldest making way; for the device at most MAX_STAGED_CELLS.
 */
import { MAX_STAGED_CELLS, MAX_STAGED_PACKETS } from './constants.js';

const CELL_SIZE = 2048;
/** Cells are taken from the system this many at a time. */
const CHUNK_CELLS = 64;
const NONE = -1;

/** One peer's queue: first and last packet, named by their first cells. */
export class StagedQueue {
  count = 0;
  first: number = NONE;
  last: number = NONE;
}

export class StagedPool {
  #chunks: Uint8Array[] = [];
  /** Of a cell: the next cell of the same packet, or the next free one. */
  #nextCell: Int32Array = new Int32Array(0);
  /** Of a packet's first cell: the next packet of the same queue, and the packet's length. */
  #nextPacket: Int32Array = new Int32Array(0);
  #length: Int32Array = new Int32Array(0);
  #free = NONE;
  #used = 0;

  /**
   * Copies a packet to the end of a queue.
   * @returns how many packets were lost for it: 0, 1 (the queue's oldest), or -1: this one (no memory left)
   */
  push(queue: StagedQueue, arena: Uint8Array, offset: number, length: number): number {
    let lost = 0;
    if (queue.count >= MAX_STAGED_PACKETS) {
      this.shift(queue);
      lost = 1;
    }
    const cells = Math.max(1, Math.ceil(length / CELL_SIZE));
    if (this.#used + cells > MAX_STAGED_CELLS) return -1;
    let first = NONE;
    // From the last cell to the first, so that each knows its successor.
    for (let i = cells - 1; i >= 0; i--) {
      const cell = this.#take();
      const from = offset + i * CELL_SIZE;
      const chunk = this.#chunks[Math.floor(cell / CHUNK_CELLS)]!;
      const to = (cell % CHUNK_CELLS) * CELL_SIZE;
      chunk.set(arena.subarray(from, Math.min(from + CELL_SIZE, offset + length)), to);
      this.#nextCell[cell] = first;
      first = cell;
    }
    this.#length[first] = length;
    this.#nextPacket[first] = NONE;
    if (queue.last === NONE) queue.first = first;
    else this.#nextPacket[queue.last] = first;
    queue.last = first;
    queue.count++;
    return lost;
  }

  /** Bytes of the oldest packet, or -1. */
  firstLength(queue: StagedQueue): number {
    return queue.first === NONE ? NONE : this.#length[queue.first]!;
  }

  /** Moves the oldest packet to the arena, or drops it when no arena is given. */
  shift(queue: StagedQueue, arena?: Uint8Array, offset = 0): void {
    const first = queue.first;
    if (first === NONE) return;
    const length = this.#length[first]!;
    let at = 0;
    for (let cell = first; cell !== NONE; ) {
      const chunk = this.#chunks[Math.floor(cell / CHUNK_CELLS)]!;
      const from = (cell % CHUNK_CELLS) * CELL_SIZE;
      const size = Math.min(CELL_SIZE, length - at);
      if (arena) arena.set(chunk.subarray(from, from + size), offset + at);
      chunk.fill(0, from, from + size);
      at += size;
      const next = this.#nextCell[cell]!;
      this.#nextCell[cell] = this.#free;
      this.#free = cell;
      this.#used--;
      cell = next;
    }
    queue.first = this.#nextPacket[first]!;
    if (queue.first === NONE) queue.last = NONE;
    queue.count--;
    if (this.#used === 0) this.#giveBack();
  }

  /** Drops all of a queue. @returns how many packets that were */
  clear(queue: StagedQueue): number {
    const count = queue.count;
    while (queue.count > 0) this.shift(queue);
    return count;
  }

  #take(): number {
    if (this.#free === NONE) this.#grow();
    const cell = this.#free;
    this.#free = this.#nextCell[cell]!;
    this.#used++;
    return cell;
  }

  #grow(): void {
    const from = this.#chunks.length * CHUNK_CELLS;
    this.#chunks.push(new Uint8Array(CHUNK_CELLS * CELL_SIZE));
    const grown = (old: Int32Array): Int32Array => {
      const next = new Int32Array(from + CHUNK_CELLS);
      next.set(old);
      return next;
    };
    this.#nextCell = grown(this.#nextCell);
    this.#nextPacket = grown(this.#nextPacket);
    this.#length = grown(this.#length);
    for (let cell = from + CHUNK_CELLS - 1; cell >= from; cell--) {
      this.#nextCell[cell] = this.#free;
      this.#free = cell;
    }
  }

  /** Nothing is staged: what was grown beyond one chunk goes back. */
  #giveBack(): void {
    if (this.#chunks.length <= 1) return;
    this.#chunks.length = 0;
    this.#nextCell = new Int32Array(0);
    this.#nextPacket = new Int32Array(0);
    this.#length = new Int32Array(0);
    this.#free = NONE;
  }
}
