/**
 * The TUN device: Documentation/networking/tuntap.rst, and a virtio_net_hdr of ten bytes in front of
 * each packet.
 */
import { Errno, SystemError } from './errno.js';
import { addressOf, allocate, errno } from './ffi.js';
import {
  AF_INET,
  check,
  close,
  F_GETFL,
  F_SETFL,
  fcntl,
  IFF_UP,
  ioctl,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  openPath,
  read,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  socket,
  write,
  writev,
} from './libc.js';
import { POLLOUT, Poller } from './poll.js';

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNGETDEVNETNS = 0x54e3;
const IFF_TUN = 0x1;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const SIOCGIFFLAGS = 0x8913;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCGIFINDEX = 0x8933;
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;

export const VNET_HEADER_SIZE = 10;
/**
 * Bits of {@link TunDevice.setOffload}.
 * @public
 */
export const Offload = { csum: 1, tso4: 2, tso6: 4, uso4: 0x20, uso6: 0x40 } as const;

export class TunDevice {
  readonly fd: number;
  /** Whether packets have a virtio_net_hdr: always, on devices of our own. */
  readonly vnetHeader: boolean;
  readonly #request: Uint8Array = allocate(IFREQ_SIZE);
  readonly #view: DataView = new DataView(this.#request.buffer);
  readonly #address: number = addressOf(this.#request);
  readonly #poller: Poller = new Poller(1);

  /**
   * Makes a device, or attaches to a persistent one nobody is attached to.
   * @param name at most 15 bytes; may hold one `%d` for the kernel to complete
   * @throws SystemError ENOENT, ENODEV no /dev/net/tun; EPERM, EACCES not permitted; EBUSY the name is taken;
   *   EINVAL an impossible name
   */
  static create(name: string): TunDevice {
    const fd = openPath('/dev/net/tun', O_RDWR | O_CLOEXEC | O_NONBLOCK);
    try {
      const request = allocate(IFREQ_SIZE);
      const bytes = new TextEncoder().encode(name);
      if (bytes.length === 0 || bytes.length >= IFNAMSIZ) throw new SystemError(Errno.EINVAL, 'TUNSETIFF');
      request.set(bytes);
      new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, true);
      check(ioctl(fd, TUNSETIFF, addressOf(request)), 'TUNSETIFF');
      return new TunDevice(fd);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /**
   * @param fd an open TUN made with IFF_NO_PI; this object owns it from now on. (That flag cannot be
   *   checked: TUNGETIFF has IFF_NOFILTER in the same bit.)
   * @throws SystemError when it is none, or one with Ethernet frames (EINVAL)
   */
  constructor(fd: number) {
    this.fd = fd;
    this.#poller.set(0, fd, POLLOUT);
    check(ioctl(fd, TUNGETIFF, this.#address), 'TUNGETIFF');
    const flags = this.#view.getUint16(IFNAMSIZ, true);
    if ((flags & IFF_TUN) === 0) throw new SystemError(Errno.EINVAL, 'TUNGETIFF');
    this.vnetHeader = (flags & IFF_VNET_HDR) !== 0;
    if (this.vnetHeader) this.#setHeaderSize();
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  }

  /**
   * The present name, or undefined when the device was deleted.
   * @throws SystemError EBADF when something else closed the descriptor
   */
  name(): string | undefined {
    this.#request.fill(0);
    if (ioctl(this.fd, TUNGETIFF, this.#address) < 0) {
      if (errno() === Errno.EBADF) throw new SystemError(Errno.EBADF, 'TUNGETIFF');
      return undefined;
    }
    const end = this.#request.indexOf(0);
    return new TextDecoder().decode(this.#request.subarray(0, Math.min(end, IFNAMSIZ)));
  }

  /** @returns whether the kernel will hand over such packets */
  setOffload(bits: number): boolean {
    return ioctl(this.fd, TUNSETOFFLOAD, bits) === 0;
  }

  /** Reads one packet, virtio header first if there is one. @returns its bytes, or -errno */
  read(address: number, size: number): number {
    const got = read(this.fd, address, size);
    return got < 0 ? -errno() : got;
  }

  /** Writes one packet, virtio header first if there is one. @returns bytes, or -errno */
  write(address: number, size: number): number {
    const sent = write(this.fd, address, size);
    return sent < 0 ? -errno() : sent;
  }

  /** Writes one packet from pieces: `count` iovecs. */
  writev(iovecs: number, count: number): number {
    const sent = writev(this.fd, iovecs, count);
    return sent < 0 ? -errno() : sent;
  }

  /** A descriptor of the network namespace the device is in. @throws SystemError */
  netns(): number {
    return check(ioctl(this.fd, TUNGETDEVNETNS, 0), 'TUNGETDEVNETNS');
  }

  /** Whether the interface is up, as the descriptor alone can tell. */
  isUp(): boolean {
    this.#poller.wait(0);
    return (this.#poller.got(0) & POLLOUT) !== 0;
  }

  /** The device goes with it, persistent or not. */
  close(): void {
    ioctl(this.fd, TUNSETPERSIST, 0);
    close(this.fd);
  }

  /** Whoever made the device may have chosen a longer header (of 12 bytes, as virtual machines use). */
  #setHeaderSize(): void {
    this.#view.setInt32(0, VNET_HEADER_SIZE, true);
    check(ioctl(this.fd, TUNSETVNETHDRSZ, this.#address), 'TUNSETVNETHDRSZ');
  }
}

/** Asks and sets properties of interfaces in the namespace it was opened in: netdevice(7). */
export class InterfaceControl {
  readonly fd: number;
  readonly #request: Uint8Array = allocate(IFREQ_SIZE);
  readonly #view: DataView = new DataView(this.#request.buffer);
  readonly #address: number = addressOf(this.#request);

  constructor() {
    this.fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
  }

  isUp(name: string): boolean | undefined {
    return this.#call(SIOCGIFFLAGS, name) ? (this.#view.getUint16(IFNAMSIZ, true) & IFF_UP) !== 0 : undefined;
  }

  index(name: string): number | undefined {
    return this.#call(SIOCGIFINDEX, name) ? this.#view.getInt32(IFNAMSIZ, true) : undefined;
  }

  mtu(name: string): number | undefined {
    return this.#call(SIOCGIFMTU, name) ? this.#view.getInt32(IFNAMSIZ, true) : undefined;
  }

  setMtu(name: string, mtu: number): boolean {
    return this.#call(SIOCSIFMTU, name, mtu);
  }

  close(): void {
    close(this.fd);
  }

  #call(request: number, name: string, value = 0): boolean {
    this.#request.fill(0);
    this.#request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
    this.#view.setInt32(IFNAMSIZ, value, true);
    return ioctl(this.fd, request, this.#address) === 0;
  }
}
