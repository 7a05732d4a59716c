/**
 * Floods a responder with messages: `node flooder.js HOST PORT PUBLIC_KEY KIND RATE SECONDS SOURCES`, the key in base64.
 * They are made beforehand, and sent a millisecond's worth in one sendmmsg(2), from so many ports in turn. Prints a
 * line when it begins, and at its end, or on SIGTERM, how many the system took.
 *
 *   garbage   random bytes of random length
 *   bad-mac1  an initiation's size and type, the rest random
 *   mac1      the same with a mac1 that is right: the responder's public key is no secret
 */
import { randomBytes } from 'node:crypto';
import { CookieJar } from '../../src/core/cookie.js';
import { INITIATION_SIZE, MessageType, writeU32 } from '../../src/core/messages.js';
import { createSuite } from '../../src/crypto/index.js';
import { addressOf, allocate, loadLibrary } from '../../src/linux/ffi.js';
import { AF_INET, check, putPointer, SOCK_DGRAM, socket } from '../../src/linux/libc.js';
import type { FloodReport } from './flood.js';

const MESSAGES = 4096;
/** struct mmsghdr, and of it struct msghdr's iovec and count. */
const HEADER = 64;
const PAUSE_MS = 1;
/** Of one sendmmsg(2). */
const MOST = 256;

const [host = '', port = '', publicKey = '', kind = '', rate = '', seconds = '', sources = ''] = process.argv.slice(2);
const library = loadLibrary(null);
const sendmmsg = library.func('sendmmsg', 'int', ['int', 'pointer', 'uint', 'int']);
const connect = library.func('connect', 'int', ['int', 'pointer', 'u32']);

const { suite } = createSuite({ arena: new Uint8Array(64) });
const jar = new CookieJar(suite, Buffer.from(publicKey, 'base64'));
const room = allocate(MESSAGES * INITIATION_SIZE);
const headers = allocate(MESSAGES * HEADER);
const vectors = allocate(MESSAGES * 16);
const headerView = new DataView(headers.buffer, headers.byteOffset);
const vectorView = new DataView(vectors.buffer, vectors.byteOffset);
for (let i = 0; i < MESSAGES; i++) {
  const message = room.subarray(i * INITIATION_SIZE, (i + 1) * INITIATION_SIZE);
  message.set(randomBytes(INITIATION_SIZE));
  if (kind !== 'garbage') writeU32(message, 0, MessageType.initiation);
  if (kind === 'mac1') jar.addMacs(message, 0);
  putPointer(vectorView, i * 16, addressOf(message));
  putPointer(vectorView, i * 16 + 8, kind === 'garbage' ? i % INITIATION_SIZE : INITIATION_SIZE);
  putPointer(headerView, i * HEADER + 16, addressOf(vectors) + i * 16);
  putPointer(headerView, i * HEADER + 24, 1);
}

const name = allocate(16);
new DataView(name.buffer).setUint16(0, AF_INET, true);
new DataView(name.buffer).setUint16(2, Number(port));
name.set(host.split('.').map(Number), 4);
const sockets = Array.from({ length: Number(sources) }, () => {
  const fd = check(socket(AF_INET, SOCK_DGRAM, 0), 'socket');
  check(connect(fd, addressOf(name), 16), 'connect');
  return fd;
});

const start = performance.now();
const end = start + Number(seconds) * 1000;
let done = 0;
let refused = 0;
let turn = 0;

function work(): void {
  const due = Math.floor(((Math.min(performance.now(), end) - start) * Number(rate)) / 1000);
  const most = Math.min(MOST, Math.ceil((due - done) / sockets.length));
  while (done < due) {
    const from = done % MESSAGES;
    const count = Math.min(due - done, MESSAGES - from, most);
    const got = sendmmsg(sockets[turn++ % sockets.length]!, addressOf(headers) + from * HEADER, count, 0);
    // A full socket, or nobody listening: these are gone.
    if (got <= 0) refused += count;
    done += got > 0 ? got : count;
  }
  if (performance.now() >= end) finish();
}

function finish(): void {
  const report: FloodReport = { sent: done - refused, seconds: (performance.now() - start) / 1000 };
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());
}

process.once('SIGTERM', finish);
process.stdout.write('begun\n');
setInterval(work, PAUSE_MS);
