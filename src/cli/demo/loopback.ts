/** The demo where nothing is permitted: two cores in one process, their datagrams on loopback UDP. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { GONE, HEADROOM, PacketBatch, TAILROOM } from '../../core/batch.js';
import { Device } from '../../core/device.js';
import { type Crypto, createCrypto } from '../../crypto/index.js';
import { allocate } from '../../linux/ffi.js';

const SLOT = 2048;
const ROWS = 16;
const RECEIVED = ROWS * SLOT + HEADROOM;
const ROOM = SLOT - HEADROOM - TAILROOM;
const TIMER_MS = 20;

/** A device whose "network" is a UDP socket and whose "TUN" is a callback. */
export class LoopbackDevice {
  readonly #arena = allocate((ROWS + 1) * SLOT);
  readonly #crypto: Crypto = createCrypto(this.#arena, process.env['TYPETUN_AEAD']);
  readonly device: Device = new Device({ suite: this.#crypto.suite, arena: this.#arena, wallTimeMs: Date.now });
  readonly publicKey: Uint8Array;
  readonly #privateKey = new Uint8Array(32);
  readonly #batch = new PacketBatch(ROWS);
  readonly #source: number = this.device.endpoints.allocate();
  readonly #timer: NodeJS.Timeout = setInterval(() => this.#tick(), TIMER_MS);
  #socket: Socket | undefined;
  /** Cleartext packets arrive here; the memory is theirs for the call. */
  onPacket: (packet: Uint8Array) => void = () => {};
  handshakes = 0;
  prefixesMoved = 0;

  constructor() {
    this.#crypto.suite.random(this.#privateKey);
    this.device.configure({ privateKey: this.#privateKey }, performance.now());
    this.publicKey = this.#crypto.suite.importPrivateKey(this.#clamped()).publicKey;
    this.device.setUp(true);
  }

  /** Opens a socket at a port that was free, in place of the one before. @returns the port */
  async bind(): Promise<number> {
    const socket = createSocket('udp4');
    socket.on('message', (bytes, from) => this.#receive(bytes, from.port));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.setRecvBufferSize(1 << 20);
    this.#socket?.close();
    this.#socket = socket;
    return socket.address().port;
  }

  /** Takes the private key away and gives it back, which ends the sessions. */
  forgetSessions(): void {
    this.device.configure({ privateKey: new Uint8Array(32) }, performance.now());
    this.device.configure({ privateKey: this.#privateKey }, performance.now());
  }

  close(): void {
    clearInterval(this.#timer);
    this.#privateKey.fill(0);
    this.device.close();
    this.#socket?.close();
  }

  /** At most {@link ROWS} packets enter the tunnel. */
  input(packets: readonly Uint8Array[]): void {
    const batch = this.#batch;
    batch.count = packets.length;
    for (const [row, packet] of packets.entries()) {
      batch.offset[row] = row * SLOT + HEADROOM;
      batch.length[row] = packet.length;
      this.#arena.set(packet, row * SLOT + HEADROOM);
    }
    this.device.planOutbound(batch, performance.now());
    this.#send();
    this.#flush();
  }

  #clamped(): Uint8Array {
    const key = this.device.status().privateKey;
    if (!key) throw new Error('the device took no private key');
    return key;
  }

  #receive(bytes: Uint8Array, port: number): void {
    if (bytes.length > ROOM) return;
    const now = performance.now();
    const batch = this.#batch;
    batch.count = 1;
    batch.offset[0] = RECEIVED;
    batch.length[0] = bytes.length;
    batch.endpoint[0] = this.#source;
    batch.tos[0] = 0;
    this.#arena.set(bytes, RECEIVED);
    this.device.endpoints.set(this.#source, { address: Uint8Array.of(127, 0, 0, 1), port });
    this.device.planInbound(batch, now);
    this.#crypto.cipher.open(batch);
    this.device.finishInbound(batch, now);
    const [at, length] = [batch.offset[0]!, batch.length[0]!];
    this.device.processHandshakes(ROWS, now);
    if (length === GONE) this.#flush();
    else this.onPacket(this.#arena.subarray(at, at + length));
  }

  #tick(): void {
    this.device.handleTimeout(performance.now());
    this.#flush();
  }

  #flush(): void {
    const batch = this.#batch;
    do {
      for (let row = 0; row < ROWS; row++) batch.offset[row] = row * SLOT + HEADROOM;
      this.device.planPending(batch, ROOM, performance.now());
      this.#send();
    } while (batch.count === ROWS);
    for (let event = this.device.pollEvent(); event; event = this.device.pollEvent()) {
      if (event.type === 'handshake-complete') this.handshakes++;
      if (event.type === 'prefix-moved') this.prefixesMoved++;
    }
  }

  #send(): void {
    const batch = this.#batch;
    this.#crypto.cipher.seal(batch);
    this.device.finishOutbound(batch, performance.now());
    for (let row = 0; row < batch.count; row++) {
      const to = this.device.endpoints.get(batch.endpoint[row]!);
      if (batch.length[row] === GONE || !to) continue;
      const at = batch.offset[row]!;
      this.#socket?.send(this.#arena.slice(at, at + batch.length[row]!), to.port, '127.0.0.1');
    }
  }
}
