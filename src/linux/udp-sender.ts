/**
 * Sending batches of datagrams: runs to one place become one sendmsg(2) with UDP_SEGMENT.
 *
 * A source address the peer wrote to is kept (PKTINFO) for as long as the routing state agrees.
 */
import { Errno } from './errno.js';
import { addressOf, allocate, errno } from './ffi.js';
import { AF_INET, AF_INET6, putPointer, sendmsg } from './libc.js';
import { LOCAL_ROUTE, type RouteQuery } from './netlink.js';
import { POLLOUT, Poller } from './poll.js';
import type { UdpSocket } from './udp.js';

/** The columns that are read; core's PacketBatch fits. Rows of length below zero are none. */
export interface SentRows {
  readonly count: number;
  readonly offset: Int32Array;
  readonly length: Int32Array;
  readonly endpoint: Int32Array;
  readonly tos: Uint8Array;
  /** Below zero: an answer to no peer, which leaves from the address written to, whatever the routes say. */
  readonly peer: Int32Array;
}

/** Of one message: UDP_MAX_SEGMENTS of older kernels, and what fits an IPv4 packet. */
const MAX_SEGMENTS = 64;
const MAX_BYTES = 65507;

/** @returns how many datagrams of so many bytes one message takes: 1 at least */
export function segmentsOfMessage(bytes: number): number {
  return Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_BYTES / bytes)));
}

/** A datagram that every path carries whole: what every host takes (RFC 791, section 3.1), less IP and UDP header. */
const FITS_ANY_PATH = 576 - 28;

const SOL_IP = 0;
const IP_TOS = 1;
const IP_PKTINFO = 8;
const SOL_IPV6 = 41;
const IPV6_PKTINFO = 50;
const IPV6_TCLASS = 67;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const CMSG_HEADER = 16;

const ENDPOINT_SIZE = 48;
const HAS_SOURCE = 1;
const SUPPRESSED = 2;
const GENERATION = 44;

// The message's memory: msghdr, name, control, iovecs.
const NAME = 64;
const CONTROL = 96;
const IOVECS = 256;

/** With a source set, these may mean no more than that the source is gone. */
const ROUTING_ERRORS: readonly number[] = [
  Errno.EINVAL,
  Errno.EACCES,
  Errno.ENODEV,
  Errno.EADDRNOTAVAIL,
  Errno.ENETUNREACH,
  Errno.EHOSTUNREACH,
  Errno.ENETDOWN,
];
/** How long a full socket is waited for, once in a batch, before datagrams are dropped. */
const FULL_WAIT_MS = 5;

function socketOf(sockets: readonly UdpSocket[], family: number): UdpSocket | undefined {
  for (let i = 0; i < sockets.length; i++) {
    if (sockets[i]!.family === family) return sockets[i];
  }
  return undefined;
}

export class UdpSender {
  readonly #endpoints: { readonly bytes: Uint8Array };
  readonly #base: number;
  readonly #memory: Uint8Array = allocate(IOVECS + MAX_SEGMENTS * 16);
  readonly #view: DataView = new DataView(this.#memory.buffer);
  readonly #address: number = addressOf(this.#memory);
  readonly #poller: Poller = new Poller(1);
  readonly #routes: RouteQuery | undefined;
  /** Counts changes of the routing state; the owner increases it. Starts at 1: rows say 0 for "never checked". */
  generation = 1;
  fwmark = 0;
  /** Datagrams not sent because the socket was full, or for another error; the owner takes and clears them. */
  full = 0;
  failed = 0;
  lastError = 0;
  #mayWait = true;

