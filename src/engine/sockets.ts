/**
 * The device's sockets over its life: bound while it is up, rebound on another port, marked.
 */
import { Errno, SystemError } from '../linux/errno.js';
import { bindBoth, type UdpOptions, type UdpSocket } from '../linux/udp.js';

export class Sockets {
  all: readonly UdpSocket[] = [];
  readonly #options: UdpOptions;
  #port = 0;
  #fwmark = 0;
  /** Told after every change of `all`. */
  readonly #changed: () => void;

  constructor(options: UdpOptions, changed: () => void) {
    this.#options = options;
    this.#changed = changed;
  }

  get port(): number {
    return this.#port;
  }

  get fwmark(): number {
    return this.#fwmark;
  }

  /** Binds the port that was set, or that was had before. @returns 0 or a negative errno */
  open(): number {
    return this.all.length > 0 ? 0 : this.#bind(this.#port);
  }

  close(): void {
    this.#replace([]);
  }

  /**
   * Moves to another port; on failure the old one stays.
   * @param now binds it, though no port is bound yet
   * @returns 0 or a negative errno
   */
  setPort(port: number, now: boolean): number {
    if (this.all.length > 0 && port === this.#port) return 0;
    if (this.all.length > 0 || now) return this.#bind(port);
    this.#port = port;
    return 0;
  }

  setMark(fwmark: number): number {
    // Without CAP_NET_ADMIN even the mark that is there already is refused.
    if (fwmark === this.#fwmark) return 0;
    for (const socket of this.all) {
      if (!socket.setMark(fwmark)) return -Errno.EPERM;
    }
    this.#fwmark = fwmark;
    return 0;
  }

  #bind(port: number): number {
    try {
      const sockets = bindBoth(port, this.#fwmark, this.#options);
      this.#port = sockets[0]?.port ?? port;
      this.#replace(sockets);
      return 0;
    } catch (error) {
      if (error instanceof SystemError) return -error.errno;
      throw error;
    }
  }

  #replace(sockets: readonly UdpSocket[]): void {
    const before = this.all;
    this.all = sockets;
    this.#changed();
    for (const socket of before) socket.close();
  }
}
