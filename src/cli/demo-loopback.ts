/** The demo where nothing is permitted: two cores in one process, their datagrams on loopback UDP. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { GONE, HEADROOM, PacketBatch, TAILROOM } from '../core/batch.js';
import { Device } from '../core/device.js';
import { type Crypto, createCrypto } from '../crypto/index.js';

const SLOT = 2048;
const ROWS = 16;
const PACKETS = 2000;
const PAYLOAD = 1000;

/** A device whose "network" is a UDP socket and whose "TUN" is an array. */
class LoopbackDevice {
  readonly #arena = new Uint8Array(new ArrayBuffer(2 * ROWS * SLOT));
  readonly #crypto: Crypto = createCrypto(this.#arena, process.env['TYPETUN_AEAD']);
  readonly device: Device = new Device({ suite: this.#crypto.suite, arena: this.#arena, wallTimeMs: Date.now });
  readonly #socket: Socket = createSocket('udp4');
  readonly #batch = new PacketBatch(ROWS);
  readonly #source: number = this.device.endpoints.allocate();
  received = 0;
  readonly publicKey: Uint8Array;

  constructor() {
    const key = new Uint8Array(32);
    this.#crypto.suite.random(key);
    this.device.configure({ privateKey: key }, performance.now());
    this.publicKey = this.#crypto.suite.importPrivateKey(this.device.status().privateKey ?? key).publicKey;
    key.fill(0);
    this.device.setUp(true);
    this.#socket.on('message', (bytes, from) => this.#receive(bytes, from.port));
  }

  async bind(): Promise<number> {
    this.#socket.bind(0, '127.0.0.1');
    await once(this.#socket, 'listening');
    return this.#socket.address().port;
  }

  close(): void {
    this.device.close();
    this.#socket.close();
  }

  input(packet: Uint8Array): void {
    const batch = this.#batch;
    batch.count = 1;
    batch.offset[0] = HEADROOM;
    batch.length[0] = packet.length;
    this.#arena.set(packet, HEADROOM);
    this.device.planOutbound(batch, performance.now());
    this.#send();
    this.#flush();
  }

  #receive(bytes: Uint8Array, port: number): void {
    if (bytes.length > SLOT - HEADROOM - TAILROOM) return;
    const now = performance.now();
    const batch = this.#batch;
    batch.count = 1;
    batch.offset[0] = ROWS * SLOT + HEADROOM;
    batch.length[0] = bytes.length;
    batch.endpoint[0] = this.#source;
    batch.tos[0] = 0;
    this.#arena.set(bytes, batch.offset[0]);
    this.device.endpoints.set(this.#source, { address: Uint8Array.of(127, 0, 0, 1), port });
    this.device.planInbound(batch, now);
    this.#crypto.cipher.open(batch);
    this.device.finishInbound(batch, now);
    if (batch.length[0] !== GONE) this.received++;
    this.device.processHandshakes(ROWS, now);
    this.#flush();
  }

  #flush(): void {
    do {
      for (let row = 0; row < ROWS; row++) this.#batch.offset[row] = row * SLOT + HEADROOM;
      this.device.planPending(this.#batch, SLOT - HEADROOM - TAILROOM, performance.now());
      this.#send();
    } while (this.#batch.count === ROWS);
  }

  #send(): void {
    const batch = this.#batch;
    this.#crypto.cipher.seal(batch);
    this.device.finishOutbound(batch, performance.now());
    for (let row = 0; row < batch.count; row++) {
      const to = this.device.endpoints.get(batch.endpoint[row]!);
      if (batch.length[row] === GONE || !to) continue;
      const at = batch.offset[row]!;
      this.#socket.send(this.#arena.slice(at, at + batch.length[row]!), to.port, '127.0.0.1');
    }
  }
}

function packet(from: number, to: number, payload: number): Uint8Array {
  const bytes = new Uint8Array(20 + payload);
  bytes[0] = 0x45;
  bytes[2] = bytes.length >>> 8;
  bytes[3] = bytes.length & 255;
  bytes[8] = 64;
  bytes.set([10, 200, 0, from], 12);
  bytes.set([10, 200, 0, to], 16);
  return bytes;
}

/** @throws when a step does not hold */
export async function runLoopbackDemo(): Promise<(readonly [string, string])[]> {
  const a = new LoopbackDevice();
  const b = new LoopbackDevice();
  try {
    const [portA, portB] = [await a.bind(), await b.bind()];
    const prefix = (host: number): { address: Uint8Array; cidr: number } => ({
      address: Uint8Array.of(10, 200, 0, host),
      cidr: 32,
    });
    const endpoint = (port: number): { address: Uint8Array; port: number } => ({
      address: Uint8Array.of(127, 0, 0, 1),
      port,
    });
    a.device.configure({ peers: [{ publicKey: b.publicKey, endpoint: endpoint(portB), allowedIps: [prefix(2)] }] }, 0);
    b.device.configure({ peers: [{ publicKey: a.publicKey, endpoint: endpoint(portA), allowedIps: [prefix(1)] }] }, 0);
    const start = performance.now();
    a.input(packet(1, 2, 10));
    while (b.received === 0 && performance.now() - start < 5000) await sleep(1);
    if (b.received !== 1) throw new Error('the handshake did not complete');
    const rows: (readonly [string, string])[] = [['handshake', `${(performance.now() - start).toFixed(1)} ms`]];
    const begin = performance.now();
    for (let i = 0; i < PACKETS; i++) {
      a.input(packet(1, 2, PAYLOAD));
      if (i % ROWS === 0) await sleep(0);
    }
    await sleep(200);
    const ms = performance.now() - begin - 200;
    const got = b.received - 1;
    rows.push(['data', `${got} of ${PACKETS} packets, ${((got * PAYLOAD * 8) / ms / 1e6).toFixed(2)} Gbit/s`]);
    if (got < PACKETS / 2) throw new Error('most packets were lost');
    a.input(packet(66, 2, 10));
    await sleep(100);
    if (b.device.drops()['badSource'] !== 1) throw new Error('a spoofed source was not dropped');
    rows.push(['spoofed inner source', 'dropped and counted: badSource=1']);
    return rows;
  } finally {
    a.close();
    b.close();
  }
}
