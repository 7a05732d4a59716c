/** The receiving end of sd_notify(3), which Node.js has no sockets for: a Unix datagram socket. */
import { addressOf, allocate } from '../../src/linux/ffi.js';
import { bind, check, close, recv, SOCK_DGRAM, SOCK_NONBLOCK, socket } from '../../src/linux/libc.js';

const AF_UNIX = 1;
const MAX_PATH = 108;

export class NotifySocket {
  readonly #fd: number = check(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), 'socket');
  readonly #buffer: Uint8Array = allocate(4096);

  /** @param path everybody may write to it */
  constructor(path: string) {
    const address = allocate(2 + MAX_PATH);
    address[0] = AF_UNIX;
    address.set(new TextEncoder().encode(path), 2);
    const umask = process.umask(0);
    check(bind(this.#fd, addressOf(address), address.length), 'bind');
    process.umask(umask);
  }

  /** @returns the next message, or undefined */
  receive(): string | undefined {
    const got = recv(this.#fd, addressOf(this.#buffer), this.#buffer.length, 0);
    return got < 0 ? undefined : new TextDecoder().decode(this.#buffer.subarray(0, got));
  }

  close(): void {
    close(this.#fd);
  }
}
