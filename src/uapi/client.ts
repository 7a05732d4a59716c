/**
 * `typetun/uapi`: a client of the userspace API at `/var/run/wireguard/IFACE.sock`, which every userspace
 * WireGuard serves (https://www.wireguard.com/xplatform/).
 */
import { opendirSync, statSync, unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { DeviceChange } from '../core/change.js';
import { socketPath, UAPI_DIRECTORY } from './paths.js';
import { writeSetRequest } from './request.js';
import { BadAnswer, StatusReader, type StatusVisitor, type UapiInterface, type UapiPeer } from './status.js';

export type { StatusVisitor, UapiEndpoint, UapiInterface, UapiPeer } from './status.js';

export interface UapiClientOptions {
  /** Where the sockets are, when not in `/var/run/wireguard`. */
  readonly directory?: string;
  /** Ends a request that takes too long. */
  readonly signal?: AbortSignal;
}

export type UapiClientErrorCode =
  /** No device of this name listens. A socket that nobody listens on any more has been removed. */
  | 'ERR_UAPI_NO_DEVICE'
  /** The socket cannot be used; `errno` says why. */
  | 'ERR_UAPI_CONNECT'
  /** The answer is not one of the UAPI's. */
  | 'ERR_UAPI_PROTOCOL'
  /** The device said no; `errno` is its answer. Nothing was changed. */
  | 'ERR_UAPI_REFUSED'
  | 'ERR_UAPI_ABORTED';

export class UapiClientError extends Error {
  readonly code: UapiClientErrorCode;
  /** A positive error number of Linux where there is one, else 0. */
  readonly errno: number;

  constructor(code: UapiClientErrorCode, message: string, errno = 0) {
    super(message);
    this.name = 'UapiClientError';
    this.code = code;
    this.errno = errno;
  }
}

/** Everything a device says about itself. */
export interface UapiDevice extends UapiInterface {
  readonly peers: readonly UapiPeer[];
  /** Zeroes all keys and addresses in it. Nothing of it is to be used afterwards. */
  wipe(): void;
}

const NAME = /^[^/\0]{1,64}$/;
const EPROTO = 71;
const PERCENT = 0x25;

/**
 * @returns the names of the devices that listen, or that this user may not ask, in the directory's own order; sockets
 *   that nobody listens on are removed
 * @throws UapiClientError `ERR_UAPI_CONNECT` when the directory cannot be read
 */
export async function listDevices(options: UapiClientOptions = {}): Promise<string[]> {
  const directory = options.directory ?? UAPI_DIRECTORY;
  const names: string[] = [];
  for (const name of socketNames(directory)) {
    try {
      (await open(socketPath(name, directory), options)).destroy();
      names.push(name);
    } catch (error) {
      // One that may not be asked is there all the same.
      if (!(error instanceof UapiClientError) || error.code === 'ERR_UAPI_ABORTED') throw error;
      if (error.code !== 'ERR_UAPI_NO_DEVICE') names.push(name);
    }
  }
  return names;
}

function socketNames(directory: string): string[] {
  const names: string[] = [];
  try {
    const entries = opendirSync(directory);
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
        const { name } = entry;
        if (name.endsWith('.sock') && isSocket(join(directory, name))) names.push(name.slice(0, -'.sock'.length));
      }
    } finally {
      entries.closeSync();
    }
  } catch (error) {
    const { code, errno, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    throw new UapiClientError('ERR_UAPI_CONNECT', message, -(errno ?? 0));
  }
  return names;
}

/**
 * Asks a device for everything.
 * @param name of the interface
 * @throws UapiClientError
 */
export async function getDevice(name: string, options: UapiClientOptions = {}): Promise<UapiDevice> {
  const peers: UapiPeer[] = [];
  let head: UapiInterface = { listenPort: 0, fwmark: 0 };
  const visitor: StatusVisitor = {
    interface: (status) => {
      head = status;
    },
    peer: (peer) => peers.push(peer),
  };
  const wipe = await visitDevice(name, visitor, options);
  return { ...head, peers, wipe };
}

/**
 * Asks a device for everything, and hands over each peer as soon as it was read: for those that need not keep them.
 * @returns a function that zeroes all keys and addresses that were handed over
 * @throws UapiClientError; what was handed over before is zeroed then
 */
