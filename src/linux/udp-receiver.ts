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

/**
 * Bytes to ask the socket for at once, as far as the last messages tell: merged ones are worked off while
 * they are in the processor's cache.
 */
const BYTES_AT_ONCE = 1 << 18;
const MIN_MESSAGES = 4;

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
  /** Messages to ask for. */
  #wanted: number;
  #asked = 0;
  /** Messages read, the one being worked off, and what of it is done: datagrams behind it are in `#segment`s. */
  #got = 0;
  #message = 0;
  #from = 0;
  #total = 0;
  #segment = 0;
  #tos = 0;
  /** Datagrams longer than their slot, and so lost; the owner takes and clears it. */
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
    this.#wanted = count;
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
      this.#view.setUint32(at + 8, NAME_SIZE, true);
      putPointer(this.#view, at + 24, 1);
      putPointer(this.#view, at + 32, addressOf(this.#control) + i * CONTROL_SIZE);
      putPointer(this.#view, at + 40, CONTROL_SIZE);
      putPointer(this.#view, iovec, base + slots[i]!);
      putPointer(this.#view, iovec + 8, slotSize);
    }
  }

  /** Whether datagrams are left that did not fit the rows. They are the next to be taken. */
  get waiting(): boolean {
    return this.#message < this.#got;
  }

  /** Whether the last reading found less than it asked for: the socket is empty, or was. */
  get drained(): boolean {
    return this.#message === this.#got && this.#got < this.#asked;
  }

  /**
   * Fills `rows` from the start: with what is left from the last time, or else with what has arrived.
   * @returns messages read, or -errno; 0 with rows that were left. Never throws
   */
  receive(socket: UdpSocket, rows: ReceivedRows): number {
    rows.count = 0;
    let read = 0;
    if (!this.waiting) {
      read = this.#read(socket);
      if (read < 0) return read;
    }
    while (this.#message < this.#got && this.#unpack(rows));
    return read;
  }

  #read(socket: UdpSocket): number {
    const view = this.#view;
    const wanted = socket.gro ? this.#wanted : this.#messages;
    // The kernel wrote over these in the messages it filled, and in no others.
    for (let i = 0; i < this.#got; i++) {
      view.setUint32(i * MMSGHDR + 8, NAME_SIZE, true);
      view.setUint32(i * MMSGHDR + 40, CONTROL_SIZE, true);
    }
    this.#asked = wanted;
    const got = recvmmsg(socket.fd, this.#headersAddress, wanted, 0, 0);
    this.#message = 0;
    this.#from = 0;
    this.#got = Math.max(0, got);
    if (got < 0) return -errno();
    let bytes = 0;
    for (let i = 0; i < got; i++) bytes += view.getUint32(i * MMSGHDR + 56, true);
    const fit = Math.floor((BYTES_AT_ONCE * got) / (bytes + 1));
    this.#wanted = Math.max(Math.min(MIN_MESSAGES, this.#messages), Math.min(this.#messages, fit));
    return got;
  }

  /** Makes rows of the present message. @returns whether all of it fitted; the next message is the present one then */
  #unpack(rows: ReceivedRows): boolean {
    const i = this.#message;
    const endpoint = this.#endpointRows[i]!;
    if (this.#from === 0 && !this.#begin(i, endpoint)) {
      this.#message++;
      this.lost++;
      return true;
    }
    do {
      if (rows.count === rows.capacity) return false;
      const row = rows.count++;
      rows.offset[row] = this.#slots[i]! + this.#from;
      rows.length[row] = Math.min(this.#segment, this.#total - this.#from);
      rows.endpoint[row] = endpoint;
      rows.tos[row] = this.#tos;
      this.#from += this.#segment;
    } while (this.#from < this.#total);
    this.#message++;
    this.#from = 0;
    return true;
  }

  /** @returns whether the message is whole */
  #begin(i: number, endpoint: number): boolean {
    const at = i * MMSGHDR;
    if ((this.#view.getUint32(at + 48, true) & MSG_TRUNC) !== 0) return false;
    this.#total = this.#view.getUint32(at + 56, true);
    this.#segment = 0;
    this.#source(i, endpoint);
    this.#tos = this.#controls(i, this.#view.getUint32(at + 40, true), endpoint);
    if (this.#segment <= 0 || this.#segment > this.#total) this.#segment = this.#total;
    return true;
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
