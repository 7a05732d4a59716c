/**
 * Packets from a batch to the TUN: those that belong together as one super-packet, by writev.
 *
 * A TUN that refuses a super-packet gets its packets one by one, and none of that kind any more.
 */
import type { PacketBatch } from '../core/batch.js';
import { Errno } from '../linux/errno.js';
import { addressOf, allocate } from '../linux/ffi.js';
import { type TunDevice, VNET_HEADER_SIZE } from '../linux/tun.js';
import { Coalescer } from '../offload/coalesce.js';
import { Groups, IOVEC_SIZE } from '../offload/groups.js';
import { Gso } from '../offload/virtio.js';
import type { PacketArena } from './arena.js';

export class TunWriter {
  readonly #tun: TunDevice;
  readonly #arena: PacketArena;
  readonly #coalescer: Coalescer;
  readonly #groups: Groups;
  readonly #iovecsAt: number;
  /** What the virtio header in front of each packet is cut by: a TUN without it takes none. */
  readonly #skip: number;
  /** Packets the TUN had no room for, or refused; the owner takes and clears them. */
  full = 0;
  failed = 0;

  /**
   * @param capacity rows of the largest batch
   * @param tcp whether the TUN is given super-packets of TCP; @param udp of UDP
   */
  constructor(tun: TunDevice, arena: PacketArena, capacity: number, tcp: boolean, udp: boolean) {
    this.#tun = tun;
    this.#arena = arena;
    this.#skip = tun.vnetHeader ? 0 : VNET_HEADER_SIZE;
    const iovecs = allocate(capacity * IOVEC_SIZE);
    this.#iovecsAt = addressOf(iovecs);
    this.#groups = new Groups(capacity, iovecs, arena.base);
    this.#coalescer = new Coalescer(arena.memory, capacity, tcp && tun.vnetHeader, udp && tun.vnetHeader);
  }

  get tcp(): boolean {
    return this.#coalescer.tcp;
  }

  get udp(): boolean {
    return this.#coalescer.udp;
  }

  /** Writes every row. Headers of rows are changed on the way. */
  write(batch: PacketBatch): void {
    const groups = this.#groups;
    this.#coalescer.run(batch, groups);
    for (let group = 0; group < groups.count; group++) {
      const first = groups.first[group]!;
      const packets = groups.packets[group]!;
      if (packets === 1) this.#writeSingle(first);
      else this.#writeGroup(group, first, packets);
    }
  }

  #writeSingle(vector: number): void {
    const skip = this.#skip;
    const at = this.#arena.base + this.#groups.offset[vector]! + skip;
    this.#count(this.#tun.write(at, this.#groups.length[vector]! - skip), 1);
  }

  #writeGroup(group: number, first: number, packets: number): void {
    const wrote = this.#tun.writev(this.#iovecsAt + first * IOVEC_SIZE, packets);
    if (wrote !== -Errno.EINVAL) return this.#count(wrote, packets);
    if (this.#arena.bytes[this.#groups.offset[first]! + 1] === Gso.udp) this.#coalescer.udp = false;
    else this.#coalescer.tcp = false;
    this.#coalescer.takeApart(this.#groups, group);
    for (let vector = first; vector < first + packets; vector++) this.#writeSingle(vector);
  }

  #count(result: number, packets: number): void {
    if (result >= 0) return;
    if (result === -Errno.EAGAIN) this.full += packets;
    else this.failed += packets;
  }
}
