/**
 * The data worker's loop: it owns the TUN, the UDP sockets and the core, and waits in poll.
 *
 * In: sockets -> planInbound -> cipher -> finishInbound -> TUN.
 * Out: TUN -> planOutbound -> cipher -> finishOutbound -> sockets.
 */
import { GONE, PacketBatch } from '../core/batch.js';
import type { DeviceChange } from '../core/change.js';
import { Device, type DeviceEvent } from '../core/device.js';
import type { Crypto } from '../crypto/index.js';
import { bootTimeMs } from '../linux/clock.js';
import { Errno } from '../linux/errno.js';
import { addressOf } from '../linux/ffi.js';
import { ChangeMonitor, ROUTING_GROUPS, RouteQuery } from '../linux/netlink.js';
import { EventFd, POLLERR, POLLHUP, POLLIN, POLLOUT, Poller } from '../linux/poll.js';
import { TunDevice, VNET_HEADER_SIZE } from '../linux/tun.js';
import type { UdpSocket } from '../linux/udp.js';
import { UdpReceiver } from '../linux/udp-receiver.js';
import { UdpSender } from '../linux/udp-sender.js';
import { DeviceWatcher } from '../linux/watcher.js';
import { PacketArena, RECEIVE_ROWS, RECEIVE_SIZE, SEND_ROWS } from './arena.js';
import { describeEvent } from './events.js';
import type { DeviceReport } from './handle.js';
import type { WorkerSettings } from './protocol.js';
import { Sockets } from './sockets.js';

const DEFAULT_MTU = 1420;

// Places in the poller.
const WAKE = 0;
const TUN = 1;
const LINK = 2;
const ROUTES = 3;
const SOCKETS = 4;
const PLACES = 6;

/** Batches taken from one source before the others have their turn. */
const ROUNDS = 4;
/** Handshake messages worked off between two rounds of data. */
const HANDSHAKES_A_TURN = 8;

type Log = (level: 'debug' | 'error', message: string) => void;
type Tell = (event: DeviceEvent) => void;

export class DataPlane {
  readonly device: Device;
  readonly crypto: Crypto;
  readonly #log: Log;
  readonly #tell: Tell;
  readonly #arena: PacketArena = new PacketArena();
  readonly #base: number;
  readonly #tun: TunDevice;
  readonly #watcher: DeviceWatcher;
  readonly #routes: ChangeMonitor = new ChangeMonitor(ROUTING_GROUPS);
  readonly #routeQuery: RouteQuery = new RouteQuery();
  readonly #wake: EventFd;
  readonly #poller: Poller = new Poller(PLACES);
  readonly #sockets: Sockets;
  readonly #receiver: UdpReceiver;
  readonly #sender: UdpSender;
  readonly #inbound: PacketBatch = new PacketBatch(RECEIVE_ROWS);
  readonly #outbound: PacketBatch = new PacketBatch(SEND_ROWS);
  #up = false;
  #mtu = 0;
  #handshakesWaiting = 0;
  #ended = false;

