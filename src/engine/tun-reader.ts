/**
 * Packets from the TUN into a batch: read, cut into segments where they are super-packets, ready for the core.
 *
 * A packet that needs no cutting is sealed where it was read, and the next one is read behind it. A
 * super-packet is read at the same place, and cut into rows of another part of the arena; what does not
 * fit the batch stays where it is until the next one.
 */
import { HEADROOM, type PacketBatch } from '../core/batch.js';
import { Errno } from '../linux/errno.js';
import { type TunDevice, VNET_HEADER_SIZE } from '../linux/tun.js';
import { Splitter } from '../offload/split.js';
import { footprint, MAX_PACKET, type PacketArena, READ_AT, READ_END, SEND_AT, SEND_END } from './arena.js';

/** With so many rows a batch goes out: as many as one GSO send takes. */
const ENOUGH_ROWS = 64;

export class TunReader {
  readonly #tun: TunDevice;
  readonly #base: number;
  readonly #header: number;
  readonly #splitter: Splitter;
  /** Segments of a super-packet that are still to be cut. */
  #left = 0;
  /** Packets that made no sense; the owner takes and clears it. */
  bad = 0;

  constructor(tun: TunDevice, arena: PacketArena) {
    this.#tun = tun;
    this.#base = arena.base;
    this.#header = tun.vnetHeader ? VNET_HEADER_SIZE : 0;
    this.#splitter = new Splitter(arena.memory);
  }

  /** Whether segments are left that did not fit the last batch. */
  get waiting(): boolean {
    return this.#left > 0;
  }

  /** Gives up what is waiting. */
  discard(): void {
    this.#left = 0;
  }

  /**
   * Fills the batch from the start.
   * @param alone stops at the first packet, as if there were no other: a poll tells if there is
   * @returns 0 when there may be more, or the -errno that ended the reading
   */
  read(batch: PacketBatch, alone = false): number {
    const header = this.#header;
    let to = SEND_AT;
    batch.count = 0;
    if (this.#left > 0) to = this.#cut(batch, to);
    if (this.#left > 0) return 0;
    for (let at = READ_AT; batch.count < ENOUGH_ROWS && at < READ_END; ) {
      const place = at + HEADROOM;
      const got = this.#tun.read(this.#base + place - header, MAX_PACKET + header);
      if (got < 0) return got;
      const length = got - header;
      const packets = header === 0 ? 1 : this.#splitter.begin(place - header, place, length);
      if (packets === 1) {
        batch.offset[batch.count] = place;
        batch.length[batch.count++] = length;
        if (alone) return -Errno.EAGAIN;
        at += footprint(length);
      } else if (packets > 1) {
        this.#left = packets;
        to = this.#cut(batch, to);
        if (this.#left > 0) return 0;
      } else this.bad++;
    }
    return 0;
  }

  /** Cuts as many segments as there is room for. @returns the next free place */
  #cut(batch: PacketBatch, to: number): number {
    const stride = footprint(this.#splitter.segmentLength);
    const limit = Math.min(batch.capacity - batch.count, Math.floor((SEND_END - to) / stride));
    const made = this.#splitter.write(batch, batch.count, limit, to + HEADROOM, stride);
    batch.count += made;
    this.#left -= made;
    return to + made * stride;
  }
}
