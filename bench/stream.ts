/**
 * The two ends of a TCP stream, in Node.js, for bench/rootless.ts:
 *
 *   node stream.js serve HOST           counts what comes in to OUT_PORT, and sends out of IN_PORT as much as is taken
 *   node stream.js client HOST [CONFIG] makes a stream for each line `out SECONDS` or `in SECONDS`, one after the other;
 *                                       by a rootless device of this configuration, where there is one
 *
 * The receiving end prints the Gbit/s of each stream, from its first byte to its last.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createRootlessDevice } from '../src/index.js';

/** At the server: out of the client, and into it. */
export const OUT_PORT = 5001;
export const IN_PORT = 5002;

/** After so much of it nothing more is expected. */
const SILENCE_MS = 2000;
const CHUNK = Buffer.alloc(256 * 1024, 7);

type Connect = (port: number) => Socket | Promise<Socket>;

/** Writes for as long as `more` says so. */
async function write(socket: Socket, more: () => boolean): Promise<void> {
  while (more() && !socket.destroyed) {
    if (socket.write(CHUNK)) continue;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        socket.off('drain', go).off('close', go);
        resolve();
      };
      socket.on('drain', go).on('close', go);
    });
  }
}

/** Reads to the end. @returns Gbit/s */
async function read(socket: Socket): Promise<number> {
  let [bytes, start, last] = [0, 0, 0];
  socket.on('data', (data: Buffer) => {
    last = performance.now();
    start ||= last;
    bytes += data.length;
  });
  await once(socket, 'close');
  return (bytes * 8) / (last - start) / 1e6;
}

function serve(host: string): void {
  const out = createServer((socket) => {
    socket.on('error', () => {});
    // A forward may be long in passing the end of a stream on.
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    void read(socket).then((gbits) => console.log(gbits));
  });
  const into = createServer((socket) => {
    // The client takes as much as it wants, and breaks off.
    socket.on('error', () => {});
    void write(socket.resume(), () => true);
  });
  out.listen(OUT_PORT, host, () => into.listen(IN_PORT, host, () => console.log('serving')));
}

async function send(connectTo: Connect, ms: number): Promise<void> {
  const socket = await connectTo(OUT_PORT);
  const end = performance.now() + ms;
  await write(socket.resume(), () => performance.now() < end);
  await new Promise<void>((resolve) => socket.end(resolve));
}

async function receive(connectTo: Connect, ms: number): Promise<void> {
  const socket = await connectTo(IN_PORT);
  const rate = read(socket);
  await once(socket, 'data');
  await sleep(ms);
  socket.destroy();
  console.log(await rate);
}

async function client(host: string, config: string | undefined): Promise<void> {
  const device = config === undefined ? undefined : await createRootlessDevice({ config: readFileSync(config) });
  const connectTo: Connect = (port) => (device ? device.connect({ host, port }) : connect(port, host));
  for await (const line of createInterface({ input: process.stdin })) {
    const [direction, seconds] = line.split(' ');
    await (direction === 'out' ? send : receive)(connectTo, Number(seconds) * 1000);
  }
  await device?.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [role, host = '', config] = process.argv.slice(2);
  if (role === 'serve') serve(host);
  else await client(host, config);
}
