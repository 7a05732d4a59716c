/** The little of rtnetlink(7) that is needed: to hear of changes, and to ask for a route. */
import { addressOf, allocate } from './ffi.js';
import { AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, bind, check, close, recv, send, socket } from './libc.js';
import { withNetns } from './netns.js';

const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV4_RULE = 0x80;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;
export const LINK_GROUPS: number = RTMGRP_LINK;
export const ROUTING_GROUPS: number =
  RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;

const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const RTA_MARK = 16;
/** nlmsghdr and rtmsg. */
const NL_HEADER = 16;
const ROUTE_HEADER = 28;
const ENOBUFS_RETRY = 64;

/** A netlink socket; `groups` says which changes it hears of, 0 for none. */
function openNetlink(groups: number, flags: number): number {
  const fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, 0), 'socket AF_NETLINK');
  const address = allocate(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  check(bind(fd, addressOf(address), 12), 'bind AF_NETLINK');
  return fd;
}

/** Says that something changed, not what. */
export class ChangeMonitor {
  readonly fd: number;
  readonly #buffer: Uint8Array = allocate(32768);
  readonly #address: number = addressOf(this.#buffer);

  /** @param netns a namespace, or undefined for this thread's */
  constructor(groups: number, netns?: number) {
    const make = (): number => openNetlink(groups, SOCK_NONBLOCK);
    this.fd = netns === undefined ? make() : withNetns(netns, make);
  }

  /** Reads what there is; an overflow counts as a change as well. */
  drain(): void {
    for (let i = 0; i < ENOBUFS_RETRY; i++) {
      if (recv(this.fd, this.#address, this.#buffer.length, 0) <= 0 && i > 0) return;
    }
  }

  close(): void {
    close(this.fd);
  }
}

/** Asks the kernel which interface a datagram would leave by. */
export class RouteQuery {
  readonly #fd: number;
  readonly #buffer: Uint8Array = allocate(4096);
  readonly #view: DataView = new DataView(this.#buffer.buffer);
  readonly #address: number = addressOf(this.#buffer);
  #sequence = 0;

  constructor() {
    this.#fd = openNetlink(0, 0);
  }

  /**
   * @param bytes holds the destination and source addresses, at the offsets given
   * @returns the interface's index, or 0 when there is no such route
   */
  interfaceTo(family: 4 | 6, bytes: Uint8Array, destination: number, source: number, mark: number): number {
    const size = family === 4 ? 4 : 16;
    const view = this.#view;
    this.#buffer.fill(0, 0, 128);
    view.setUint16(4, RTM_GETROUTE, true);
    view.setUint16(6, NLM_F_REQUEST, true);
    view.setUint32(8, ++this.#sequence, true);
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
    if (send(this.#fd, this.#address, at, 0) < 0) return 0;
    const got = recv(this.#fd, this.#address, this.#buffer.length, 0);
    return got < ROUTE_HEADER || view.getUint16(4, true) !== RTM_NEWROUTE ? 0 : this.#outputInterface(got);
  }

  close(): void {
    close(this.#fd);
  }

  #attribute(at: number, type: number, bytes: Uint8Array, from: number, size: number): number {
    this.#view.setUint16(at, 4 + size, true);
    this.#view.setUint16(at + 2, type, true);
    this.#buffer.set(bytes.subarray(from, from + size), at + 4);
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
