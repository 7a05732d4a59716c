/**
 * Many initiators in one process, against one responder: `node handshake-client.js HOST PORT PUBLIC_KEY PEERS EACH`,
 * with the responder's key in base64. It makes its initiations beforehand and prints a line with its peers' public
 * keys in hex; told `go` on standard input it sends them, some in flight at a time, and prints what came back.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { CookieJar } from '../src/core/cookie.js';
import {
  INITIATION_SENDER,
  INITIATION_SIZE,
  MessageType,
  readU32,
  TIMESTAMP_SIZE,
  writeU32,
} from '../src/core/messages.js';
import { clamp, Handshake, Noise } from '../src/core/noise.js';
import { Tai64n } from '../src/core/tai64n.js';
import { createSuite } from '../src/crypto/index.js';

/** Far from where a responder would call itself under load (an eighth of a queue of 1,024). */
const IN_FLIGHT = 32;
/** An initiation without an answer for so long is given up, and the next one sent in its place. */
const LOST_AFTER_MS = 500;

/** What came back, printed as JSON at the end. */
export interface HandshakeReport {
  readonly responses: number;
  readonly cookies: number;
  readonly lost: number;
  /** From the first initiation to the last answer. */
  readonly seconds: number;
}

/** The initiations of every peer in turn, `each` times around, so that one peer's are far apart. */
function makeInitiations(responder: Uint8Array, peers: number, each: number): { keys: string[]; messages: Buffer[] } {
  const { suite } = createSuite({ arena: new Uint8Array(64) });
  const jar = new CookieJar(suite, responder);
  const clock = new Tai64n(Date.now);
  const timestamp = new Uint8Array(TIMESTAMP_SIZE);
  const keys: string[] = [];
  const messages: Buffer[] = [];
  for (let peer = 0; peer < peers; peer++) {
    const noise = new Noise(suite);
    const privateKey = new Uint8Array(32);
    suite.random(privateKey);
    clamp(privateKey);
    noise.setIdentity(privateKey);
    keys.push(Buffer.from(noise.identity!.publicKey).toString('hex'));
    const handshake = new Handshake();
    for (let round = 0, tick = 0; round < each; round++) {
      const message = Buffer.alloc(INITIATION_SIZE);
      const place = round * peers + peer;
      tick = clock.write(timestamp, tick, performance.now());
      writeU32(message, 0, MessageType.initiation);
      writeU32(message, INITIATION_SENDER, place);
      if (!noise.writeInitiation(handshake, responder, message, timestamp)) throw new Error('no key of a responder');
      jar.addMacs(message, performance.now());
      messages[place] = message;
    }
  }
  return { keys, messages };
}

async function exchange(host: string, port: number, messages: readonly Buffer[]): Promise<HandshakeReport> {
  const socket = createSocket('udp4');
  socket.connect(port, host);
  await once(socket, 'connect');
  socket.setRecvBufferSize(4 << 20);
  /** When a message was sent, by its place; 0 once it is answered or given up. */
  const sent = new Float64Array(messages.length);
  const counts = { responses: 0, cookies: 0, lost: 0 };
  let [next, oldest, flying, last] = [0, 0, 0, 0];
  const start = performance.now();
  await new Promise<void>((resolve) => {
    const fly = (): void => {
      for (; flying < IN_FLIGHT && next < messages.length; next++, flying++) {
        sent[next] = performance.now();
        socket.send(messages[next]!);
      }
      if (flying === 0) resolve();
    };
    const land = (place: number): boolean => {
      if (!sent[place]) return false;
      sent[place] = 0;
      flying--;
      return true;
    };
    socket.on('message', (answer) => {
      // Both kinds of answer name the initiation: a response behind its own index, a cookie reply in front.
      const isResponse = answer[0] === MessageType.response;
      if (!land(readU32(answer, isResponse ? 8 : 4))) return;
      last = performance.now();
      if (isResponse) counts.responses++;
      else counts.cookies++;
      fly();
    });
    const patience = setInterval(() => {
      for (; oldest < next && (sent[oldest] === 0 || performance.now() - sent[oldest]! > LOST_AFTER_MS); oldest++) {
        if (land(oldest)) counts.lost++;
      }
      fly();
      if (flying === 0) clearInterval(patience);
    }, 50);
    fly();
  });
  socket.close();
  return { ...counts, seconds: (last - start) / 1000 };
}

const [host = '', port = '', publicKey = '', peers = '', each = ''] = process.argv.slice(2);
const { keys, messages } = makeInitiations(Buffer.from(publicKey, 'base64'), Number(peers), Number(each));
process.stdout.write(`${JSON.stringify(keys)}\n`);
await once(process.stdin, 'data');
process.stdout.write(`${JSON.stringify(await exchange(host, Number(port), messages))}\n`);
process.exit(0);
