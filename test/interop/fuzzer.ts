/**
 * Datagrams that a device must survive, sent from inside its namespace.
 *
 * It first stands between two devices as a relay and keeps what they say to each other; later it mutates that.
 * Commands come on standard input, a line each; every answer is a line of JSON.
 *
 *     record                    forwards until told otherwise: {recorded}
 *     fuzz COUNT SEED PUBLICKEY sends COUNT datagrams to the target, none of them valid: {sent, byLength}
 *
 * Run as: fuzzer RELAY_PORT LEFT_PORT TARGET_PORT
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { blake2s } from '@noble/hashes/blake2.js';

const LOOPBACK = '127.0.0.1';
const MAX_V4 = 65_507;
const MAX_V6 = 65_527;
/** Of each message type, to mutate. */
const KEEP = 64;
/** Sent before the receiver gets a pause: what the smallest receive buffer holds. */
const BURST = 32;
const MAC1_LABEL = new TextEncoder().encode('mac1----');
/** Message sizes of the protocol: initiation, response, cookie reply, shortest data. */
const SIZES = [148, 92, 64, 32] as const;
const EDGES = [
  0, 1, 2, 3, 4, 15, 16, 31, 32, 33, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1451, 1452, 1500, 2047, 2048,
] as const;
const LARGE = [9000, 16_384, 32_768, 65_506, MAX_V4] as const;

export interface Recorded {
  /** Messages kept, by type 1 to 4. */
  readonly recorded: readonly number[];
}

export interface Fuzzed {
  readonly sent: number;
  /** Datagrams of zero bytes, of 65,507 bytes over IPv4, and of 65,527 over IPv6. */
  readonly empty: number;
  readonly longest4: number;
  readonly longest6: number;
}

type Random = (limit: number) => number;

/** A seeded generator (mulberry32): a failure can be repeated. @returns integers below the limit */
function seeded(seed: number): Random {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

function noise(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(random(2 ** 32), i);
  return bytes;
}

/** Makes the mac1 of a changed handshake message right, so that it gets past the first check. */
function sign(message: Buffer, publicKey: Uint8Array): void {
  const end = message.length - 32;
  const key = blake2s(Buffer.concat([MAC1_LABEL, publicKey]));
  message.set(blake2s(message.subarray(0, end), { key, dkLen: 16 }), end);
}

/** One datagram that is not valid: of a message seen before, or of nothing. */
function mutate(messages: readonly Buffer[], random: Random, publicKey: Uint8Array): Buffer {
  const original = messages[random(messages.length)];
  const copy = Buffer.from(original ?? []);
  switch (random(8)) {
    case 0: // A replay.
      return copy;
    case 1: // Bits changed.
      for (let flips = 1 + random(8); flips > 0; flips--) copy[random(copy.length)]! ^= 1 << random(8);
      return copy;
    case 2: // Cut short, or made longer.
      return random(2) === 0
        ? copy.subarray(0, random(copy.length))
        : Buffer.concat([copy, noise(random, 1 + random(64))]);
    case 3: // The fields behind the type: indices, counters.
      copy.writeUInt32LE(random(2 ** 32), 4);
      copy.writeUInt32LE([0, 1, 2 ** 32 - 1, random(2 ** 32)][random(4)]!, 8);
      return copy;
    case 4: {
      // A handshake message of the right size and with the right mac1, and otherwise wrong.
      const message = noise(random, SIZES[random(2)]!);
      message.writeUInt32LE(message.length === 148 ? 1 : 2, 0);
      sign(message, publicKey);
      return message;
    }
    case 5: {
      const bytes = noise(random, EDGES[random(EDGES.length)]!);
      if (bytes.length >= 4 && random(2) === 0) bytes.writeUInt32LE(random(6), 0);
      return bytes;
    }
    case 6: {
      // Each message type at the size of another.
      const bytes = noise(random, SIZES[random(SIZES.length)]!);
      bytes.writeUInt32LE(1 + random(4), 0);
      return bytes;
    }
    default:
      return noise(random, random(64) === 0 ? LARGE[random(LARGE.length)]! : random(1600));
  }
}

async function bound(family: 'udp4' | 'udp6', port: number, host: string): Promise<Socket> {
  const socket = createSocket(family);
  // Cookie replies come back, and "connection refused" may: neither is of interest.
  socket.on('error', () => {});
  socket.bind(port, host);
  await once(socket, 'listening');
  socket.setSendBufferSize(1 << 20);
  return socket;
}

async function fuzz(
  count: number,
  seed: number,
  key: Buffer,
  messages: readonly Buffer[],
  target: number,
): Promise<Fuzzed> {
  const random = seeded(seed);
  const v4 = await bound('udp4', 0, LOOPBACK);
  const v6 = await bound('udp6', 0, '::1');
  const send = (socket: Socket, host: string, bytes: Buffer): Promise<void> =>
    new Promise((resolve, reject) => socket.send(bytes, target, host, (error) => (error ? reject(error) : resolve())));
  const fuzzed = { sent: 0, empty: 0, longest4: 0, longest6: 0 };
  for (; fuzzed.sent < count; fuzzed.sent++) {
    const overV6 = random(4) === 0;
    let bytes = mutate(messages, random, key);
    if (overV6 && bytes.length === MAX_V4) bytes = noise(random, MAX_V6);
    if (bytes.length === 0) fuzzed.empty++;
    if (bytes.length === MAX_V4) fuzzed.longest4++;
    if (bytes.length === MAX_V6) fuzzed.longest6++;
    await (overV6 ? send(v6, '::1', bytes) : send(v4, LOOPBACK, bytes));
    if (fuzzed.sent % BURST === 0) await sleep(1);
  }
  v4.close();
  v6.close();
  return fuzzed;
}

async function main(relayPort: number, leftPort: number, targetPort: number): Promise<void> {
  const messages: Buffer[] = [];
  const recorded = [0, 0, 0, 0];
  const relay = await bound('udp4', relayPort, LOOPBACK);
  relay.on('message', (bytes, from) => {
    const type = (bytes[0] ?? 0) - 1;
    if ((recorded[type] ?? KEEP) < KEEP) {
      recorded[type]!++;
      messages.push(Buffer.from(bytes));
    }
    relay.send(bytes, from.port === leftPort ? targetPort : leftPort, LOOPBACK);
  });
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface(process.stdin)) {
    const [command, count = '', seed = '', key = ''] = line.split(' ');
    if (command === 'record') console.log(JSON.stringify({ recorded } satisfies Recorded));
    else
      console.log(
        JSON.stringify(await fuzz(Number(count), Number(seed), Buffer.from(key, 'base64'), messages, targetPort)),
      );
  }
  relay.close();
}

if (process.argv[1] === import.meta.filename) {
  const [relay = 0, left = 0, target = 0] = process.argv.slice(2).map(Number);
  await main(relay, left, target);
}
