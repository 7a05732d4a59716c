/**
 * The way of packets through the device, in batches, both directions:
 *
 *   receive   sockets -> planInbound -> open -> finishInbound -> TUN
 *   readTun   TUN -> planOutbound -> seal -> finishOutbound -> sockets
 *   flush     what the core itself has to say, to peers and to senders behind the TUN
 */
import { PacketBatch } from '../core/batch.js';
import { Device } from '../core/device.js';
import type { DropReason } from '../core/drops.js';
import type { Keystream } from '../crypto/aead.js';
import type { Crypto } from '../crypto/index.js';
import { Errno } from '../linux/errno.js';
import type { RouteQuery } from '../linux/netlink.js';
import type { TunDevice } from '../linux/tun.js';
import type { UdpSocket } from '../linux/udp.js';
import { UdpReceiver } from '../linux/udp-receiver.js';
import { UdpSender } from '../linux/udp-sender.js';
import { PacketArena, RECEIVE_ROWS, RECEIVE_SIZE, SEND_ROWS } from './arena.js';
import type { TunWrites } from './offloads.js';
import { TunReader } from './tun-reader.js';
import { TunWriter } from './tun-writer.js';

/** Batches taken from one source before the others have their turn. */
const ROUNDS = 2;
/** Milliseconds without a packet from the TUN after which the next one is thought to come alone. */
const PAUSE_MS = 1;

export class PacketPath {
  readonly device: Device;
  readonly crypto: Crypto;
  readonly sender: UdpSender;
  readonly writer: TunWriter;
  readonly #arena: PacketArena = new PacketArena();
  readonly #receiver: UdpReceiver;
  readonly #reader: TunReader;
  readonly #inbound: PacketBatch = new PacketBatch(RECEIVE_ROWS);
  readonly #outbound: PacketBatch = new PacketBatch(SEND_ROWS);
  #pending: PacketBatch = new PacketBatch(SEND_ROWS);
  #sockets: readonly UdpSocket[] = [];
  /** When the TUN was read last. */
  #readMs = 0;

  /**
   * @param makeCrypto makes the cipher, for packets in this memory
   * @throws whatever `makeCrypto` throws
   */
  constructor(
    tun: TunDevice,
    writes: TunWrites,
    makeCrypto: (arena: Uint8Array, keystream: Keystream) => Crypto,
    routes: RouteQuery,
  ) {
    const { bytes, receiveSlots } = this.#arena;
    this.crypto = makeCrypto(bytes, this.#arena.keystream);
    this.device = new Device({ suite: this.crypto.suite, arena: bytes, wallTimeMs: Date.now });
    const { endpoints } = this.device;
    const endpointRows = Array.from(receiveSlots, () => endpoints.allocate());
    this.#receiver = new UdpReceiver(bytes, receiveSlots, RECEIVE_SIZE, endpoints, endpointRows);
    this.sender = new UdpSender(bytes, endpoints, routes);
    this.#reader = new TunReader(tun, this.#arena);
    this.writer = new TunWriter(tun, this.#arena, Math.max(RECEIVE_ROWS, SEND_ROWS), writes.tcp, writes.udp);
  }

  /** Whether there is work that no descriptor tells of: segments still to be cut. */
  get busy(): boolean {
    return this.#reader.waiting;
  }

  setMtu(mtu: number): void {
    this.device.setMtu(mtu);
    this.#arena.setMtu(mtu);
    this.#pending = new PacketBatch(this.#arena.sendPlaces);
    this.#placePending(this.#pending.capacity);
  }

  /** Tells which sockets there are now. What waited to be sent from others is gone. */
  setSockets(sockets: readonly UdpSocket[]): void {
    this.#sockets = sockets;
    if (sockets.length === 0) this.#reader.discard();
  }

  receive(socket: UdpSocket, now: number): void {
    const batch = this.#inbound;
    for (let round = 0; round < ROUNDS || this.#receiver.waiting; round++) {
      const got = this.#receiver.receive(socket, batch);
      // Errors of the socket are told once and then gone: nothing to do about them here.
      if (got < 0) return;
      this.device.planInbound(batch, now);
      this.crypto.cipher.open(batch);
      this.device.finishInbound(batch, now);
      this.writer.write(batch);
      if (this.#receiver.drained) return;
    }
  }

  /** @returns 0, or the -errno of a TUN that has gone wrong */
  readTun(now: number): number {
    const batch = this.#outbound;
    // After a pause a packet mostly comes alone, and leaves before the TUN is asked for more.
    const alone = now - this.#readMs > PAUSE_MS;
    this.#readMs = now;
    for (let round = 0; round < ROUNDS; round++) {
      const end = this.#reader.read(batch, alone);
      if (batch.count > 0) {
        this.device.planOutbound(batch, now);
        this.#transmit(batch, now);
      }
      if (end < 0) return end === -Errno.EAGAIN || end === -Errno.EINTR ? 0 : end;
    }
    return 0;
  }

  flush(now: number): void {
    const batch = this.#pending;
    do {
      this.device.planPending(batch, this.#arena.sendRoom, now);
      if (batch.count === 0) break;
      this.#transmit(batch, now);
      this.#placePending(batch.count);
    } while (batch.count === batch.capacity);
    if (!this.device.takeLocal(batch)) return;
    this.writer.write(batch);
    this.#placePending(batch.count);
  }

  /** Sums up what the sockets and the TUN did not take, with the core's drops. */
  account(): void {
    const { sender, writer } = this;
    this.#drop('socketFull', sender.full);
    this.#drop('sendError', sender.failed);
    this.#drop('tunFull', writer.full);
    this.#drop('tunError', writer.failed);
    this.#drop('badInnerPacketOut', this.#reader.bad);
    this.#drop('tooLong', this.#receiver.lost);
    sender.full = 0;
    sender.failed = 0;
    writer.full = 0;
    writer.failed = 0;
    this.#reader.bad = 0;
    this.#receiver.lost = 0;
  }

  /** Sessions and keys are wiped; the memory goes. Nothing can be used afterwards. */
  close(): void {
    this.device.close();
    this.crypto.close();
    this.#arena.bytes.fill(0);
    this.#arena.release();
  }

  #transmit(batch: PacketBatch, now: number): void {
    this.crypto.cipher.seal(batch);
    this.device.finishOutbound(batch, now);
    this.sender.send(this.#sockets, batch);
  }

  #placePending(rows: number): void {
    for (let row = 0; row < rows; row++) this.#pending.offset[row] = this.#arena.sendPlace(row);
  }

  #drop(reason: DropReason, packets: number): void {
    if (packets > 0) this.device.countDrops(reason, packets);
  }
}
