/**
 * Where packets are: one fixed memory with a part for what is received, one for what the TUN gives,
 * and one for what is cut out of that or made by the core.
 */
import { readFileSync } from 'node:fs';
import { HEADROOM, TAILROOM } from '../core/batch.js';
import { KEYSTREAM_ROOM, type Keystream } from '../crypto/aead.js';
import { addressOf, allocate, mirrorLow } from '../linux/ffi.js';
import { type Arena, plainArena, wasmArena } from '../offload/arena.js';

/** Messages of one recvmmsg, each a datagram or a run of them that the kernel merged. */
const RECEIVE_SLOTS = 32;
/** The largest UDP payload (IPv6), and the headroom in front. */
const RECEIVE_STRIDE = HEADROOM + 65536;
export const RECEIVE_SIZE: number = RECEIVE_STRIDE - HEADROOM;
/** Datagrams taken from the socket's messages at once. */
export const RECEIVE_ROWS = 256;

/** The largest packet that a TUN gives or takes. */
export const MAX_PACKET = 65535;
/** Bytes of packets read from the TUN in one batch; a last one may reach beyond. */
const READ_SIZE = 1 << 17;
export const SEND_ROWS = 128;
/** Room for the segments of a super-packet with the usual MTUs several times, for the largest MTU a few times. */
const SEND_SIZE = 1 << 20;

const READ_AT: number = RECEIVE_SLOTS * RECEIVE_STRIDE;
export const READ_END: number = READ_AT + READ_SIZE;
const SEND_AT: number = READ_END + footprint(MAX_PACKET);
const SEND_END: number = SEND_AT + SEND_SIZE;
/** The cipher's keystream: in this memory, so that it is XORed in as fast as can be. */
const KEYSTREAM_AT: number = SEND_END;
const KEYSTREAM_END: number = KEYSTREAM_AT + KEYSTREAM_ROOM;
const SIZE: number = KEYSTREAM_END + HEADROOM;
/** Room for a handshake message at least, whatever the MTU. */
const SEND_MIN_ROOM = 1500;

/** Bytes that a packet takes, with all that must be around it: padding, head and tail, whole cache lines. */
export function footprint(length: number): number {
  return (HEADROOM + ((length + 15) & ~15) + TAILROOM + 63) & ~63;
}

function makeArena(): { readonly arena: Arena; readonly release: () => void } {
  try {
    const wasm = readFileSync(new URL('../offload/checksum.wasm', import.meta.url));
    const arena = wasmArena(wasm, SIZE);
    return { arena, release: mirrorLow(arena.bytes) };
  } catch {
    // No WebAssembly (--jitless), no SIMD, or no address space for its guard regions (ulimit -v).
    return { arena: plainArena(allocate(SIZE)), release: () => {} };
  }
}

export class PacketArena {
  /** The memory, and checksums over it. */
  readonly memory: Arena;
  readonly bytes: Uint8Array;
  /** Its native address. */
  readonly base: number;
  readonly receiveSlots: Int32Array = Int32Array.from(
    { length: RECEIVE_SLOTS },
    (_, i) => i * RECEIVE_STRIDE + HEADROOM,
  );
  /** Gives its second address back; the memory cannot be used afterwards. */
  readonly release: () => void;
  readonly keystream: Keystream;
  /** Bytes for a payload at each sending place, and how many places there are. */
  sendRoom = 0;
  sendPlaces = 0;
  #sendStride = 0;

  constructor() {
    const { arena, release } = makeArena();
    this.memory = arena;
    this.release = release;
    this.bytes = arena.bytes;
    this.base = addressOf(arena.bytes);
    this.keystream = {
      address: this.base + KEYSTREAM_AT,
      xor: (to, length) => arena.xor(to, KEYSTREAM_AT + 64, length),
      wipe: () => void arena.bytes.fill(0, KEYSTREAM_AT, KEYSTREAM_END),
    };
    this.setMtu(SEND_MIN_ROOM);
  }

  /** Sending places are laid out no wider than the MTU asks for. */
  setMtu(mtu: number): void {
    this.sendRoom = Math.min(MAX_PACKET, Math.max(mtu, SEND_MIN_ROOM));
    this.#sendStride = footprint(this.sendRoom);
    this.sendPlaces = Math.min(SEND_ROWS, Math.floor(SEND_SIZE / this.#sendStride));
  }

  /** Payload offset of a sending place. */
  sendPlace(row: number): number {
    return SEND_AT + row * this.#sendStride + HEADROOM;
  }
}

export { READ_AT, SEND_AT, SEND_END };
