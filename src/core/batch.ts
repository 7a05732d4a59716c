/**
 * A batch of packets: columns over one arena of memory, never an object per packet.
 *
 * Both directions use the same columns. A row is a place in the arena, and what the two phases of
 * the data path know of it:
 *
 *   plan    the core looks at each row, and names a cipher key and a counter where there is one to use
 *   (cipher an executor seals or opens every row that has a key: this thread, in batches, or others)
 *   finish  the core completes the datagrams, or checks and trims what was opened
 *
 * A row that ends somewhere on the way (dropped, staged, consumed) has length `GONE`. Rows keep
 * their order.
 */
import { NO_KEY } from './suite.js';

/** Length of a row that ended: dropped and counted, staged, or consumed as a handshake message. */
export const GONE = -1;

/**
 * Bytes that belong to a row in front of its payload, in both directions. Room for the message
 * header (16), a virtio_net_hdr (10) and a cipher's one-block prefix (64). Only the last 16 of
 * them belong to a received row: its message header.
 */
export const HEADROOM = 64;

/** Bytes a row needs behind its longest payload: padding to a multiple of 16, and the tag. */
export const TAILROOM = 32;

export class PacketBatch {
  /** Rows in use: 0 to `count - 1`. */
  count = 0;
  readonly capacity: number;
  /**
   * Byte offset in the arena. Before planOutbound: of an IP packet. After finishOutbound: of a
   * complete datagram. Before planInbound: of a datagram. After finishInbound: of an IP packet.
   * In between: of the payload, in place, for the cipher.
   */
  readonly offset: Int32Array;
  /** Bytes from `offset`, or {@link GONE}. For the cipher: bytes of cleartext, without the tag. */
  readonly length: Int32Array;
  /** Row of the {@link EndpointTable}: where a datagram came from, or goes to. */
  readonly endpoint: Int32Array;
  /** The outer TOS or traffic class byte of a datagram, received or to be sent. */
  readonly tos: Uint8Array;
  /** The cipher's work: key slot, or `NO_KEY`. */
  readonly key: Int32Array;
  /** The message counter that makes the nonce: 32 low and 32 high bits. */
  readonly counterLo: Uint32Array;
  readonly counterHi: Uint32Array;
  /** Set by the executor that opens: 1 when the tag fits, else 0. */
  readonly verdict: Uint8Array;
  /** The core's own notes between the phases: peer and keypair (0 current, 1 previous, 2 next). */
  readonly peer: Int32Array;
  readonly keypair: Int32Array;

  /** @param capacity rows */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.endpoint = new Int32Array(capacity);
    this.tos = new Uint8Array(capacity);
    this.key = new Int32Array(capacity).fill(NO_KEY);
    this.counterLo = new Uint32Array(capacity);
    this.counterHi = new Uint32Array(capacity);
    this.verdict = new Uint8Array(capacity);
    this.peer = new Int32Array(capacity);
    this.keypair = new Int32Array(capacity);
  }
}

/**
 * Runs the cipher over a batch: for each row with a key and a length other than `GONE`.
 *
 * seal: `length` bytes at `offset` are replaced by the ciphertext, the 16-byte tag follows it. May
 *   overwrite the {@link HEADROOM} in front and the {@link TAILROOM} behind. open: `length` bytes of ciphertext at `offset`, followed
 *   by the tag, are replaced by the cleartext if, and only if, the tag fits; `verdict` says so. Must
 *   leave everything outside the row as it is.
 * Nonce: four zero bytes, then the 64-bit counter, little-endian. No associated data.
 */
export interface BatchCipher {
  seal(batch: PacketBatch): void;
  open(batch: PacketBatch): void;
}
