/**
 * The UDP sockets of a device: one for each family, on one port. udp(7), ip(7), ipv6(7).
 */
import { Errno, SystemError } from './errno.js';
import { addressOf, allocate, errno } from './ffi.js';
import {
  AF_INET,
  AF_INET6,
  bind,
  check,
  close,
  getsockname,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  setsockopt,
  socket,
} from './libc.js';

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_MARK = 36;
const SOL_IP = 0;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;
const IP_RECVTOS = 13;
const SOL_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_RECVTCLASS = 66;
const IPV6_AUTOFLOWLABEL = 70;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
/** Both *_PMTUDISC_DONT: DF clear, fragment where the path is narrow. */
const PMTUDISC_DONT = 0;
const BUFFER_BYTES = 7 << 20;
/** A port chosen for one family may be taken in the other. */
const PORT_ATTEMPTS = 16;

export interface UdpOptions {
  /** Probe and use UDP GRO and UDP GSO. */
  readonly gro: boolean;
  readonly gso: boolean;
}

export class UdpSocket {
  readonly fd: number;
  readonly family: 4 | 6;
  readonly port: number;
  readonly gro: boolean;
  /** Cleared for good when a send shows that the kernel or the interface cannot. */
  gso: boolean;

  /** @throws SystemError EAFNOSUPPORT, EADDRINUSE, EPERM */
  constructor(family: 4 | 6, port: number, fwmark: number, options: UdpOptions) {
    this.family = family;
    const type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.fd = check(socket(family === 4 ? AF_INET : AF_INET6, type, 0), 'socket');
    try {
      this.#setUp(fwmark);
      this.port = this.#bind(port);
      this.gro = options.gro && this.#set(SOL_UDP, UDP_GRO, 1);
      this.gso = options.gso && this.#set(SOL_UDP, UDP_SEGMENT, 0);
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** SO_MARK. @returns false without CAP_NET_ADMIN */
  setMark(fwmark: number): boolean {
    return this.#set(SOL_SOCKET, SO_MARK, fwmark);
  }

  close(): void {
    close(this.fd);
  }

  #setUp(fwmark: number): void {
    if (this.family === 4) {
      this.#set(SOL_IP, IP_PKTINFO, 1);
      this.#set(SOL_IP, IP_RECVTOS, 1);
      this.#set(SOL_IP, IP_MTU_DISCOVER, PMTUDISC_DONT);
    } else {
      this.#set(SOL_IPV6, IPV6_V6ONLY, 1);
      this.#set(SOL_IPV6, IPV6_RECVPKTINFO, 1);
      this.#set(SOL_IPV6, IPV6_RECVTCLASS, 1);
      this.#set(SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT);
      // A flow label would tell the inner flows apart.
      this.#set(SOL_IPV6, IPV6_AUTOFLOWLABEL, 0);
    }
    // Without CAP_NET_ADMIN the system's own limit holds.
    if (!this.#set(SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)) this.#set(SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    if (!this.#set(SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)) this.#set(SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    if (fwmark !== 0 && !this.setMark(fwmark)) throw new SystemError(errno(), 'SO_MARK');
  }

  #set(level: number, option: number, value: number): boolean {
    const memory = allocate(4);
    new DataView(memory.buffer).setUint32(0, value, true);
    return setsockopt(this.fd, level, option, addressOf(memory), 4) === 0;
  }

  #bind(port: number): number {
    const size = this.family === 4 ? 16 : 28;
    const memory = allocate(32);
    const view = new DataView(memory.buffer);
    const address = addressOf(memory);
    view.setUint16(0, this.family === 4 ? AF_INET : AF_INET6, true);
    view.setUint16(2, port);
    check(bind(this.fd, address, size), 'bind');
    const length = allocate(4);
    length[0] = size;
    check(getsockname(this.fd, address, addressOf(length)), 'getsockname');
    return view.getUint16(2);
  }
}

/**
 * Binds both families to one port; a family the system does not have is left out.
 * @param port 0 lets the system choose
 * @throws SystemError EADDRINUSE, EPERM for a mark, EAFNOSUPPORT when there is no family at all
 */
export function bindBoth(port: number, fwmark: number, options: UdpOptions): UdpSocket[] {
  for (let attempt = 1; ; attempt++) {
    const first = open4(port, fwmark, options);
    try {
      const second = new UdpSocket(6, first?.port ?? port, fwmark, options);
      return first ? [first, second] : [second];
    } catch (error) {
      const known = error instanceof SystemError;
      if (first && known && isMissingFamily(error)) return [first];
      first?.close();
      const retry = first && port === 0 && attempt < PORT_ATTEMPTS;
      if (!(retry && known && error.errno === Errno.EADDRINUSE)) throw error;
    }
  }
}

function open4(port: number, fwmark: number, options: UdpOptions): UdpSocket | undefined {
  try {
    return new UdpSocket(4, port, fwmark, options);
  } catch (error) {
    if (error instanceof SystemError && isMissingFamily(error)) return undefined;
    throw error;
  }
}

function isMissingFamily(error: SystemError): boolean {
  return error.errno === Errno.EAFNOSUPPORT || error.errno === Errno.EADDRNOTAVAIL;
}
