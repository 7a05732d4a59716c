/**
 * Floods a responder with initiations: `node flooder.js HOST PORT PUBLIC_KEY KIND RATE SECONDS`, the key in base64.
 * They are made beforehand, and sent a millisecond's worth in one sendmmsg(2). Prints how many were sent.
 *
 *   garbage  an initiation's size and type, the rest random
 *   mac1     the same with a mac1 that is right: the responder's public key is no secret
 *   short    random bytes of random length
 */
import { randomBytes } from 'node:crypto';
import { CookieJar } from '../../src/core/cookie.js';
import { INITIATION_SIZE, MessageType, writeU32 } from '../../src/core/messages.js';
import { createSuite } from '../../src/crypto/index.js';
import { addressOf, allocate, loadLibrary } from '../../src/linux/ffi.js';
import { AF_INET, check, putPointer, SOCK_DGRAM, socket } from '../../src/linux/libc.js';

const MESSAGES = 4096;
/** struct mmsghdr, and of it struct msghdr's iovec and count. */
const HEADER = 64;
const PAUSE_MS = 1;

const [host = '', port = '', publicKey = '', kind = '', rate = '', seconds = ''] = process.argv.slice(2);
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
  if (kind !== 'short') writeU32(message, 0, MessageType.initiation);
  if (kind === 'mac1') jar.addMacs(message, 0);
  putPointer(vectorView, i * 16, addressOf(message));
  putPointer(vectorView, i * 16 + 8, kind === 'short' ? i % INITIATION_SIZE : INITIATION_SIZE);
  putPointer(headerView, i * HEADER + 16, addressOf(vectors) + i * 16);
  putPointer(headerView, i * HEADER + 24, 1);
}

const fd = check(socket(AF_INET, SOCK_DGRAM, 0), 'socket');
const name = allocate(16);
new DataView(name.buffer).setUint16(0, AF_INET, true);
new DataView(name.buffer).setUint16(2, Number(port));
name.set(host.split('.').map(Number), 4);
check(connect(fd, addressOf(name), 16), 'connect');

const start = performance.now();
let sent = 0;
const timer = setInterval(() => {
  const elapsed = Math.min(performance.now() - start, Number(seconds) * 1000);
  for (let due = Math.floor((elapsed * Number(rate)) / 1000); sent < due; ) {
    const from = sent % MESSAGES;
    const count = Math.min(due - sent, MESSAGES - from, 256);
    const got = sendmmsg(fd, addressOf(headers) + from * HEADER, count, 0);
    // A full socket, or nobody listening: these are gone.
    sent += got > 0 ? got : count;
  }
  if (elapsed < Number(seconds) * 1000) return;
  clearInterval(timer);
  process.stdout.write(`${JSON.stringify({ sent, seconds: elapsed / 1000 })}\n`);
}, PAUSE_MS);
