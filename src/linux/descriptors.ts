/** Open descriptors handed from process to process: SCM_RIGHTS of unix(7), and dup2(2). */
import { Errno, SystemError } from './errno.js';
import { addressOf, allocate, errno, loadLibrary, type Native } from './ffi.js';
import { check, close, O_CLOEXEC, O_RDWR, openPath, putPointer, SOCK_CLOEXEC, sendmsg } from './libc.js';

const library = loadLibrary(null);
const socketpair: Native = library.func('socketpair', 'int', ['int', 'int', 'int', 'pointer']);
const recvmsg: Native = library.func('recvmsg', 'ssize', ['int', 'pointer', 'int']);
const dup2: Native = library.func('dup2', 'int', ['int', 'int']);

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const ETOOMANYREFS = 109;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

// One block: msghdr, its iovec, a number that goes with the descriptor, cmsghdr with one int.
const IOVEC_AT = 56;
const TAG_AT = 72;
const TAG_SIZE = 4;
const CONTROL_AT = 80;
const CONTROL_SPACE = 24;
const CONTROL_LENGTH = 20;
const BLOCK = CONTROL_AT + CONTROL_SPACE;

/** Two ends that descriptors can be passed between, one at a time. @throws SystemError */
export function descriptorPair(): [number, number] {
  const pair = allocate(8);
  check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, addressOf(pair)), 'socketpair');
  const view = new DataView(pair.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

function messageBlock(): { readonly view: DataView; readonly address: number } {
  const block = allocate(BLOCK);
  const view = new DataView(block.buffer);
  const address = addressOf(block);
  putPointer(view, 16, address + IOVEC_AT);
  view.setUint32(24, 1, true);
  putPointer(view, 32, address + CONTROL_AT);
  view.setUint32(40, CONTROL_SPACE, true);
  putPointer(view, IOVEC_AT, address + TAG_AT);
  view.setUint32(IOVEC_AT + 8, TAG_SIZE, true);
  return { view, address };
}

/**
 * Passes a copy of `fd` on; the sender's own stays open.
 * @param tag 32 bits that the receiver gets with it
 * @returns false when too many are under way: try again later
 * @throws SystemError
 */
export function sendDescriptor(channel: number, fd: number, tag: number): boolean {
  const { view, address } = messageBlock();
  view.setUint32(TAG_AT, tag, true);
  view.setUint32(CONTROL_AT, CONTROL_LENGTH, true);
  view.setUint32(CONTROL_AT + 8, SOL_SOCKET, true);
  view.setUint32(CONTROL_AT + 12, SCM_RIGHTS, true);
  view.setInt32(CONTROL_AT + 16, fd, true);
  if (sendmsg(channel, address, MSG_DONTWAIT) >= 0) return true;
  const error = errno();
  if (error === Errno.EAGAIN || error === ETOOMANYREFS) return false;
  throw new SystemError(error, 'sendmsg');
}

export interface PassedDescriptor {
  readonly tag: number;
  /** Closed on exec; undefined when it was lost, as this process may have no more. */
  readonly fd?: number;
}

/** Takes the next descriptor that was passed. @returns undefined when there is none. @throws SystemError */
export function receiveDescriptor(channel: number): PassedDescriptor | undefined {
  const { view, address } = messageBlock();
  const got = recvmsg(channel, address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && errno() === Errno.EAGAIN) return undefined;
  if (check(got, 'recvmsg') === 0) throw new SystemError(Errno.EPIPE, 'recvmsg');
  const tag = view.getUint32(TAG_AT, true);
  const isThere = view.getUint32(40, true) >= CONTROL_LENGTH && view.getUint32(CONTROL_AT + 12, true) === SCM_RIGHTS;
  return isThere ? { tag, fd: view.getInt32(CONTROL_AT + 16, true) } : { tag };
}

/**
 * Lets descriptors lead to /dev/null from now on, so that others see their end. @throws SystemError
 * @public
 */
export function detach(...fds: readonly number[]): void {
  const nothing = openPath('/dev/null', O_RDWR | O_CLOEXEC);
  for (const fd of fds) {
    if (dup2(nothing, fd) < 0) throw new SystemError(errno(), 'dup2');
  }
  close(nothing);
}
