/**
 * Many peers in one process, each a packet device with a UDP socket of its own: `node crowd.js PORT PUBLIC_KEY PEERS
 * PINGS`. It prints their public keys; told `go` on standard input, each pings 10.60.255.254 through its tunnel to
 * 127.0.0.1, from 10.60.x.y by its number, until it was answered that often; then it prints what was answered.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPacketDevice, SecretKey } from '../../src/api/core.js';
import { checksumAdd, checksumFinish } from '../../src/core/ip-header.js';

/** Peers with a ping under way: far from where a responder would call itself under load. */
const AT_ONCE = 32;
const PATIENCE_MS = 150_000;
/** A ping that was not answered for so long is sent again. */
const LOST_AFTER_MS = 1_000;

const [port = '', publicKey = '', peers = '', pings = ''] = process.argv.slice(2);

/** An echo request with checksums (RFC 791, RFC 792). */
function echoRequest(i: number): Uint8Array {
  const packet = Uint8Array.of(0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 60, i >> 8, i & 255, 10, 60, 255, 254);
  const whole = new Uint8Array(28);
  whole.set(packet);
  whole.set([8, 0, 0, 0, i >> 8, i & 255, 0, 1], 20);
  const view = new DataView(whole.buffer);
  view.setUint16(10, checksumFinish(checksumAdd(whole, 0, 20, 0)));
  view.setUint16(22, checksumFinish(checksumAdd(whole, 20, 8, 0)));
  return whole;
}

function makePeer(i: number): { readonly key: string; ping(): Promise<boolean>; close(): void } {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  const privateKey = SecretKey.generatePrivateKey();
  let answered: (() => void) | undefined;
  const device = createPacketDevice({
    config: { privateKey, peers: [{ publicKey, allowedIps: ['10.60.255.254'], endpoint: `127.0.0.1:${port}` }] },
    onDatagram: (datagram, to) => socket.send(datagram, to.port, to.address),
    onPacket: (packet) => {
      if (packet[20] === 0 && ((packet[18]! << 8) | packet[19]!) === i) answered?.();
    },
  });
  socket.on('message', (datagram, from) => device.receiveDatagram(datagram, from));
  const request = echoRequest(i);
  return {
    key: privateKey.publicKey(),
    ping: () =>
      new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), LOST_AFTER_MS);
        answered = () => {
          clearTimeout(timer);
          resolve(true);
        };
        device.sendPacket(request);
      }),
    close: () => {
      void device.close();
      socket.close();
    },
  };
}

const crowd = Array.from({ length: Number(peers) }, (_, i) => makePeer(i));
process.stdout.write(`${JSON.stringify(crowd.map(({ key }) => key))}\n`);
await once(process.stdin, 'data');
const answers = crowd.map(() => 0);
const until = performance.now() + PATIENCE_MS;
for (let round = 1; round <= Number(pings); round++) {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < crowd.length) {
      const i = next++;
      while (answers[i]! < round && performance.now() < until) if (await crowd[i]!.ping()) answers[i]!++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
process.stdout.write(`${JSON.stringify(answers)}\n`);
// Sessions stay until they were counted.
await Promise.race([once(process.stdin, 'data'), sleep(PATIENCE_MS)]);
for (const peer of crowd) peer.close();
process.exit(0);
