/**
 * ICMP and ICMPv6 unreachable errors, on their way back to the sender behind the TUN: rate-limited,
 * in a small ring until the engine fetches them.
 */
import { GONE, type PacketBatch } from './batch.js';
import { ICMP_BURST, ICMP_MAX_SIZE, ICMP_PER_SECOND, ICMP_RING } from './constants.js';
import { Drop } from './drops.js';
import { buildUnreachable } from './icmp.js';
import type { State } from './state.js';

export class IcmpErrors {
  readonly #state: State;
  readonly #ring: Uint8Array = new Uint8Array(ICMP_RING * ICMP_MAX_SIZE);
  readonly #lengths: Int32Array = new Int32Array(ICMP_RING);
  #count = 0;
  #tokens: number = ICMP_BURST;
  #filledMs = 0;

  constructor(state: State) {
    this.#state = state;
  }

  /** The packet at `offset` has nowhere to go. */
  unreachable(offset: number, length: number, now: number): void {
    this.#tokens = Math.min(ICMP_BURST, this.#tokens + ((now - this.#filledMs) * ICMP_PER_SECOND) / 1000);
    this.#filledMs = now;
    if (this.#tokens < 1 || this.#count === ICMP_RING) return this.#state.drops.count(Drop.icmpLimited);
    const size = buildUnreachable(this.#ring, this.#count * ICMP_MAX_SIZE, this.#state.arena, offset, length);
    if (size === 0) return;
    this.#tokens--;
    this.#lengths[this.#count++] = size;
  }

  /** Moves what waits into the rows of `batch`, whose `offset` column names free places. */
  take(batch: PacketBatch): void {
    batch.count = Math.min(this.#count, batch.capacity);
    for (let row = 0; row < batch.count; row++) {
      const at = row * ICMP_MAX_SIZE;
      const length = this.#lengths[row] ?? GONE;
      this.#state.arena.set(this.#ring.subarray(at, at + length), batch.offset[row]!);
      batch.length[row] = length;
    }
    this.#count = 0;
  }

  get waiting(): number {
    return this.#count;
  }
}
