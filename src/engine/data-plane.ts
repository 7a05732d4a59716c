/**
 * The data worker's loop: it owns the TUN, the UDP sockets and the core, and waits in poll.
 */
import type { StreamedChange } from '../core/change.js';
import type { Device, DeviceEvent } from '../core/device.js';
import { DATA_OVERHEAD } from '../core/messages.js';
import type { Keystream } from '../crypto/aead.js';
import type { Crypto } from '../crypto/index.js';
import { bootTimeMs } from '../linux/clock.js';
import { Errno } from '../linux/errno.js';
import { ChangeMonitor, ROUTING_GROUPS, RouteQuery } from '../linux/netlink.js';
import { EventFd, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, Poller } from '../linux/poll.js';
import { TunDevice } from '../linux/tun.js';
import { segmentsOfMessage } from '../linux/udp-sender.js';
import { DeviceWatcher } from '../linux/watcher.js';
import { describeEvent } from './events.js';
import type { DeviceReport } from './handle.js';
import { type HeldDescriptors, TUN } from './held.js';
import { bindFailure } from './messages.js';
import { type Offloads, offloadsInUse, setTunOffloads, type TunWrites } from './offloads.js';
import { PacketPath } from './packet-path.js';
import type { WorkerSettings } from './protocol.js';
import { Sockets } from './sockets.js';

const DEFAULT_MTU = 1420;

// Places in the poller, and of what is held.
const WAKE = 0;
const LINK = 2;
const ROUTES = 3;
const SOCKETS = 4;
const PLACES = 6;
// Held, and not waited for.
const HOME = 6;
const ROUTE_QUERY = 7;

/** Handshake messages worked off between two rounds of data. */
const HANDSHAKES_A_TURN = 8;

type Log = (level: 'debug' | 'error', message: string) => void;
type Tell = (event: DeviceEvent) => void;

export class DataPlane {
  readonly #log: Log;
  readonly #tell: Tell;
  readonly #tunReads: TunWrites;
  readonly #path: PacketPath;
  readonly #tun: TunDevice;
  readonly #watcher: DeviceWatcher;
  readonly #routes: ChangeMonitor = new ChangeMonitor(ROUTING_GROUPS);
  readonly #routeQuery: RouteQuery = new RouteQuery();
  readonly #wake: EventFd;
  readonly #held: HeldDescriptors;
  readonly #poller: Poller = new Poller(PLACES);
  readonly #sockets: Sockets;
  #up = false;
  /** Why the device stays down though its interface is up: 0, or a negative errno. */
  #bindError = 0;
  #mtu = 0;
  #handshakesWaiting = 0;
  #ended = false;
  /** Bits of what can change. */
  #offloadsTold = -1;

