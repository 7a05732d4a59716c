/** Two packet devices joined by a wire that is a function call, with a clock of their own. */
import { createPacketDevice, type DatagramEndpoint, type PacketDevice, SecretKey } from '../../src/api/core.js';

export const A: DatagramEndpoint = { address: '192.0.2.1', port: 1001 };
export const B: DatagramEndpoint = { address: '2001:db8::2', port: 1002 };

export interface Side {
  readonly device: PacketDevice;
  readonly publicKey: string;
  /** Cleartext packets that came out of this side's tunnel. */
  readonly packets: Uint8Array[];
}

export interface Pair {
  readonly a: Side;
  readonly b: Side;
  /** Lets time pass on both sides, timer by timer. */
  advance(ms: number): void;
  /** No datagram arrives any more while this is true. */
  isCut: boolean;
  /** Datagrams that were sent, on a cut wire as well. */
  sent: number;
}

/** 10.0.0.1 and fd00::1 at a, 10.0.0.2 and fd00::2 at b. Only a knows the other's endpoint. */
export function createPair(): Pair {
  let now = 1000;
  const keys = [SecretKey.generatePrivateKey(), SecretKey.generatePrivateKey()] as const;
  const psk = SecretKey.generatePresharedKey();
  const make = (self: 0 | 1): Side => {
    const packets: Uint8Array[] = [];
    const other = self === 0 ? 1 : 0;
    const device = createPacketDevice({
      config: {
        privateKey: keys[self],
        listenPort: 1001 + self,
        peers: [
          {
            publicKey: keys[other].publicKey(),
            presharedKey: psk,
            allowedIps: [`10.0.0.${other + 1}`, `fd00::${other + 1}/128`],
            ...(self === 0 && { endpoint: '[2001:db8::2]:1002' }),
          },
        ],
      },
      onDatagram: (datagram) => {
        pair.sent++;
        if (!pair.isCut) (self === 0 ? pair.b : pair.a).device.receiveDatagram(datagram, self === 0 ? A : B);
      },
      onPacket: (packet) => packets.push(packet),
      now: () => now,
    });
    return { device, publicKey: keys[self].publicKey(), packets };
  };
  const pair: Pair = {
    a: make(0),
    b: make(1),
    isCut: false,
    sent: 0,
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const next = Math.min(pair.a.device.nextTimeout(), pair.b.device.nextTimeout());
        if (next > end) break;
        now = Math.max(now, next);
        pair.a.device.handleTimeout();
        pair.b.device.handleTimeout();
      }
      now = end;
    },
  };
  return pair;
}