  /**
   * @param makeCrypto makes the cipher, for packets in this memory
   * @throws SystemError when there is no TUN to be had; whatever `makeCrypto` throws
   */
  constructor(settings: WorkerSettings, makeCrypto: (arena: Uint8Array) => Crypto, log: Log, tell: Tell) {
    this.#log = log;
    this.#tell = tell;
    this.#base = addressOf(this.#arena.bytes);
    this.crypto = makeCrypto(this.#arena.bytes);
    this.#tun = settings.tunFd === undefined ? TunDevice.create(settings.name) : new TunDevice(settings.tunFd);
    this.#watcher = new DeviceWatcher(this.#tun);
    if (settings.tunFd === undefined) this.#watcher.setMtu(DEFAULT_MTU);
    this.#tun.setOffload(0);
    this.device = new Device({ suite: this.crypto.suite, arena: this.#arena.bytes, wallTimeMs: Date.now });
    const endpointRows = Array.from(this.#arena.receiveSlots, () => this.device.endpoints.allocate());
    const { endpoints } = this.device;
    this.#receiver = new UdpReceiver(
      this.#arena.bytes,
      this.#arena.receiveSlots,
      RECEIVE_SIZE,
      endpoints,
      endpointRows,
    );
    this.#sender = new UdpSender(this.#arena.bytes, endpoints, this.#routeQuery);
    this.#wake = new EventFd(settings.wakeFd);
    this.#sockets = new Sockets({ gro: true, gso: true }, () => this.#watchSockets());
    this.#poller.set(WAKE, this.#wake.fd, POLLIN);
    this.#poller.set(ROUTES, this.#routes.fd, POLLIN);
    this.#look();
  }

  /** The interface's name now. */
  get name(): string {
    return this.#tun.name() ?? '';
  }

  /** Runs until {@link end}, or until the device is deleted. @param onWake called when somebody signalled */
  run(onWake: () => void): void {
    while (!this.#ended) {
      this.#poller.wait(this.#timeout());
      const now = bootTimeMs();
      if (this.#poller.got(WAKE) !== 0) {
        this.#wake.drain();
        onWake();
        if (this.#ended) return;
      }
      if (this.#poller.got(ROUTES) !== 0) {
        this.#routes.drain();
        this.#sender.generation = (this.#sender.generation + 1) >>> 0 || 1;
      }
      // Looking at the device sets its place anew: what was got is read first.
      const tun = this.#poller.got(TUN);
      const link = this.#poller.got(LINK) !== 0 || (tun & (POLLERR | POLLHUP | POLLOUT)) !== 0;
      if (link || this.#watcher.intervalMs !== Number.POSITIVE_INFINITY) this.#look();
      if (!this.#up) continue;
      for (const [i, socket] of this.#sockets.all.entries()) {
        if (this.#poller.got(SOCKETS + i) !== 0) this.#receive(socket, now);
      }
      this.#handshakesWaiting = this.device.processHandshakes(HANDSHAKES_A_TURN, now);
      this.#flush(now);
      if ((tun & POLLIN) !== 0) this.#readTun(now);
      if (now >= this.device.nextTimeout()) this.device.handleTimeout(now);
      this.#flush(now);
      this.#account();
    }
  }

  end(): void {
    this.#ended = true;
  }

  /** @returns 0 or a negative errno, with nothing changed */
  configure(change: DeviceChange): number {
    const now = bootTimeMs();
    const fwmark = this.#sockets.fwmark;
    if (change.fwmark !== undefined) {
      const error = this.#sockets.setMark(change.fwmark);
      if (error !== 0) return error;
    }
    if (change.listenPort !== undefined) {
      const error = this.#sockets.setPort(change.listenPort);
      if (error !== 0) {
        this.#sockets.setMark(fwmark);
        return error;
      }
    }
    this.#sender.fwmark = this.#sockets.fwmark;
    this.#sender.generation = (this.#sender.generation + 1) >>> 0 || 1;
    const settled = { ...change, listenPort: this.#sockets.port, fwmark: this.#sockets.fwmark };
    if (!this.device.configure(settled, now)) return -Errno.ENOSPC;
    if (this.#up) this.#flush(now);
    this.#tellEvents();
    return 0;
  }

  report(): DeviceReport {
    return { ...this.device.status(), drops: this.device.drops() };
  }

  /** Sessions are wiped; sockets and TUN are closed. */
  close(): void {
    this.device.close();
    this.#sockets.close();
    this.#watcher.close();
    this.#routes.close();
    this.#routeQuery.close();
    this.#tun.close();
  }

  #timeout(): number {
    if (this.#handshakesWaiting > 0) return 0;
    const next = this.#up ? this.device.nextTimeout() - bootTimeMs() : Number.POSITIVE_INFINITY;
    return Math.min(next, this.#watcher.intervalMs);
  }

  /** Follows what happened to the interface. */
  #look(): void {
    const state = this.#watcher.look();
    this.#poller.set(LINK, this.#watcher.fd, POLLIN);
    if (!state) {
      this.#log('debug', 'Interface was deleted');
      this.#ended = true;
      return;
    }
    if (state.mtu !== this.#mtu) {
      this.#mtu = state.mtu;
      this.device.setMtu(state.mtu);
      this.#arena.setMtu(state.mtu);
      this.#log('debug', `MTU updated: ${state.mtu}`);
    }
    if (state.up !== this.#up) this.#setUp(state.up);
    // While it is down, the descriptor becomes writable when it comes up.
    this.#poller.set(TUN, this.#tun.fd, this.#up ? POLLIN : POLLOUT);
  }

  #setUp(up: boolean): void {
    if (up) {
      const error = this.#sockets.open();
      if (error !== 0) {
        this.#log('error', `Unable to bind the UDP sockets: errno ${-error}; the device stays down`);
        return;
      }
      this.device.configure({ listenPort: this.#sockets.port }, bootTimeMs());
      this.#log('debug', `UDP bind has been updated, listening on port ${this.#sockets.port}`);
    } else this.#sockets.close();
    this.#up = up;
    this.device.setUp(up);
    this.#log(
      'debug',
      `Interface state was ${up ? 'Down' : 'Up'}, requested ${up ? 'Up' : 'Down'}, now ${up ? 'Up' : 'Down'}`,
    );
    if (up) this.#flush(bootTimeMs());
  }

  #watchSockets(): void {
    for (let place = SOCKETS; place < PLACES; place++) {
      this.#poller.set(place, this.#sockets.all[place - SOCKETS]?.fd ?? -1, POLLIN);
    }
  }

  #receive(socket: UdpSocket, now: number): void {
    const batch = this.#inbound;
    for (let round = 0; round < ROUNDS; round++) {
      const got = this.#receiver.receive(socket, batch);
      // Errors of the socket are told once and then gone: nothing to do about them here.
      if (got <= 0) return;
      this.device.planInbound(batch, now);
      this.crypto.cipher.open(batch);
      this.device.finishInbound(batch, now);
      this.#writeTun(batch);
      if (got < this.#arena.receiveSlots.length) return;
    }
  }

  #writeTun(batch: PacketBatch): void {
    const header = this.#tun.vnetHeader ? VNET_HEADER_SIZE : 0;
    const bytes = this.#arena.bytes;
    for (let row = 0; row < batch.count; row++) {
      const length = batch.length[row]!;
      if (length === GONE) continue;
      const at = batch.offset[row]! - header;
      bytes.fill(0, at, at + header);
      const wrote = this.#tun.write(this.#base + at, length + header);
      if (wrote < 0) this.device.countDrops(wrote === -Errno.EAGAIN ? 'tunFull' : 'tunError', 1);
    }
  }

  #readTun(now: number): void {
    const header = this.#tun.vnetHeader ? VNET_HEADER_SIZE : 0;
    const batch = this.#outbound;
    for (let round = 0; round < ROUNDS; round++) {
      let last = 0;
      batch.count = 0;
      while (batch.count < batch.capacity) {
        const place = this.#arena.sendPlace(batch.count);
        last = this.#tun.read(this.#base + place - header, this.#arena.sendRoom + header);
        if (last < 0) break;
        batch.offset[batch.count] = place;
        batch.length[batch.count++] = last - header;
      }
      if (batch.count > 0) {
        this.device.planOutbound(batch, now);
        this.#transmit(now);
      }
      if (last < 0) {
        if (last !== -Errno.EAGAIN && last !== -Errno.EINTR) this.#look();
        return;
      }
    }
  }

  /** Sends what the core itself has to say, to peers and to the senders behind the TUN. */
  #flush(now: number): void {
    const batch = this.#outbound;
    do {
      for (let row = 0; row < batch.capacity; row++) batch.offset[row] = this.#arena.sendPlace(row);
      this.device.planPending(batch, this.#arena.sendRoom, now);
      if (batch.count > 0) this.#transmit(now);
    } while (batch.count === batch.capacity);
    for (let row = 0; row < batch.capacity; row++) batch.offset[row] = this.#arena.sendPlace(row);
    if (this.device.takeLocal(batch)) this.#writeTun(batch);
    this.#tellEvents();
  }

  #transmit(now: number): void {
    this.crypto.cipher.seal(this.#outbound);
    this.device.finishOutbound(this.#outbound, now);
    this.#sender.send(this.#sockets.all, this.#outbound);
  }

  /** What the sockets could not take is counted with the core's drops. */
  #account(): void {
    if (this.#sender.full > 0) this.device.countDrops('socketFull', this.#sender.full);
    if (this.#sender.failed > 0) this.device.countDrops('sendError', this.#sender.failed);
    this.#sender.full = 0;
    this.#sender.failed = 0;
  }

  #tellEvents(): void {
    for (let event = this.device.pollEvent(); event; event = this.device.pollEvent()) {
      this.#log('debug', describeEvent(event));
      this.#tell(event);
    }
  }
}
