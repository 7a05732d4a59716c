/**
 * The demo's traffic, run inside a namespace:
 *   stream sink ADDRESS PORT     receives one TCP stream, compares every byte, prints {bytes, intact}
 *   stream source ADDRESS PORT   sends until its standard input ends, prints {bytes, ms}
 *   stream echo ADDRESS PORT     sends UDP datagrams back
 *   stream udp-ping ADDRESS PORT COUNT   counts the answers, where there is no ping: {sent, received, meanMs}
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const [role, address = '', port = '0', count = '0'] = process.argv.slice(2);
const CHUNK = 256 * 1024;
/** Long and odd, so that a segment in the wrong place does not look right. */
const PATTERN = 1_000_003;

function pattern(): Buffer {
  const bytes = Buffer.allocUnsafe(PATTERN + CHUNK);
  for (let i = 0; i < PATTERN; i++) bytes[i] = (Math.imul(i, 0x9e3779b1) >>> 13) & 255;
  bytes.copy(bytes, PATTERN, 0, CHUNK);
  return bytes;
}

function sink(): void {
  const expected = pattern();
  const server = createServer((socket) => {
    let bytes = 0;
    let intact = true;
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; at += CHUNK) {
        const part = chunk.subarray(at, at + CHUNK);
        const from = (bytes + at) % PATTERN;
        if (part.compare(expected, from, from + part.length) !== 0) intact = false;
      }
      bytes += chunk.length;
    });
    socket.on('end', () => {
      socket.end();
      server.close();
      console.log(JSON.stringify({ bytes, intact }));
    });
  });
  server.listen(Number(port), address, () => console.log('listening'));
}

async function source(): Promise<void> {
  const data = pattern();
  let running = true;
  process.stdin.resume().on('end', () => {
    running = false;
  });
  const socket = connect(Number(port), address);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const start = performance.now();
  let bytes = 0;
  while (running) {
    const from = bytes % PATTERN;
    bytes += CHUNK;
    if (!socket.write(data.subarray(from, from + CHUNK))) await new Promise((resolve) => socket.once('drain', resolve));
  }
  await new Promise((resolve) => socket.once('close', resolve).resume().end());
  console.log(JSON.stringify({ bytes, ms: performance.now() - start }));
}

function echo(): void {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
  socket.bind(Number(port), address, () => console.log('listening'));
}

async function udpPing(): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const sent = Number(count);
  const times = new Map<number, number>();
  let received = 0;
  let total = 0;
  socket.on('error', () => {});
  socket.on('message', (bytes) => {
    received++;
    total += performance.now() - (times.get(bytes.readUInt32BE()) ?? 0);
  });
  for (let i = 0; i < sent; i++) {
    const bytes = Buffer.alloc(56);
    bytes.writeUInt32BE(i);
    times.set(i, performance.now());
    socket.send(bytes, Number(port), address);
    await sleep(20);
  }
  for (let i = 0; i < 100 && received < sent; i++) await sleep(20);
  socket.close();
  console.log(JSON.stringify({ sent, received, meanMs: total / Math.max(1, received) }));
}

if (role === 'sink') sink();
else if (role === 'source') await source();
else if (role === 'echo') echo();
else await udpPing();
