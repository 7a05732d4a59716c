/** A packet socket on an interface, with a virtio_net_hdr in front of each packet: packet(7), PACKET_VNET_HDR. */
import { addressOf, allocate } from '../../src/linux/ffi.js';
import { bind, check, close, recv, SOCK_NONBLOCK, SOCK_RAW, send, socket } from '../../src/linux/libc.js';
import { setOption } from './descriptors.js';
import type { Netns } from './world.js';

const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const ROOM = 70_000;

/** What is sent or received; all cannot be sent. */
const ETHER_TYPES = { ipv4: 0x0800, ipv6: 0x86dd, all: 0x0003 } as const;

export class PacketSocket {
  readonly #fd: number;
  readonly #memory: Uint8Array = allocate(ROOM);
  readonly #at: number = addressOf(this.#memory);

  constructor(netns: Netns, device: string, type: keyof typeof ETHER_TYPES) {
    const index = Number(netns.run(`ip -o link show ${device}`).split(':')[0]);
    this.#fd = netns.enter(() => check(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), 'socket'));
    setOption(this.#fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    setOption(this.#fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    const name = allocate(20);
    const view = new DataView(name.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETHER_TYPES[type]);
    view.setInt32(4, index, true);
    check(bind(this.#fd, addressOf(name), name.length), 'bind');
  }

  /** Hands the kernel a packet to be sent through the interface, its virtio header in front. */
  send(...pieces: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(pieces);
    this.#memory.set(bytes);
    check(send(this.#fd, this.#at, bytes.length, 0), 'send');
  }

  /** @returns the packets that came in by the interface since the last time, virtio headers in front */
  receive(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    for (let got = 0; got >= 0; ) {
      got = recv(this.#fd, this.#at, ROOM, 0);
      if (got >= 0) packets.push(this.#memory.slice(0, got));
    }
    return packets;
  }

  close(): void {
    close(this.#fd);
  }
}
