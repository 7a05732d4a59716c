/**
 * A device without a system: packets go in by calls and come out by callbacks. It runs wherever JavaScript does,
 * for tests, for other transports than UDP, and in browsers. Linux has faster ones.
 */
import { GONE, HEADROOM, PacketBatch, TAILROOM } from '../core/batch.js';
import { Device } from '../core/device.js';
import type { Endpoint } from '../core/endpoint.js';
import { createNobleSuite, type NobleCrypto } from '../crypto/noble.js';
import { checkChange, checkSignal, integer } from './change.js';
import { type DatagramEndpoint, datagramEndpoint, endpointOf } from './datagram-endpoint.js';
import { Emitter, throwLater } from './emitter.js';
import { invalid, TypetunError } from './errors.js';
import { type ConfigInput, HOOKS, withFile } from './quick.js';
import { deviceStatus, peerStatus, tellEvent } from './status.js';
import type { DeviceConfig, DeviceEvents, DeviceStatus, WireGuardDevice } from './types.js';

export interface PacketDeviceOptions {
  /**
   * An object, or the text of a wg-quick(8) file, whose MTU is used unless it is given here. A file with hooks is refused.
   * Address, DNS, Table and SaveConfig are passed over: packets are the caller's.
   */
  readonly config?: ConfigInput | undefined;
  /** The largest IP packet that is sent into the tunnel, in bytes: 576 to 65535, 1420 unless told. */
  readonly mtu?: number | undefined;
  /**
   * Sends a datagram to a peer. The bytes are the callee's to keep. Transports that are not UDP take the endpoint
   * as a name for whatever they are: it is what {@link PacketDevice.receiveDatagram} was told, or the configured one.
   */
  readonly onDatagram: (datagram: Uint8Array, to: DatagramEndpoint) => void;
  /** Takes an IP packet that came out of the tunnel. The bytes are the callee's to keep. */
  readonly onPacket: (packet: Uint8Array) => void;
  /** Closes the device when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds on a clock that is never set back; `performance.now` unless told. It should go on while the
   * machine sleeps. With a clock of its own, the device starts no timers: see {@link PacketDevice.nextTimeout}.
   */
  readonly now?: (() => number) | undefined;
  /** Milliseconds since 1970; `Date.now` unless told. */
  readonly wallTimeMs?: (() => number) | undefined;
}

const ROWS = 32;
const DEFAULT_MTU = 1420;
const MIN_MTU = 576;
const MAX_DATAGRAM = 65535;
/** Room for a handshake message at least. */
const MIN_ROOM = 1500;
/** Handshakes worked off for each datagram that arrives. */
const HANDSHAKES_A_TURN = 4;
/** Calls from within callbacks that may wait; further ones are dropped and counted. */
const MAX_WAITING = 1024;
/** The longest that setTimeout takes. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Made by {@link createPacketDevice}. */
export class PacketDevice extends Emitter<DeviceEvents> implements WireGuardDevice {
  readonly #options: PacketDeviceOptions;
  readonly #now: () => number;
  readonly #stride: number;
  readonly #room: number;
  readonly #arena: Uint8Array<ArrayBuffer>;
  readonly #crypto: NobleCrypto;
  readonly #device: Device;
  readonly #outbound = new PacketBatch(ROWS);
  readonly #inbound = new PacketBatch(ROWS);
  /** Row of the endpoint table for what arrives. */
  readonly #source: number;
  readonly #receiveAt: number;
  readonly #waiting: (() => void)[] = [];
  #isBusy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #isClosed = false;
  readonly #onAbort = (): void => this.#close();

