/** The system calls this project makes, declared once. Results below zero: ask {@link errno}. */
import { SystemError } from './errno.js';
import { addressOf, cString, errno, loadLibrary, type Native } from './ffi.js';

const library = loadLibrary(null);

const open: Native = library.func('open', 'int', ['pointer', 'int']);
export const close: Native = library.func('close', 'int', ['int']);
export const read: Native = library.func('read', 'ssize', ['int', 'pointer', 'size']);
export const write: Native = library.func('write', 'ssize', ['int', 'pointer', 'size']);
export const writev: Native = library.func('writev', 'ssize', ['int', 'pointer', 'int']);
export const ioctl: Native = library.func('ioctl', 'int', ['int', 'ulong', 'pointer']);
export const fcntl: Native = library.func('fcntl', 'int', ['int', 'int', 'long']);
export const ppoll: Native = library.func('ppoll', 'int', ['pointer', 'ulong', 'pointer', 'pointer']);
export const eventfd: Native = library.func('eventfd', 'int', ['uint', 'int']);
export const clockGetTime: Native = library.func('clock_gettime', 'int', ['int', 'pointer']);
export const socket: Native = library.func('socket', 'int', ['int', 'int', 'int']);
export const bind: Native = library.func('bind', 'int', ['int', 'pointer', 'u32']);
export const getsockname: Native = library.func('getsockname', 'int', ['int', 'pointer', 'pointer']);
export const setsockopt: Native = library.func('setsockopt', 'int', ['int', 'int', 'int', 'pointer', 'u32']);
export const send: Native = library.func('send', 'ssize', ['int', 'pointer', 'size', 'int']);
export const recv: Native = library.func('recv', 'ssize', ['int', 'pointer', 'size', 'int']);
export const sendmsg: Native = library.func('sendmsg', 'ssize', ['int', 'pointer', 'int']);
export const recvmmsg: Native = library.func('recvmmsg', 'int', ['int', 'pointer', 'uint', 'int', 'pointer']);
export const setns: Native = library.func('setns', 'int', ['int', 'int']);
export const madvise: Native = library.func('madvise', 'int', ['pointer', 'size', 'int']);
export const mallocTrim: Native = library.func('malloc_trim', 'int', ['size']);
export const setrlimit: Native = library.func('setrlimit', 'int', ['int', 'pointer']);

export const F_GETFL = 3;
export const F_SETFL = 4;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
/** A place, which may not even be read. */
export const O_PATH = 0o10000000;
/** Of an interface: netdevice(7). */
export const IFF_UP = 1;
/** Of a process, setrlimit(2): open files. */
export const RLIMIT_NOFILE = 7;
export const SOCK_NONBLOCK: number = O_NONBLOCK;
export const SOCK_CLOEXEC: number = O_CLOEXEC;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;

/** @returns `result` if it is not negative. @throws SystemError otherwise */
export function check(result: number, syscall: string): number {
  if (result < 0) throw new SystemError(errno(), syscall);
  return result;
}

/** Writes a pointer-sized little-endian number. */
export function putPointer(view: DataView, at: number, value: number): void {
  const high = value < 2 ** 32 ? 0 : Math.floor(value / 2 ** 32);
  view.setUint32(at, value - high * 2 ** 32, true);
  view.setUint32(at + 4, high, true);
}

export function openPath(path: string, flags: number): number {
  const name = cString(path);
  return check(open(addressOf(name), flags), `open ${path}`);
}
