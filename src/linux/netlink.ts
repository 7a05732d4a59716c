/** The little of rtnetlink(7) that is needed: to hear of changes, and to ask for a route. */
import { Errno } from './errno.js';
import { addressOf, allocate, errno } from './ffi.js';
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  bind,
  check,
  close,
  IFF_UP,
  recv,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  send,
  socket,
} from './libc.js';

const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV4_RULE = 0x80;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;
/** These two have a number alone: 1 << (RTNLGRP_IPV6_RULE - 1), 1 << (RTNLGRP_NEXTHOP - 1). */
const RTMGRP_IPV6_RULE = 0x40000;
const RTMGRP_NEXTHOP = 0x80000000;
export const LINK_GROUPS: number = RTMGRP_LINK;
export const ROUTING_GROUPS: number =
  (RTMGRP_LINK |
    RTMGRP_IPV4_IFADDR |
    RTMGRP_IPV4_ROUTE |
    RTMGRP_IPV4_RULE |
    RTMGRP_IPV6_IFADDR |
    RTMGRP_IPV6_ROUTE |
    RTMGRP_IPV6_RULE |
    RTMGRP_NEXTHOP) >>>
  0;

const RTM_NEWLINK = 16;
const RTM_SETLINK = 19;
const IFLA_IFNAME = 3;
const IFLA_GSO_MAX_SEGS = 40;
/** nlmsghdr and ifinfomsg. */
const LINK_HEADER = 32;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const RTA_MARK = 16;
const RTN_LOCAL = 2;
/** Of {@link RouteQuery.interfaceTo}: the destination is an address of this very system. */
export const LOCAL_ROUTE = -1;
/** nlmsghdr and rtmsg. */
const NL_HEADER = 16;
const ROUTE_HEADER = 28;
/** Messages taken from a socket at once; what is left shows in the next poll. */
const READS_AT_ONCE = 64;