  /**
   * @param makeCrypto the cipher for packets in the memory that it is given
   * @internal
   */
  constructor(
    options: PacketDeviceOptions,
    makeCrypto: (arena: Uint8Array<ArrayBuffer>) => NobleCrypto = createNobleSuite,
  ) {
    super();
    const { mtu = DEFAULT_MTU, now, wallTimeMs = Date.now } = checkOptions(options);
    this.#options = options;
    this.#now = now ?? (() => performance.now());
    this.#room = Math.max(mtu, MIN_ROOM);
    this.#stride = HEADROOM + ((this.#room + 63) & ~63) + TAILROOM;
    this.#receiveAt = ROWS * this.#stride + HEADROOM;
    this.#arena = new Uint8Array(this.#receiveAt + MAX_DATAGRAM + TAILROOM);
    this.#crypto = makeCrypto(this.#arena);
    this.#device = new Device({ suite: this.#crypto.suite, arena: this.#arena, wallTimeMs });
    this.#source = this.#device.endpoints.allocate();
    this.#device.setMtu(mtu);
    this.#device.setUp(true);
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  /**
   * As {@link configure}, at once.
   * @throws TypetunError; then nothing was changed
   */
  configureSync(change: DeviceConfig): void {
    this.#checkOpen();
    const checked = checkChange(change);
    try {
      if (!this.#device.configure(checked.change, this.#now())) {
        throw new TypetunError('ERR_TOO_MANY', 'there is no room for as many peers or allowed IPs');
      }
    } finally {
      checked.wipe();
    }
    this.#run(() => {});
  }

  async configure(change: DeviceConfig): Promise<void> {
    this.configureSync(change);
  }

  /**
   * As {@link status}, at once.
   * @throws TypetunError `ERR_CLOSED`
   */
  statusSync(): DeviceStatus {
    this.#checkOpen();
    const peers = this.#device.peers();
    return deviceStatus(
      { ...this.#device.status(), drops: this.#device.drops() },
      peers.map((peer) => peerStatus(peer)),
    );
  }

  async status(): Promise<DeviceStatus> {
    return this.statusSync();
  }

  /**
   * A datagram arrived, from anybody. What is wrong with it, it is dropped and counted.
   * @param datagram copied, or done with, when the call returns
   * @throws TypetunError `ERR_CLOSED`, `ERR_INVALID_ENDPOINT` for an address that is none, `ERR_INVALID_ARGUMENT` for what
   *   is no Uint8Array
   */
  receiveDatagram(datagram: Uint8Array, from: DatagramEndpoint): void {
    this.#checkOpen();
    checkBytes(datagram, 'datagram');
    const endpoint = endpointOf(from);
    if (datagram.length > MAX_DATAGRAM) return this.#device.countDrops('badLength', 1);
    if (this.#isBusy) return this.#wait(datagram, (copy) => this.#receive(copy, endpoint));
    this.#run(() => this.#receive(datagram, endpoint));
  }

  /**
   * An IP packet goes into the tunnel: to the peer whose allowed IPs have its destination.
   * @param packet copied, or done with, when the call returns
   * @throws TypetunError `ERR_CLOSED`, `ERR_INVALID_ARGUMENT` for what is no Uint8Array
   */
  sendPacket(packet: Uint8Array): void {
    this.#checkOpen();
    checkBytes(packet, 'packet');
    if (packet.length > this.#room) return this.#device.countDrops('tooLong', 1);
    if (this.#isBusy) return this.#wait(packet, (copy) => this.#send(copy));
    this.#run(() => this.#send(packet));
  }

  /** When {@link handleTimeout} is wanted, in the time of `now`, or Infinity. For devices with a clock of their own. */
  nextTimeout(): number {
    return this.#isClosed ? Number.POSITIVE_INFINITY : this.#device.nextTimeout();
  }

  /** Does what is due by now. Called too early or once more, it does nothing. */
  handleTimeout(): void {
    if (this.#isClosed) return;
    this.#run(() => this.#device.handleTimeout(this.#now()));
  }

  async close(): Promise<void> {
    this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#device.close();
    this.#crypto.close();
    this.#arena.fill(0);
    this.emit('close');
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new TypetunError('ERR_CLOSED', 'the device is closed');
  }

  /**
   * Works on the device, and hands out what came of it. Callbacks may call back into the device: that waits,
   * for the batches are in use.
   */
  #run(work: () => void): void {
    if (this.#isBusy) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(work);
      return;
    }
    this.#isBusy = true;
    try {
      for (let next: (() => void) | undefined = work; next && !this.#isClosed; next = this.#waiting.shift()) {
        next();
        this.#flush();
      }
    } finally {
      this.#isBusy = false;
    }
    this.#setTimer();
  }

  #wait(bytes: Uint8Array, work: (copy: Uint8Array) => void): void {
    if (this.#waiting.length >= MAX_WAITING) return this.#device.countDrops('socketFull', 1);
    const copy = bytes.slice();
    this.#waiting.push(() => work(copy));
  }

  #send(packet: Uint8Array): void {
    const batch = this.#outbound;
    batch.count = 1;
    batch.offset[0] = HEADROOM;
    batch.length[0] = packet.length;
    this.#arena.set(packet, HEADROOM);
    this.#device.planOutbound(batch, this.#now());
    this.#transmit();
  }

  #receive(datagram: Uint8Array, from: Endpoint): void {
    const now = this.#now();
    const batch = this.#inbound;
    batch.count = 1;
    batch.offset[0] = this.#receiveAt;
    batch.length[0] = datagram.length;
    batch.endpoint[0] = this.#source;
    batch.tos[0] = 0;
    this.#arena.set(datagram, this.#receiveAt);
    this.#device.endpoints.set(this.#source, from);
    this.#device.planInbound(batch, now);
    this.#crypto.cipher.open(batch);
    this.#device.finishInbound(batch, now);
    this.#deliver(batch);
    if (!this.#isClosed) this.#device.processHandshakes(HANDSHAKES_A_TURN, now);
  }

  #deliver(batch: PacketBatch): void {
    for (let row = 0; row < batch.count && !this.#isClosed; row++) {
      const length = batch.length[row]!;
      if (length === GONE) continue;
      const at = batch.offset[row]!;
      const packet = this.#arena.slice(at, at + length);
      call(() => this.#options.onPacket(packet));
    }
  }

  /** Hands out what the device itself has to say: to peers, to who sends from this side, and to listeners. */
  #flush(): void {
    const batch = this.#outbound;
    do {
      if (this.#isClosed) return;
      this.#place(batch);
      this.#device.planPending(batch, this.#room, this.#now());
      this.#transmit();
    } while (batch.count === batch.capacity);
    if (this.#isClosed) return;
    this.#place(batch);
    if (this.#device.takeLocal(batch)) this.#deliver(batch);
    for (let event = this.#device.pollEvent(); event && !this.#isClosed; event = this.#device.pollEvent()) {
      tellEvent(event, (name, ...args) => this.emit(name, ...args));
    }
  }

  #place(batch: PacketBatch): void {
    for (let row = 0; row < batch.capacity; row++) batch.offset[row] = row * this.#stride + HEADROOM;
  }

  #transmit(): void {
    const batch = this.#outbound;
    this.#crypto.cipher.seal(batch);
    this.#device.finishOutbound(batch, this.#now());
    for (let row = 0; row < batch.count && !this.#isClosed; row++) {
      const to = this.#device.endpoints.get(batch.endpoint[row]!);
      const length = batch.length[row]!;
      if (length === GONE || to === undefined) continue;
      const at = batch.offset[row]!;
      const datagram = this.#arena.slice(at, at + length);
      call(() => this.#options.onDatagram(datagram, datagramEndpoint(to)));
    }
  }

  /** Sets the timer anew only when it would come too late: to come too early costs less. */
  #setTimer(): void {
    if (this.#options.now !== undefined || this.#isClosed) return;
    const at = this.#device.nextTimeout();
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const delay = Math.min(Math.max(Math.ceil(at - this.#now()), 0), MAX_TIMEOUT_MS);
    this.#timer = setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.handleTimeout();
    }, delay);
    // In Node.js, an idle device does not keep the process alive; whoever feeds it does.
    (this.#timer as { unref?: () => void }).unref?.();
  }
}

/**
 * Makes a device out of nothing but JavaScript: the protocol of the Linux device, with all cryptography by @noble.
 * @throws TypetunError for options or a configuration that cannot be; `signal.reason` when it is aborted already
 * @example
 * const device = createPacketDevice({
 *   config: { privateKey, peers: [{ publicKey, endpoint: '192.0.2.7:51820', allowedIps: ['10.0.0.2'] }] },
 *   onDatagram: (datagram, to) => socket.send(datagram, to.port, to.address),
 *   onPacket: (packet) => console.log(`${packet.length} bytes came out of the tunnel`),
 * });
 * socket.on('message', (datagram, from) => device.receiveDatagram(datagram, from));
 */
export function createPacketDevice(options: PacketDeviceOptions): PacketDevice {
  const settled = withFile(options, HOOKS);
  let device: PacketDevice | undefined;
  try {
    device = new PacketDevice(settled);
    device.configureSync(settled.config);
    return device;
  } catch (error) {
    void device?.close();
    throw error;
  } finally {
    settled.wipe();
  }
}

/** A callback that throws is its owner's bug, and not a reason to lose the rest of a batch. */
function call(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    throwLater(error);
  }
}

function checkOptions(options: PacketDeviceOptions): PacketDeviceOptions {
  checkSignal(options.signal);
  options.signal?.throwIfAborted();
  for (const name of ['onDatagram', 'onPacket'] as const) {
    if (typeof options[name] !== 'function') throw invalid(name, 'a function', options[name]);
  }
  for (const name of ['now', 'wallTimeMs'] as const) {
    if (options[name] !== undefined && typeof options[name] !== 'function') {
      throw invalid(name, 'a function', options[name]);
    }
  }
  if (options.mtu !== undefined && integer(options.mtu, 'mtu', MAX_DATAGRAM) < MIN_MTU) {
    throw invalid('mtu', `at least ${MIN_MTU}`, options.mtu);
  }
  return options;
}

function checkBytes(bytes: Uint8Array, what: string): void {
  if (!(bytes instanceof Uint8Array)) throw invalid(what, 'a Uint8Array', bytes);
}
