/**
 * The data worker's descriptors, in memory that the main thread sees as well. A worker that is ended by force, such as
 * one whose heap is full, closes nothing: an interface that nobody serves, and a port that nobody reads, would stay
 * until the process ends.
 */
import { close } from '../linux/libc.js';

/** The data plane's poller has six of them. */
const PLACES = 8;
/** Of the TUN. */
export const TUN = 1;

export class HeldDescriptors {
  /** To be handed to the other thread. */
  readonly memory: SharedArrayBuffer;
  /** Each with one added: 0 is none. */
  readonly #places: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(PLACES * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#places = new Int32Array(memory);
  }

  /** @param fd -1 for none: said before it is closed, as its number may be somebody else's afterwards */
  hold(place: number, fd: number): void {
    this.#places[place] = fd + 1;
  }

  /** They are closed by whoever opened them. */
  release(): void {
    this.#places.fill(0);
  }

  /** Closes what was opened, and is held still. */
  closeAll(): void {
    for (const held of this.#places) if (held > 0) close(held - 1);
    this.release();
  }
}