/** A netlink socket; `groups` says which changes it hears of, 0 for none. */
function openNetlink(groups: number, flags: number): number {
  const fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, 0), 'socket AF_NETLINK');
  const address = allocate(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  try {
    check(bind(fd, addressOf(address), 12), 'bind AF_NETLINK');
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Says that something changed, not what; but of one link, that it was down. */
export class ChangeMonitor {
  readonly fd: number;
  readonly #buffer: Uint8Array = allocate(32768);
  readonly #view: DataView = new DataView(this.#buffer.buffer);
  readonly #address: number = addressOf(this.#buffer);
  #wasDown = false;

  constructor(groups: number) {
    this.fd = openNetlink(groups, SOCK_NONBLOCK);
  }

  /**
   * Reads what there is. @returns whether something changed; messages lost to an overflow count as changes
   * @param link index of the interface that {@link wasDown} is about, 0 for none
   */
  drain(link = 0): boolean {
    let changed = false;
    this.#wasDown = false;
    for (let i = 0; i < READS_AT_ONCE; i++) {
      const got = recv(this.fd, this.#address, this.#buffer.length, 0);
      if (got < 0 && errno() !== Errno.ENOBUFS) break;
      changed = true;
      if (got >= LINK_HEADER && this.#tellsDown(link)) this.#wasDown = true;
    }
    return changed;
  }

  /** Whether the changes that were read last had the link down at any time. */
  get wasDown(): boolean {
    return this.#wasDown;
  }

  close(): void {
    close(this.fd);
  }

  /** The kernel puts one change into one datagram. */
  #tellsDown(link: number): boolean {
    const view = this.#view;
    if (view.getUint16(4, true) !== RTM_NEWLINK || view.getUint32(NL_HEADER + 4, true) !== link) return false;
    return (view.getUint32(NL_HEADER + 8, true) & IFF_UP) === 0;
  }
}

/**
 * Limits the super-packets that the kernel makes for an interface of this thread's namespace.
 * @param segments at most; what the kernel does not take, it leaves as it was
 */
export function setGsoMaxSegments(name: string, segments: number): void {
  const bytes = new TextEncoder().encode(name);
  const memory = allocate(LINK_HEADER + 8 + 4 + 16);
  const view = new DataView(memory.buffer);
  view.setUint32(0, memory.length, true);
  view.setUint16(4, RTM_SETLINK, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  view.setUint16(LINK_HEADER, 8, true);
  view.setUint16(LINK_HEADER + 2, IFLA_GSO_MAX_SEGS, true);
  view.setUint32(LINK_HEADER + 4, segments, true);
  view.setUint16(LINK_HEADER + 8, 4 + bytes.length, true);
  view.setUint16(LINK_HEADER + 10, IFLA_IFNAME, true);
  memory.set(bytes, LINK_HEADER + 12);
  const fd = openNetlink(0, SOCK_NONBLOCK);
  send(fd, addressOf(memory), memory.length, 0);
  close(fd);
}

/** Asks the kernel which interface a datagram would leave by. */
export class RouteQuery {
  readonly fd: number;
  readonly #buffer: Uint8Array = allocate(4096);
  readonly #view: DataView = new DataView(this.#buffer.buffer);
  readonly #address: number = addressOf(this.#buffer);
  #sequence = 0;

  constructor() {
    // The kernel answers before send returns: no waiting, ever.
    this.fd = openNetlink(0, SOCK_NONBLOCK);
  }

  /**
   * @param bytes holds the destination and source addresses, at the offsets given
   * @returns the interface's index, 0 when there is no such route, or {@link LOCAL_ROUTE}
   */
  interfaceTo(family: 4 | 6, bytes: Uint8Array, destination: number, source: number, mark: number): number {
    const size = family === 4 ? 4 : 16;
    const view = this.#view;
    this.#buffer.fill(0, 0, 128);
    view.setUint16(4, RTM_GETROUTE, true);
    view.setUint16(6, NLM_F_REQUEST, true);
    this.#sequence = (this.#sequence + 1) >>> 0;
    view.setUint32(8, this.#sequence, true);
    view.setUint8(NL_HEADER, family === 4 ? AF_INET : AF_INET6);
    view.setUint8(NL_HEADER + 1, size * 8);
    view.setUint8(NL_HEADER + 2, size * 8);
    let at = this.#attribute(ROUTE_HEADER, RTA_DST, bytes, destination, size);
    at = this.#attribute(at, RTA_SRC, bytes, source, size);
    if (mark !== 0) {
      view.setUint16(at, 8, true);
      view.setUint16(at + 2, RTA_MARK, true);
      view.setUint32(at + 4, mark, true);
      at += 8;
    }
    view.setUint32(0, at, true);
    if (send(this.fd, this.#address, at, 0) < 0) return 0;
    for (;;) {
      const got = recv(this.fd, this.#address, this.#buffer.length, 0);
      if (got < NL_HEADER) return 0;
      // An answer that an earlier question did not wait for.
      if (view.getUint32(8, true) !== this.#sequence) continue;
      if (got < ROUTE_HEADER || view.getUint16(4, true) !== RTM_NEWROUTE) return 0;
      return view.getUint8(NL_HEADER + 7) === RTN_LOCAL ? LOCAL_ROUTE : this.#outputInterface(got);
    }
  }

  close(): void {
    close(this.fd);
  }

  #attribute(at: number, type: number, bytes: Uint8Array, from: number, size: number): number {
    this.#view.setUint16(at, 4 + size, true);
    this.#view.setUint16(at + 2, type, true);
    for (let k = 0; k < size; k++) this.#buffer[at + 4 + k] = bytes[from + k]!;
    return at + 4 + size;
  }

  #outputInterface(length: number): number {
    for (let at = ROUTE_HEADER; at + 4 <= length; ) {
      const size = this.#view.getUint16(at, true);
      if (size < 4) return 0;
      if (this.#view.getUint16(at + 2, true) === RTA_OIF) return this.#view.getUint32(at + 4, true);
      at += (size + 3) & ~3;
    }
    return 0;
  }
}
