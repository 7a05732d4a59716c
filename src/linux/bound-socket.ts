/** Sockets that are bound here and used by another process: socket(2), bind(2). */
import { isIPv6 } from 'node:net';
import { Errno, SystemError } from './errno.js';
import { addressOf, allocate, cString, loadLibrary, type Native } from './ffi.js';
import {
  AF_INET,
  AF_INET6,
  bind,
  check,
  close,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  setsockopt,
  socket,
} from './libc.js';
import { scopeIndex } from './scopes.js';

const inetPton: Native = loadLibrary(null).func('inet_pton', 'int', ['int', 'pointer', 'pointer']);

const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

/**
 * @param address IPv4 or IPv6, `fe80::1%wg0` too; `::` takes IPv4 as well, as the system's bindv6only has it
 * @param port 0 lets the system choose
 * @returns the descriptor, which does not listen yet
 * @throws SystemError EINVAL for what is no address here, EADDRINUSE, EADDRNOTAVAIL, EACCES for a port below 1024
 */
export function bindSocket(type: 'tcp' | 'udp', address: string, port: number): number {
  const family = isIPv6(address) ? AF_INET6 : AF_INET;
  const size = family === AF_INET ? 16 : 28;
  const memory = allocate(32);
  const at = addressOf(memory);
  const view = new DataView(memory.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  const [plain = '', zone = ''] = address.split('%', 2);
  const text = cString(plain);
  if (inetPton(family, addressOf(text), at + (family === AF_INET ? 4 : 8)) !== 1) {
    throw new SystemError(Errno.EINVAL, 'inet_pton');
  }
  if (zone !== '') view.setUint32(24, Number(zone) || scopeIndex(zone) || 0, true);
  const kind = (type === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const fd = check(socket(family, kind, 0), 'socket');
  try {
    if (type === 'tcp') reuseAddress(fd);
    check(bind(fd, at, size), 'bind');
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** As every server does: connections of an earlier one in TIME_WAIT do not keep the port. */
function reuseAddress(fd: number): void {
  const one = allocate(4);
  one[0] = 1;
  check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, addressOf(one), 4), 'SO_REUSEADDR');
}