  /**
   * @param held says what is open: all of it, also when this throws
   * @param makeCrypto makes the cipher, for packets in this memory
   * @throws SystemError when there is no TUN to be had; whatever `makeCrypto` throws
   */
  constructor(
    settings: WorkerSettings,
    held: HeldDescriptors,
    makeCrypto: (arena: Uint8Array, keystream: Keystream) => Crypto,
    log: Log,
    tell: Tell,
  ) {
    this.#log = log;
    this.#tell = tell;
    this.#held = held;
    held.hold(ROUTES, this.#routes.fd);
    held.hold(ROUTE_QUERY, this.#routeQuery.fd);
    const offloads: Offloads = new Set(settings.offloads);
    this.#tun = settings.tunFd === undefined ? TunDevice.create(settings.name) : new TunDevice(settings.tunFd);
    held.hold(TUN, this.#tun.fd);
    this.#watcher = new DeviceWatcher(this.#tun, settings.tunMtu);
    held.hold(LINK, this.#watcher.fd);
    held.hold(HOME, this.#watcher.homeFd);
    if (settings.tunFd === undefined) this.#watcher.setMtu(DEFAULT_MTU);
    const { read, write } = setTunOffloads(this.#tun, offloads);
    this.#tunReads = read;
    this.#path = new PacketPath(this.#tun, write, makeCrypto, this.#routeQuery);
    this.#wake = new EventFd(settings.wakeFd);
    const udp = { gro: offloads.has('udp-gro'), gso: offloads.has('udp-gso') };
    this.#sockets = new Sockets(udp, () => this.#watchSockets());
    this.#poller.set(WAKE, this.#wake.fd, POLLIN);
    this.#poller.set(ROUTES, this.#routes.fd, POLLIN);
    this.#look();
  }

  get device(): Device {
    return this.#path.device;
  }

  get crypto(): Crypto {
    return this.#path.crypto;
  }

  /** The interface's name now. */
  get name(): string {
    return this.#tun.name() ?? '';
  }

  /** Runs until {@link end}, or until the device is deleted. @param onWake called when somebody signalled */
  run(onWake: () => void): void {
    for (let now = bootTimeMs(); !this.#ended; ) {
      // Counting from the beginning of the last turn saves a call to the clock, and is late by that turn at most.
      this.#poller.wait(this.#timeout(now));
      now = bootTimeMs();
      this.#turn(now, onWake);
    }
  }

  /** A function of its own, entered anew each time: V8 optimizes that sooner than a loop that is never left. */
  #turn(now: number, onWake: () => void): void {
    const wake = this.#poller.got(WAKE);
    const routes = this.#poller.got(ROUTES);
    // Looking at the device sets its place anew: what was got is read first.
    const tun = this.#poller.got(TUN);
    const link = this.#poller.got(LINK);
    demandOpen(wake | routes | tun | link);
    if (wake !== 0) {
      this.#wake.drain();
      onWake();
      if (this.#ended) return;
    }
    if (routes !== 0) {
      this.#routes.drain();
      this.#path.sender.routesChanged();
    }
    if (link !== 0 || (tun & (POLLERR | POLLHUP | POLLOUT)) !== 0 || this.#watcher.isDue(now)) this.#look();
    if (!this.#up) return;
    const sockets = this.#sockets.all;
    // What comes in may be answered before the writing of it returns: the TUN is asked without a poll then.
    let readable = (tun & POLLIN) !== 0 || this.#path.busy;
    for (let i = 0; i < sockets.length; i++) {
      const got = this.#poller.got(SOCKETS + i);
      if (got === 0) continue;
      demandOpen(got);
      this.#path.receive(sockets[i]!, now);
      readable = true;
    }
    this.#handshakesWaiting = this.device.processHandshakes(HANDSHAKES_A_TURN, now);
    if (readable) this.#readTun(now);
    if (now >= this.device.nextTimeout()) this.device.handleTimeout(now);
    this.#flush(now);
    this.#tellOffloads();
  }

  end(): void {
    this.#ended = true;
  }

  /**
   * Begins a change. What can fail of it has been done then.
   * @param peers how many the change may add, and `prefixes` with them
   * @returns a negative errno, with nothing changed; or the steps to be run, and {@link settle} after any of them
   */
  configure(change: StreamedChange, peers: number, prefixes: number): number | Generator<void, void> {
    if (!this.device.hasRoom(peers, prefixes, change.replacePeers)) return -Errno.ENOSPC;
    const fwmark = this.#sockets.fwmark;
    if (change.fwmark !== undefined) {
      const error = this.#sockets.setMark(change.fwmark);
      if (error !== 0) return error;
    }
    if (change.listenPort !== undefined) {
      // An interface that was set up or down before this was asked for is so, though its news may not be read yet.
      this.#look();
      const error = this.#sockets.setPort(change.listenPort, this.#bindError !== 0);
      if (error !== 0) {
        this.#sockets.setMark(fwmark);
        return error;
      }
    }
    this.#path.sender.fwmark = this.#sockets.fwmark;
    this.#path.sender.routesChanged();
    const settled = { ...change, listenPort: this.#sockets.port, fwmark: this.#sockets.fwmark };
    return this.device.configuring(settled, bootTimeMs());
  }

  /** Sends and tells what a change brought about. */
  settle(): void {
    // The port that was taken kept it down, another one does not.
    if (this.#bindError !== 0) this.#look();
    if (this.#up) this.#flush(bootTimeMs());
    this.#tellEvents();
  }

  report(): DeviceReport {
    this.#path.account();
    const link = { up: this.#up, bindError: this.#bindError };
    return { ...this.device.status(), drops: this.device.drops(), offloads: this.#offloadsInUse(), ...link };
  }

  /** Sessions are wiped; sockets and TUN are closed. */
  close(): void {
    this.#held.release();
    this.#sockets.close();
    this.#path.close();
    this.#watcher.close();
    this.#routes.close();
    this.#routeQuery.close();
    this.#tun.close();
  }

  #timeout(now: number): number {
    if (this.#handshakesWaiting > 0 || this.#path.busy) return 0;
    const next = this.#up ? this.device.nextTimeout() - now : Number.POSITIVE_INFINITY;
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
      this.#path.setMtu(state.mtu);
      // A super-packet then leaves as one message.
      if (this.#tunReads.tcp) this.#watcher.limitSegments(segmentsOfMessage(state.mtu + DATA_OVERHEAD));
      this.#log('debug', `MTU updated: ${state.mtu}`);
    }
    if (!state.up) this.#bindError = 0;
    // Down and up before this thread came to look: its sessions and sockets end all the same.
    if (this.#up && this.#watcher.wasDown) this.#setUp(false);
    if (state.up !== this.#up) this.#setUp(state.up);
    // While it is down, the descriptor becomes writable when it comes up.
    const whileDown = state.up ? 0 : POLLOUT;
    this.#poller.set(TUN, this.#tun.fd, this.#up ? POLLIN : whileDown);
  }

  #setUp(up: boolean): void {
    if (up) {
      const error = this.#sockets.open();
      if (error !== 0 && error !== this.#bindError) this.#log('error', bindFailure(this.#sockets.port, -error));
      this.#bindError = error;
      if (error !== 0) return;
      this.device.configure({ listenPort: this.#sockets.port }, bootTimeMs());
      this.#log('debug', `UDP bind has been updated, listening on port ${this.#sockets.port}`);
    } else this.#sockets.close();
    this.#up = up;
    this.device.setUp(up);
    this.#log(
      'debug',
      `Interface state was ${up ? 'Down' : 'Up'}, requested ${up ? 'Up' : 'Down'}, now ${up ? 'Up' : 'Down'}`,
    );
    if (!up) return;
    this.#flush(bootTimeMs());
    this.#tellOffloads();
  }

  #watchSockets(): void {
    this.#path.setSockets(this.#sockets.all);
    for (let place = SOCKETS; place < PLACES; place++) {
      const fd = this.#sockets.all[place - SOCKETS]?.fd ?? -1;
      this.#poller.set(place, fd, POLLIN);
      this.#held.hold(place, fd);
    }
  }

  #readTun(now: number): void {
    if (this.#path.readTun(now) < 0) this.#look();
  }

  #flush(now: number): void {
    this.#path.flush(now);
    this.#tellEvents();
  }

  #offloadsInUse(): string[] {
    return offloadsInUse(this.#tunReads, this.#path.writer, this.#sockets.all);
  }

  /** Logs what is in use, once it is known and whenever it changed: a feature that was refused is off. */
  #tellOffloads(): void {
    const { writer } = this.#path;
    const first = this.#sockets.all[0];
    const second = this.#sockets.all[1];
    const now = Number(writer.tcp) | (Number(writer.udp) << 1) | (Number(first?.gso) << 2) | (Number(second?.gso) << 3);
    if (now === this.#offloadsTold) return;
    this.#offloadsTold = now;
    this.#log('debug', `Offloads in use: ${this.#offloadsInUse().join(' ') || 'none'}`);
  }

  #tellEvents(): void {
    for (let event = this.device.pollEvent(); event; event = this.device.pollEvent()) {
      this.#log('debug', describeEvent(event));
      this.#tell(event);
    }
  }
}

/** @throws Error when something else in this process closed a descriptor: waiting for it would be a loop */
function demandOpen(events: number): void {
  if ((events & POLLNVAL) !== 0)
    throw new Error('a descriptor of the device was closed by another part of this process');
}
