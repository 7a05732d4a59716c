/** What the demo does with two devices in one process. */
import { performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { LoopbackDevice } from './loopback.js';
import type { Row } from './table.js';

const PINGS = 200;
const STREAM_PACKETS = 16_384;
const PAYLOAD = 1360;
/** Packets on their way at once: what a socket's buffer surely holds. */
const WINDOW = 64;
const BATCH = 16;
const WAIT_MS = 5000;

type Host = 1 | 2 | 66;

/** An IP packet of protocol 253 (for experiments) with a number in it, and bytes that depend on the number. */
function packet(version: 4 | 6, from: Host, to: Host, number: number, payload: number): Uint8Array {
  const header = version === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + payload).fill(number & 255, header);
  const view = new DataView(bytes.buffer);
  bytes[0] = version << 4;
  if (version === 4) {
    bytes[0] |= 5;
    view.setUint16(2, bytes.length);
    bytes.set([64, 253], 8);
    bytes.set([10, 200, 0, from], 12);
    bytes.set([10, 200, 0, to], 16);
  } else {
    view.setUint16(4, payload);
    bytes.set([253, 64], 6);
    bytes.set([0xfd, 0x20], 8);
    bytes.set([0xfd, 0x20], 24);
    bytes[23] = from;
    bytes[39] = to;
  }
  view.setUint32(header, number);
  return bytes;
}

function payload(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes[0]! >>> 4 === 4 ? 20 : 40);
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition(); await turn()) {
    if (performance.now() - start > WAIT_MS) throw new Error(`waited in vain for ${what}`);
  }
}

class LoopbackDemo {
  readonly a: LoopbackDevice = new LoopbackDevice();
  readonly b: LoopbackDevice = new LoopbackDevice();

  close(): void {
    this.a.close();
    this.b.close();
  }

  async join(): Promise<void> {
    const ports = [await this.a.bind(), await this.b.bind()] as const;
    const peer = (other: LoopbackDevice, host: Host, port: number): void => {
      const self = other === this.b ? this.a : this.b;
      const allowedIps = [`10.200.0.${host}`, `fd20::${host}`];
      self.device.configureSync({ peers: [{ publicKey: other.publicKey, endpoint: `127.0.0.1:${port}`, allowedIps }] });
    };
    peer(this.b, 2, ports[1]);
    peer(this.a, 1, ports[0]);
  }

  async handshake(): Promise<Row> {
    const start = performance.now();
    let arrived = false;
    this.b.onPacket = () => {
      arrived = true;
    };
    this.a.input([packet(4, 1, 2, 0, 8)]);
    await until('the first packet', () => arrived);
    return { step: 'handshake', ms: performance.now() - start, seen: 'the first packet included' };
  }

  async pings(version: 4 | 6, step: string): Promise<Row> {
    let answered = 0;
    this.b.onPacket = (bytes) =>
      this.b.input([packet(version, 2, 1, new DataView(bytes.buffer).getUint32(version === 4 ? 20 : 40), 56)]);
    this.a.onPacket = () => {
      answered++;
    };
    const start = performance.now();
    for (let i = 0; i < PINGS; i++) {
      this.a.input([packet(version, 1, 2, i, 56)]);
      await until('an answer', () => answered > i);
    }
    const ms = (performance.now() - start) / PINGS;
    return { step, ms, loss: [PINGS - answered, PINGS], seen: 'mean round trip' };
  }

  /** Data from a to b, whose socket changes its port half way. */
  async roam(): Promise<Row> {
    let got = 0;
    let intact = true;
    this.b.onPacket = (bytes) => {
      const data = payload(bytes);
      const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
      if (data.length !== PAYLOAD || data[PAYLOAD - 1] !== (number & 255)) intact = false;
      got++;
    };
    const start = performance.now();
    let seen = '';
    for (let sent = 0; sent < STREAM_PACKETS; sent += BATCH) {
      if (sent === STREAM_PACKETS / 2) {
        await until('packets on their way', () => got === sent);
        const port = await this.a.bind();
        seen = `another port half way, the receiver followed to :${port}`;
      }
      await until('room for more', () => sent - got < WINDOW);
      this.a.input(Array.from({ length: BATCH }, (_, i) => packet(4, 1, 2, sent + i, PAYLOAD)));
    }
    await until('the last packet', () => got === STREAM_PACKETS);
    const bytes = got * PAYLOAD;
    if (!intact) throw new Error('data arrived changed');
    const { endpoint = '' } = this.b.device.statusSync().peers[0] ?? {};
    if (!seen.endsWith(endpoint.replace('127.0.0.1', ''))) throw new Error(`b still sends to ${endpoint}`);
    const gbits = (bytes * 8) / (performance.now() - start) / 1e6;
    return { step: 'data, roaming meanwhile', loss: [STREAM_PACKETS - got, STREAM_PACKETS], bytes, gbits, seen };
  }

  async rekey(): Promise<Row> {
    const before = this.b.handshakes;
    this.b.forgetSessions();
    const start = performance.now();
    let arrived = false;
    this.a.onPacket = () => {
      arrived = true;
    };
    this.b.input([packet(4, 2, 1, 0, 8)]);
    await until('a packet under the new keys', () => arrived);
    if (this.b.handshakes === before) throw new Error('there was no new handshake');
    const seen = 'private key unset and set again: a new handshake';
    return { step: 'rekey', ms: performance.now() - start, loss: [0, 1], seen };
  }

  async spoof(): Promise<Row> {
    const drops = (): number => this.b.device.statusSync().drops['badSource'] ?? 0;
    const before = drops();
    let arrived = false;
    this.b.onPacket = () => {
      arrived = true;
    };
    this.a.input([packet(4, 66, 2, 0, 8)]);
    await until('the drop', () => drops() === before + 1);
    if (arrived) throw new Error('a packet with a spoofed source came through');
    const seen = 'dropped and counted by the receiver: badSource=1';
    return { step: 'spoofed inner source', loss: [1, 1], seen };
  }

  async movePrefix(): Promise<Row> {
    const third = new LoopbackDevice();
    const move = (to: string): void => {
      this.a.device.configureSync({ peers: [{ publicKey: to, allowedIps: ['10.200.0.2'] }] });
    };
    let got = 0;
    this.b.onPacket = () => {
      got++;
    };
    move(third.publicKey);
    this.a.input([packet(4, 1, 2, 0, 8)]);
    const refused = this.a.device.statusSync().drops['noEndpoint'];
    move(this.b.publicKey);
    third.close();
    this.a.input([packet(4, 1, 2, 1, 8)]);
    await until('the packet', () => got > 0);
    if (refused !== 1 || got !== 1 || this.a.prefixesMoved !== 2) throw new Error('the prefix did not move');
    const seen = 'to a third peer: 1 of 1 refused; and back. Both moves told';
    return { step: 'prefix moved between peers', loss: [0, 1], seen };
  }
}

/** @param tell is given every step as it is done @throws when one does not hold */
export async function runLoopbackDemo(tell: (row: Row) => void): Promise<void> {
  const demo = new LoopbackDemo();
  try {
    await demo.join();
    tell(await demo.handshake());
    tell(await demo.pings(4, `${PINGS} echoes over IPv4`));
    tell(await demo.pings(6, `${PINGS} echoes over IPv6`));
    tell(await demo.roam());
    tell(await demo.rekey());
    tell(await demo.spoof());
    tell(await demo.movePrefix());
    tell({ step: 'device moved to another namespace', seen: 'not shown: there are none here' });
  } finally {
    demo.close();
  }
}
