/**
 * Receiving datagrams in batches: recvmmsg(2), with UDP GRO when the socket has it.
 *
 * Structures as on 64-bit Linux: msghdr 56 bytes, mmsghdr 64, cmsghdr 16.
 */
import { addressOf, allocate, errno } from './ffi.js';
import { putPointer, recvmmsg } from './libc.js';
import type { UdpSocket } from './udp.js';

/** The columns that are filled; core's PacketBatch fits. */
export interface ReceivedRows {
  count: number;
  readonly capacity: number;
  readonly offset: Int32Array;
  readonly length: Int32Array;
  readonly endpoint: Int32Array;
  readonly tos: Uint8Array;
}

const MMSGHDR = 64;
const NAME_SIZE = 28;
const NAME_STRIDE = 32;
const CONTROL_SIZE = 128;
const CMSG_HEADER = 16;
const MSG_TRUNC = 0x20;
const SOL_IP = 0;
const SOL_UDP = 17;
const SOL_IPV6 = 41;
const IP_TOS = 1;
const IP_PKTINFO = 8;
const IPV6_PKTINFO = 50;
const IPV6_TCLASS = 67;
const UDP_GRO = 104;
const AF_INET = 2;

/** The most datagrams that UDP GRO merges into one message (UDP_GRO_CNT_MAX of the kernel). */
const MAX_SEGMENTS = 64;

/** Row of an endpoint table: see core/endpoint.ts. */
const ENDPOINT_SIZE = 48;

export class UdpReceiver {
  readonly #messages: number;
  readonly #slots: Int32Array;
  readonly #endpointRows: readonly number[];
  readonly #endpoints: { readonly bytes: Uint8Array };
  readonly #headers: Uint8Array;
  readonly #view: DataView;
  readonly #headersAddress: number;
  readonly #names: Uint8Array;
  readonly #control: Uint8Array;
  readonly #controlView: DataView;
  #segment = 0;
  /** Datagrams lost: longer than their slot, or more in one message than there are rows. */
  lost = 0;

