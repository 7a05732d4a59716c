/** In the helper: sockets made inside, for the owner outside. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { bindSocket } from '../linux/bound-socket.js';
import { close } from '../linux/libc.js';
import type { BindSetup, ConnectSetup } from './protocol.js';

/** Takes a descriptor over to the owner, and leaves the one here open. */
export type Pass = (fd: number) => Promise<void>;

/** Connects, by the kernel's own TCP. */
export async function connectInside(setup: ConnectSetup, pass: Pass, signal: AbortSignal): Promise<void> {
  const socket = connect({ ...setup, signal });
  // Not a byte may be read here: whoever gets the descriptor would miss it.
  socket.pause();
  try {
    await once(socket, 'connect');
    await pass(descriptorOf(socket));
  } finally {
    socket.destroy();
  }
}

/** Node.js has no public name for it. */
function descriptorOf(socket: Socket): number {
  const { fd } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
  if (fd === undefined || fd < 0) throw new Error('the socket has no descriptor');
  return fd;
}

/** Binds, and leaves listening to the owner. */
export async function bindInside({ type, address, port }: BindSetup, pass: Pass): Promise<void> {
  const fd = bindSocket(type, address, port);
  try {
    await pass(fd);
  } finally {
    close(fd);
  }
}