  constructor(arena: Uint8Array, endpoints: { readonly bytes: Uint8Array }, routes: RouteQuery | undefined) {
    this.#base = addressOf(arena);
    this.#endpoints = endpoints;
    this.#routes = routes;
    putPointer(this.#view, 0, this.#address + NAME);
    putPointer(this.#view, 16, this.#address + IOVECS);
    putPointer(this.#view, 32, this.#address + CONTROL);
  }

  /** Sources are checked again before they are used. */
  routesChanged(): void {
    this.generation = (this.generation + 1) >>> 0 || 1;
  }

  /** Sends every row of the batch. Never throws. */
  send(sockets: readonly UdpSocket[], rows: SentRows): void {
    this.#mayWait = true;
    for (let row = 0; row < rows.count; ) {
      if (rows.length[row]! < 0) {
        row++;
        continue;
      }
      const socket = socketOf(sockets, this.#endpoints.bytes[rows.endpoint[row]! * ENDPOINT_SIZE]!);
      if (!socket) {
        this.failed++;
        this.lastError = Errno.EAFNOSUPPORT;
        row++;
        continue;
      }
      row = this.#sendRun(socket, rows, row, socket.gso ? MAX_SEGMENTS : 1);
    }
  }

  /** Sends the run that starts at `row`. @returns the first row after it */
  #sendRun(socket: UdpSocket, rows: SentRows, row: number, limit: number): number {
    const segment = rows.length[row]!;
    const endpoint = rows.endpoint[row]!;
    const tos = rows.tos[row]!;
    let next = row;
    let count = 0;
    let bytes = 0;
    while (next < rows.count && count < limit) {
      const length = rows.length[next]!;
      if (length >= 0) {
        if (count > 0) {
          // An empty datagram would be lost in a run: it adds no byte to it.
          if (rows.endpoint[next] !== endpoint || rows.tos[next] !== tos || length > segment || length === 0) break;
          if (bytes + length > MAX_BYTES) break;
        }
        this.#iovec(count++, this.#base + rows.offset[next]!, length);
        bytes += length;
        if (length < segment) {
          next++;
          break;
        }
      }
      next++;
    }
    if (rows.peer[row]! >= 0) this.#checkSource(this.#endpoints.bytes, endpoint * ENDPOINT_SIZE);
    const error = this.#sendMessage(socket, endpoint, tos, count, segment);
    if (error === 0) return next;
    if (count > 1 && (error === Errno.EIO || error === Errno.EINVAL || error === Errno.EMSGSIZE)) {
      // EMSGSIZE, and EINVAL before Linux 6.14: this path is narrower than a segment. Else this socket cannot at all.
      const isNarrow = error === Errno.EMSGSIZE || (error === Errno.EINVAL && segment > FITS_ANY_PATH);
      if (!isNarrow) socket.gso = false;
      for (let single = row; single < next; ) {
        if (rows.length[single]! < 0) single++;
        else single = this.#sendRun(socket, rows, single, 1);
      }
      return next;
    }
    if (error === Errno.EAGAIN) this.full += count;
    else this.failed += count;
    this.lastError = error;
    return next;
  }

  #iovec(i: number, address: number, length: number): void {
    putPointer(this.#view, IOVECS + i * 16, address);
    putPointer(this.#view, IOVECS + i * 16 + 8, length);
  }

  /** @returns 0, or an errno */
  #sendMessage(socket: UdpSocket, endpoint: number, tos: number, count: number, segment: number): number {
    const bytes = this.#endpoints.bytes;
    const row = endpoint * ENDPOINT_SIZE;
    this.#name(bytes, row);
    const withSource = (bytes[row + 1]! & (HAS_SOURCE | SUPPRESSED)) === HAS_SOURCE;
    let error = this.#attempt(socket, bytes, row, withSource, tos, count, segment);
    if (error !== 0 && withSource && ROUTING_ERRORS.includes(error)) {
      const fallback = this.#attempt(socket, bytes, row, false, tos, count, segment);
      // EINVAL may also have meant segmentation: then the source was not to blame.
      if (fallback === 0) bytes[row + 1]! |= SUPPRESSED;
      error = fallback;
    }
    return error;
  }

  #attempt(
    socket: UdpSocket,
    bytes: Uint8Array,
    row: number,
    withSource: boolean,
    tos: number,
    count: number,
    segment: number,
  ): number {
    const family = bytes[row]!;
    let at = this.#controlInt(CONTROL, family === 4 ? SOL_IP : SOL_IPV6, family === 4 ? IP_TOS : IPV6_TCLASS, tos);
    if (withSource) at = this.#controlSource(at, bytes, row);
    if (count > 1) {
      this.#controlInt(at, SOL_UDP, UDP_SEGMENT, segment);
      this.#view.setUint32(at, CMSG_HEADER + 2, true);
      at += CMSG_HEADER + 8;
    }
    const view = this.#view;
    view.setUint32(8, family === 4 ? 16 : 28, true);
    putPointer(view, 24, count);
    putPointer(view, 40, at - CONTROL);
    if (sendmsg(socket.fd, this.#address, 0) >= 0) return 0;
    const error = errno();
    if (error !== Errno.EAGAIN || !this.#mayWait) return error;
    this.#mayWait = false;
    this.#poller.set(0, socket.fd, POLLOUT);
    this.#poller.wait(FULL_WAIT_MS);
    return sendmsg(socket.fd, this.#address, 0) >= 0 ? 0 : errno();
  }

  #name(bytes: Uint8Array, row: number): void {
    const memory = this.#memory;
    const v4 = bytes[row] === 4;
    this.#view.setUint16(NAME, v4 ? AF_INET : AF_INET6, true);
    memory[NAME + 2] = bytes[row + 2]!;
    memory[NAME + 3] = bytes[row + 3]!;
    this.#view.setUint32(NAME + 4, 0, true);
    const at = v4 ? NAME + 4 : NAME + 8;
    for (let k = 0; k < (v4 ? 4 : 16); k++) memory[at + k] = bytes[row + 4 + k]!;
    if (!v4) for (let k = 0; k < 4; k++) memory[NAME + 24 + k] = bytes[row + 20 + k]!;
  }

  #controlInt(at: number, level: number, type: number, value: number): number {
    this.#view.setUint32(at, CMSG_HEADER + 4, true);
    this.#view.setUint32(at + 4, 0, true);
    this.#view.setInt32(at + 8, level, true);
    this.#view.setInt32(at + 12, type, true);
    this.#view.setInt32(at + 16, value, true);
    return at + CMSG_HEADER + 8;
  }

  #controlSource(at: number, bytes: Uint8Array, row: number): number {
    const view = this.#view;
    const v4 = bytes[row] === 4;
    const size = v4 ? 12 : 20;
    view.setUint32(at, CMSG_HEADER + size, true);
    view.setUint32(at + 4, 0, true);
    view.setInt32(at + 8, v4 ? SOL_IP : SOL_IPV6, true);
    view.setInt32(at + 12, v4 ? IP_PKTINFO : IPV6_PKTINFO, true);
    const data = at + CMSG_HEADER;
    for (let at = data; at < data + 24; at += 8) view.setFloat64(at, 0, true);
    if (v4) for (let k = 0; k < 4; k++) this.#memory[data + 4 + k] = bytes[row + 24 + k]!;
    else {
      for (let k = 0; k < 16; k++) this.#memory[data + k] = bytes[row + 24 + k]!;
      for (let k = 0; k < 4; k++) this.#memory[data + 16 + k] = bytes[row + 20 + k]!;
    }
    return at + CMSG_HEADER + ((size + 7) & ~7);
  }

  /** After a change of the routing state: would the datagram still leave where the peer's came in? */
  #checkSource(bytes: Uint8Array, row: number): void {
    const scoped = (bytes[row + 20]! | bytes[row + 21]! | bytes[row + 22]! | bytes[row + 23]!) !== 0;
    if ((bytes[row + 1]! & HAS_SOURCE) === 0 || !this.#routes || scoped) return;
    const at = row + GENERATION;
    const checked = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
    if (checked === this.generation) return;
    const family = bytes[row] === 4 ? 4 : 6;
    const index =
      (bytes[row + 40]! | (bytes[row + 41]! << 8) | (bytes[row + 42]! << 16) | (bytes[row + 43]! << 24)) >>> 0;
    const leaves = this.#routes.interfaceTo(family, bytes, row + 4, row + 24, this.fwmark);
    // What came from this very system arrived at the address's interface, and leaves by lo.
    if (leaves === index || leaves === LOCAL_ROUTE) bytes[row + 1]! &= ~SUPPRESSED;
    else bytes[row + 1]! |= SUPPRESSED;
    for (let k = 0; k < 4; k++) bytes[at + k] = this.generation >>> (8 * k);
  }
}