  /**
   * @param arena the memory the slots are in
   * @param slots offset of each message's place; the caller keeps headroom in front
   * @param slotSize bytes of each
   * @param endpointRows a row of the table for each message
   */
  constructor(
    arena: Uint8Array,
    slots: Int32Array,
    slotSize: number,
    endpoints: { readonly bytes: Uint8Array },
    endpointRows: readonly number[],
  ) {
    const count = slots.length;
    this.#messages = count;
    this.#slots = slots;
    this.#endpoints = endpoints;
    this.#endpointRows = endpointRows;
    this.#headers = allocate(count * (MMSGHDR + 16));
    this.#view = new DataView(this.#headers.buffer);
    this.#headersAddress = addressOf(this.#headers);
    this.#names = allocate(count * NAME_STRIDE);
    this.#control = allocate(count * CONTROL_SIZE);
    this.#controlView = new DataView(this.#control.buffer);
    const base = addressOf(arena);
    for (let i = 0; i < count; i++) {
      const iovec = count * MMSGHDR + i * 16;
      const at = i * MMSGHDR;
      putPointer(this.#view, at, addressOf(this.#names) + i * NAME_STRIDE);
      putPointer(this.#view, at + 16, this.#headersAddress + iovec);
      putPointer(this.#view, at + 24, 1);
      putPointer(this.#view, at + 32, addressOf(this.#control) + i * CONTROL_SIZE);
      putPointer(this.#view, iovec, base + slots[i]!);
      putPointer(this.#view, iovec + 8, slotSize);
    }
  }

  /**
   * Fills `rows` from the start with what has arrived. Takes no more messages than have room when all
   * are merged ones, so give {@link MAX_SEGMENTS} rows for each slot.
   * @returns messages read, or -errno; never throws
   */
  receive(socket: UdpSocket, rows: ReceivedRows): number {
    rows.count = 0;
    const room = socket.gro ? Math.max(1, Math.floor(rows.capacity / MAX_SEGMENTS)) : rows.capacity;
    const messages = Math.min(this.#messages, room);
    const view = this.#view;
    for (let i = 0; i < messages; i++) {
      view.setUint32(i * MMSGHDR + 8, NAME_SIZE, true);
      view.setUint32(i * MMSGHDR + 40, CONTROL_SIZE, true);
    }
    const got = recvmmsg(socket.fd, this.#headersAddress, messages, 0, 0);
    if (got < 0) return -errno();
    for (let i = 0; i < got; i++) this.#unpack(i, rows);
    return got;
  }

  #unpack(i: number, rows: ReceivedRows): void {
    const at = i * MMSGHDR;
    const total = this.#view.getUint32(at + 56, true);
    if ((this.#view.getUint32(at + 48, true) & MSG_TRUNC) !== 0) {
      this.lost++;
      return;
    }
    const endpointRow = this.#endpointRows[i]!;
    this.#source(i, endpointRow);
    const tos = this.#controls(i, this.#view.getUint32(at + 40, true), endpointRow);
    const segment = this.#segment > 0 && this.#segment < total ? this.#segment : total;
    let from = 0;
    do {
      if (rows.count === rows.capacity) {
        this.lost++;
        return;
      }
      const row = rows.count++;
      rows.offset[row] = this.#slots[i]! + from;
      rows.length[row] = Math.min(segment, total - from);
      rows.endpoint[row] = endpointRow;
      rows.tos[row] = tos;
      from += segment;
    } while (from < total);
  }

  /** The sender's socket address becomes an endpoint row. */
  #source(i: number, endpointRow: number): void {
    const bytes = this.#endpoints.bytes;
    const to = endpointRow * ENDPOINT_SIZE;
    const from = i * NAME_STRIDE;
    const names = this.#names;
    bytes.fill(0, to, to + ENDPOINT_SIZE);
    bytes[to + 2] = names[from + 2]!;
    bytes[to + 3] = names[from + 3]!;
    if (names[from] === AF_INET) {
      bytes[to] = 4;
      for (let k = 0; k < 4; k++) bytes[to + 4 + k] = names[from + 4 + k]!;
      return;
    }
    bytes[to] = 6;
    for (let k = 0; k < 16; k++) bytes[to + 4 + k] = names[from + 8 + k]!;
    // The scope id counts for link-local addresses alone.
    if (names[from + 8] === 0xfe && (names[from + 9]! & 0xc0) === 0x80) {
      for (let k = 0; k < 4; k++) bytes[to + 20 + k] = names[from + 24 + k]!;
    }
  }

  /** Reads the control messages: the address written to, the TOS (returned), the GRO segment size. */
  #controls(i: number, length: number, endpointRow: number): number {
    const view = this.#controlView;
    const bytes = this.#endpoints.bytes;
    const row = endpointRow * ENDPOINT_SIZE;
    const end = i * CONTROL_SIZE + Math.min(length, CONTROL_SIZE);
    let tos = 0;
    this.#segment = 0;
    for (let at = i * CONTROL_SIZE; at + CMSG_HEADER <= end; ) {
      const size = view.getUint32(at, true);
      if (size < CMSG_HEADER) break;
      const level = view.getInt32(at + 8, true);
      const type = view.getInt32(at + 12, true);
      const data = at + CMSG_HEADER;
      if (level === SOL_IP && type === IP_TOS) tos = view.getUint8(data);
      else if (level === SOL_IPV6 && type === IPV6_TCLASS) tos = view.getUint8(data);
      else if (level === SOL_UDP && type === UDP_GRO) this.#segment = view.getInt32(data, true);
      else if (level === SOL_IP && type === IP_PKTINFO) {
        bytes[row + 1] = 1;
        for (let k = 0; k < 4; k++) bytes[row + 24 + k] = this.#control[data + 4 + k]!;
        for (let k = 0; k < 4; k++) bytes[row + 40 + k] = this.#control[data + k]!;
      } else if (level === SOL_IPV6 && type === IPV6_PKTINFO) {
        bytes[row + 1] = 1;
        for (let k = 0; k < 20; k++) bytes[row + 24 + k] = this.#control[data + k]!;
      }
      at += (size + 7) & ~7;
    }
    return tos;
  }
}
