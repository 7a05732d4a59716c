/** What undici needs to connect inside a tunnel: https://undici.nodejs.org, "Connector". */
import { isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as startTls } from 'node:tls';
import { TypetunError } from '../api/errors.js';
import type { Connect } from './agents.js';

/** As undici's own. */
export const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_DELAY_MS = 60_000;

/** What undici tells a connector: https://undici.nodejs.org, "Client", `connect`. */
export interface UndiciConnectOptions {
  readonly hostname: string;
  readonly protocol: string;
  /** Empty for the protocol's own. */
  readonly port: string;
  readonly servername?: string | undefined;
}

export type UndiciConnector = (
  options: UndiciConnectOptions,
  callback: (...args: [error: Error, socket: null] | [error: null, socket: Socket]) => void,
) => void;

/**
 * @param connect makes the connections
 * @param tls for https: trusted authorities and the like
 * @param timeoutMs for a connection, TLS included; 0: as long as it takes
 */
export function undiciConnector(connect: Connect, tls: ConnectionOptions, timeoutMs: number): UndiciConnector {
  return (options, callback) => {
    const given = new AbortController();
    const timer = timeoutMs > 0 ? setTimeout(() => given.abort(late(options, timeoutMs)), timeoutMs) : undefined;
    open(connect, tls, options, given.signal)
      .finally(() => clearTimeout(timer))
      .then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
  };
}

function late({ hostname, port }: UndiciConnectOptions, timeoutMs: number): TypetunError {
  return new TypetunError('ETIMEDOUT', `connect ETIMEDOUT ${hostname}:${port}: not connected within ${timeoutMs} ms`);
}

async function open(
  connect: Connect,
  tls: ConnectionOptions,
  { hostname, protocol, port, servername }: UndiciConnectOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const isSecure = protocol === 'https:';
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const socket = await connect({
    host,
    port: Number(port || (isSecure ? 443 : 80)),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    signal,
  });
  if (!isSecure) return socket;
  try {
    return await secured(socket, host, { ...tls, ...(servername && { servername }) }, signal);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function secured(socket: Socket, host: string, options: ConnectionOptions, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const stream = startTls({
      host,
      // A name, but not an address (RFC 6066, section 3).
      ...(isIP(host) === 0 && { servername: host }),
      ALPNProtocols: ['http/1.1'],
      ...options,
      socket,
    });
    const abort = (): void => void stream.destroy(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    stream.once('error', reject);
    stream.once('secureConnect', () => {
      signal.removeEventListener('abort', abort);
      stream.off('error', reject);
      resolve(stream);
    });
  });
}
