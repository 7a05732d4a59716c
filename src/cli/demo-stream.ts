/**
 * The demo's TCP traffic, run inside a namespace:
 *   demo-stream sink ADDRESS PORT          prints bytes and their SHA-256
 *   demo-stream source ADDRESS PORT BYTES  prints the same, and the milliseconds it took
 */
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { performance } from 'node:perf_hooks';

const [role, address = '', port = '0', size = '0'] = process.argv.slice(2);
const CHUNK = 256 * 1024;

function sink(): void {
  const server = createServer((socket) => {
    const hash = createHash('sha256');
    let bytes = 0;
    socket.on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    socket.on('end', () => {
      socket.end();
      server.close();
      console.log(JSON.stringify({ bytes, sha256: hash.digest('hex') }));
    });
  });
  server.listen(Number(port), address, () => console.log('listening'));
}

async function source(): Promise<void> {
  const total = Number(size);
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK);
  for (let i = 0; i < CHUNK; i++) chunk[i] = (i * 7919) >>> 3;
  const socket = connect(Number(port), address);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const start = performance.now();
  for (let sent = 0; sent < total; sent += CHUNK) {
    const part = chunk.subarray(0, Math.min(CHUNK, total - sent));
    hash.update(part);
    if (!socket.write(part)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  await new Promise((resolve) => socket.once('close', resolve).resume().end());
  const ms = performance.now() - start;
  console.log(JSON.stringify({ bytes: total, sha256: hash.digest('hex'), ms }));
}

if (role === 'sink') sink();
else await source();
