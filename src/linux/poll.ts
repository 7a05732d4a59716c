/** Waiting for descriptors: ppoll(2) and eventfd(2). */
import { addressOf, allocate } from './ffi.js';
import { check, close, eventfd, O_CLOEXEC, O_NONBLOCK, ppoll, read, write } from './libc.js';

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
/** No such descriptor. */
export const POLLNVAL = 32;

const ENTRY = 8;
/** Longer than any uptime, and its seconds still fit 32 bits. */
const MAX_TIMEOUT_MS = 2 ** 41;

/** A fixed number of places, each for one descriptor or none. */
export class Poller {
  readonly #places: number;
  readonly #memory: Uint8Array;
  readonly #view: DataView;
  readonly #address: number;
  readonly #timeout: Uint8Array = allocate(16);
  readonly #timeoutView: DataView = new DataView(this.#timeout.buffer);
  readonly #timeoutAddress: number = addressOf(this.#timeout);

  constructor(places: number) {
    this.#places = places;
    this.#memory = allocate(places * ENTRY);
    this.#view = new DataView(this.#memory.buffer);
    this.#address = addressOf(this.#memory);
    for (let place = 0; place < places; place++) this.set(place, -1, 0);
  }

  /** @param fd -1 for none */
  set(place: number, fd: number, events: number): void {
    this.#view.setInt32(place * ENTRY, fd, true);
    this.#view.setInt16(place * ENTRY + 4, events, true);
    this.#view.setInt16(place * ENTRY + 6, 0, true);
  }

  /** What happened at a place in the last {@link wait}. */
  got(place: number): number {
    return this.#view.getInt16(place * ENTRY + 6, true);
  }

  /**
   * @param timeoutMs fractions count; Infinity waits as long as it takes
   * @returns how many places have something, or a negative number when a signal came first
   */
  wait(timeoutMs: number): number {
    let timeout = 0;
    if (timeoutMs < MAX_TIMEOUT_MS) {
      const ms = Math.max(0, timeoutMs);
      this.#timeoutView.setUint32(0, Math.floor(ms / 1000), true);
      this.#timeoutView.setUint32(8, Math.floor((ms % 1000) * 1e6), true);
      timeout = this.#timeoutAddress;
    }
    const got = ppoll(this.#address, this.#places, timeout, 0);
    // The kernel leaves the answers of the wait before in place when it is interrupted.
    if (got < 0) for (let place = 0; place < this.#places; place++) this.#view.setInt16(place * ENTRY + 6, 0, true);
    return got;
  }
}

/** Wakes a thread that waits in a {@link Poller}. Any thread may signal, knowing the number alone. */
export class EventFd {
  readonly fd: number;
  readonly #memory: Uint8Array = allocate(8);
  readonly #address: number = addressOf(this.#memory);

  constructor(fd?: number) {
    this.fd = fd ?? check(eventfd(0, O_CLOEXEC | O_NONBLOCK), 'eventfd');
  }

  signal(): void {
    this.#memory[0] = 1;
    write(this.fd, this.#address, 8);
  }

  drain(): void {
    read(this.fd, this.#address, 8);
    this.#memory.fill(0);
  }

  /** For the owner alone. */
  close(): void {
    close(this.fd);
  }
}
