/** To make descriptors misbehave: options set on them, others put in their place, those of another process taken. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { addressOf, allocate, loadLibrary } from '../../src/linux/ffi.js';
import { check, close, ioctl, O_RDWR, openPath, setsockopt } from '../../src/linux/libc.js';

export const SOL_SOCKET = 1;
export const SO_NO_CHECK = 11;
export const SOL_UDP = 17;

export function setOption(fd: number, level: number, option: number, value: number): void {
  const memory = allocate(4);
  new DataView(memory.buffer).setInt32(0, value, true);
  check(setsockopt(fd, level, option, addressOf(memory), 4), 'setsockopt');
}

const TUNSETIFF = 0x400454ca;
export const IFF_TUN_NO_PI = 0x1001;

/** A TUN device, as others than typetun may make it. */
export function openTun(name: string, flags: number): number {
  const fd = openPath('/dev/net/tun', O_RDWR);
  const request = allocate(40);
  request.set(Buffer.from(name));
  new DataView(request.buffer).setUint16(16, flags, true);
  check(ioctl(fd, TUNSETIFF, addressOf(request)), 'TUNSETIFF');
  return fd;
}

const dup2 = loadLibrary(null).func('dup2', 'int', ['int', 'int']);

/** Puts `other` in the place of `fd`, and closes it. */
export function replace(fd: number, other: number): void {
  check(dup2(other, fd), 'dup2');
  close(other);
}

const syscall = loadLibrary(null).func('syscall', 'long', ['long', 'long', 'long', 'long']);
// The same on every architecture.
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;

/**
 * A descriptor of another process: what is set on it here is set there, as it is the same open file.
 * @param isWanted is told what a descriptor is, as /proc/PID/fd does
 * @returns to be closed
 */
function borrow(pid: number, isWanted: (link: string) => boolean): number {
  const descriptors = readdirSync(`/proc/${pid}/fd`);
  const wanted = descriptors.find((fd) => isWanted(readlinkSync(`/proc/${pid}/fd/${fd}`)));
  if (wanted === undefined) throw new Error(`process ${pid} has no such descriptor`);
  const process = check(syscall(PIDFD_OPEN, pid, 0, 0), 'pidfd_open');
  try {
    return check(syscall(PIDFD_GETFD, process, Number(wanted), 0), 'pidfd_getfd');
  } finally {
    close(process);
  }
}

export function borrowTun(pid: number): number {
  return borrow(pid, (link) => link === '/dev/net/tun');
}

/** The UDP socket of IPv4 that is bound to a port. */
export function borrowUdp(pid: number, port: number): number {
  // The columns of /proc/net/udp: sl, local address and port (hexadecimal), remote ones, ..., inode.
  const rows = readFileSync(`/proc/${pid}/net/udp`, 'utf8')
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  const inode = rows.find(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16) === port)?.[9];
  return borrow(pid, (link) => link === `socket:[${inode}]`);
}
