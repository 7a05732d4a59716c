/**
 * Where packets are: one fixed memory, a part for what is received and one for what is sent.
 */
import { HEADROOM, TAILROOM } from '../core/batch.js';
import { allocate } from '../linux/ffi.js';

/** Messages of one recvmmsg, each a datagram or a run of them that the kernel merged. */
const RECEIVE_SLOTS = 16;
/** The largest UDP payload (IPv6), and the headroom in front. */
const RECEIVE_STRIDE = HEADROOM + 65536;
export const RECEIVE_SIZE: number = RECEIVE_STRIDE - HEADROOM;
/** Rows that fit all segments of a few merged messages. */
export const RECEIVE_ROWS = 256;

export const SEND_ROWS = 64;
/** The largest MTU of a TUN. */
const SEND_MAX_STRIDE: number = align(HEADROOM + 65535 + TAILROOM);
const SEND_AT: number = RECEIVE_SLOTS * RECEIVE_STRIDE;
const SIZE: number = SEND_AT + SEND_ROWS * SEND_MAX_STRIDE;
/** Room for a handshake message at least, whatever the MTU. */
const SEND_MIN_ROOM = 1500;

function align(bytes: number): number {
  return (bytes + 63) & ~63;
}

export class PacketArena {
  readonly bytes: Uint8Array = allocate(SIZE);
  readonly receiveSlots: Int32Array = Int32Array.from(
    { length: RECEIVE_SLOTS },
    (_, i) => i * RECEIVE_STRIDE + HEADROOM,
  );
  /** Bytes for a payload at each sending place. */
  sendRoom = 0;
  #sendStride = 0;

  constructor() {
    this.setMtu(SEND_MIN_ROOM);
  }

  /** Sending places are laid out no wider than the MTU asks for. */
  setMtu(mtu: number): void {
    this.#sendStride = align(HEADROOM + Math.max(mtu, SEND_MIN_ROOM) + TAILROOM);
    this.sendRoom = this.#sendStride - HEADROOM - TAILROOM;
  }

  /** Payload offset of a sending place. */
  sendPlace(row: number): number {
    return SEND_AT + row * this.#sendStride + HEADROOM;
  }
}