export async function visitDevice(
  name: string,
  visitor: StatusVisitor,
  options: UapiClientOptions = {},
): Promise<() => void> {
  const socket = await openDevice(name, options);
  // Interface numbers come from a native call, which is loaded where the first link-local address is seen.
  let scopes: typeof import('../linux/scopes.js') | undefined;
  const reader = new StatusReader(visitor, (name) => scopes?.scopeIndex(name));
  try {
    socket.write('get=1\n\n');
    const errno = await readAnswer(socket, async (chunk) => {
      if (chunk.includes(PERCENT)) scopes ??= await import('../linux/scopes.js');
      return reader.push(chunk);
    });
    if (errno !== 0) throw refused(errno);
    return () => reader.wipe();
  } catch (error) {
    reader.wipe();
    throw translate(error, options);
  } finally {
    socket.destroy();
  }
}

/**
 * Tells a device to change: all of it, or nothing when it refuses.
 * @throws UapiClientError
 */
export async function setDevice(name: string, change: DeviceChange, options: UapiClientOptions = {}): Promise<void> {
  const socket = await openDevice(name, options);
  const answer = new ErrnoReader();
  try {
    const scoped = change.peers?.some((peer) => peer.endpoint?.scopeId);
    const scopeName = scoped ? (await import('../linux/scopes.js')).scopeName : undefined;
    // A device that refuses early may stop reading: its answer counts then, and not the write that failed.
    const written = writeSetRequest(change, (bytes) => send(socket, bytes), scopeName).catch(() => {});
    const errno = await readAnswer(socket, async (chunk) => answer.push(chunk));
    await written;
    if (errno !== 0) throw refused(errno);
  } catch (error) {
    throw translate(error, options);
  } finally {
    socket.destroy();
  }
}

function refused(errno: number): UapiClientError {
  return new UapiClientError('ERR_UAPI_REFUSED', `the device answered errno ${errno}`, errno);
}

/** Reads the answer to a set: one line `errno=`, zero or negative. */
class ErrnoReader {
  #text = '';

  push(chunk: Uint8Array): number | undefined {
    this.#text += Buffer.from(chunk).toString('latin1');
    if (this.#text.length > 4096) throw new BadAnswer('the answer is too long');
    if (!this.#text.includes('\n\n')) return undefined;
    const errno = /^errno=(-?\d{1,10})$/m.exec(this.#text)?.[1];
    if (errno === undefined) throw new BadAnswer('the answer has no errno');
    return -Number(errno);
  }
}

async function openDevice(name: string, options: UapiClientOptions): Promise<Socket> {
  if (typeof name !== 'string' || !NAME.test(name))
    throw new UapiClientError('ERR_UAPI_NO_DEVICE', `there is no device ${JSON.stringify(name)}`);
  return open(socketPath(name, options.directory), options);
}

/** @throws UapiClientError; a socket that nobody listens on is removed first */
async function open(path: string, { signal }: UapiClientOptions): Promise<Socket> {
  if (signal?.aborted) throw translate(signal.reason, { signal });
  const missing = new UapiClientError('ERR_UAPI_NO_DEVICE', `nothing listens on ${path}`);
  if (!isSocket(path)) throw missing;
  const socket = connect(path);
  const abort = (): unknown => socket.destroy(new Error('aborted'));
  signal?.addEventListener('abort', abort, { once: true });
  socket.on('close', () => signal?.removeEventListener('abort', abort));
  try {
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return socket;
  } catch (error) {
    socket.destroy();
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED') {
      removeStale(path);
      throw missing;
    }
    throw code === 'ENOENT' ? missing : translate(error, signal === undefined ? {} : { signal });
  }
}

/** Through symlinks as well. What cannot be seen is none. */
function isSocket(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
  } catch {
    return false;
  }
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else did, or it is not ours to remove: there is no device either way.
  }
}

/** Whatever went wrong on a connection, as this module's error. */
function translate(error: unknown, { signal }: UapiClientOptions): unknown {
  if (error instanceof UapiClientError) return error;
  if (signal?.aborted) return new UapiClientError('ERR_UAPI_ABORTED', 'the request was aborted');
  if (error instanceof BadAnswer) return new UapiClientError('ERR_UAPI_PROTOCOL', error.message, EPROTO);
  const { errno, message } = error as NodeJS.ErrnoException;
  if (typeof errno !== 'number') return error;
  return new UapiClientError('ERR_UAPI_CONNECT', message, -errno);
}

function send(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/**
 * @param push is handed what comes in, which is zeroed afterwards, until it returns an errno
 * @throws BadAnswer when the connection ends before that
 */
async function readAnswer(socket: Socket, push: (chunk: Uint8Array) => Promise<number | undefined>): Promise<number> {
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    try {
      const errno = await push(chunk);
      if (errno !== undefined) return errno;
    } finally {
      chunk.fill(0);
    }
  }
  throw new BadAnswer('the answer ends too early');
}
