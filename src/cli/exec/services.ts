/** Forwards and proxies of `typetun exec`, and who is told when they are there. */
import { writeSync } from 'node:fs';
import { notifyServiceManager } from '../../linux/notify.js';
import { Credentials } from '../../rootless/forwards/credentials.js';
import { type Listener, startForward } from '../../rootless/forwards/forward.js';
import { startHttpProxy } from '../../rootless/forwards/http.js';
import { type Network, OUTSIDE } from '../../rootless/forwards/network.js';
import { startSocks } from '../../rootless/forwards/socks.js';
import { type ForwardSpec, hostAndPort, type ListenSpec } from '../../rootless/forwards/spec.js';
import { readFile } from '../wg/io.js';
import type { ExecLine } from './arguments.js';

const LOOPBACK = '127.0.0.1';
const EVERYWHERE = '::';
/** What {@link Credentials} take. */
const MAX_AUTH_BYTES = 4096;

/** @throws Error with a text for people */
export function readCredentials(path: string | undefined): Credentials | undefined {
  if (path === undefined) return undefined;
  try {
    return new Credentials(readFile(path, MAX_AUTH_BYTES));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === undefined ? `${path}: ${message}` : `${path} cannot be read (${code})`);
  }
}

/**
 * Starts all that was asked for. What stands is closed with the process.
 * @returns lines that say what listens where
 * @throws Error with a text for people
 */
export async function startServices(
  inside: Network,
  { local, remote, socks, http }: ExecLine,
  credentials: Credentials | undefined,
  warn: (message: string) => void,
): Promise<string[]> {
  const lines: string[] = [];
  const add = async (what: string, spec: ListenSpec, starting: Promise<Listener>): Promise<void> => {
    try {
      lines.push(`${what} ${(await starting).address}`);
    } catch (error) {
      const where = spec.bind === undefined ? `port ${spec.port}` : hostAndPort(spec.bind, spec.port);
      throw new Error(`${what} ${where}: cannot listen there (${(error as NodeJS.ErrnoException).code})`);
    }
  };
  const leads = ({ host, hostPort, protocol }: ForwardSpec): string => `${hostAndPort(host, hostPort)}/${protocol}`;
  const proxy = (what: string, { bind }: ListenSpec): string => {
    const isOpen = bind !== undefined && !/^(127\.|::1$|localhost$)/.test(bind) && !credentials;
    if (isOpen) warn(`warning: the ${what} proxy at ${bind} is open to whoever reaches it: see --proxy-auth`);
    return `${what} at`;
  };
  for (const spec of local) await add(`-L to ${leads(spec)} at`, spec, startForward(OUTSIDE, inside, spec, LOOPBACK));
  for (const spec of remote)
    await add(`-R to ${leads(spec)} at`, spec, startForward(inside, OUTSIDE, spec, EVERYWHERE));
  for (const spec of socks) {
    await add(proxy('SOCKS5', spec), spec, startSocks(inside, spec.bind ?? LOOPBACK, spec.port, credentials));
  }
  for (const spec of http) {
    await add(proxy('HTTP', spec), spec, startHttpProxy(inside, spec.bind ?? LOOPBACK, spec.port, credentials));
  }
  return lines;
}

/** Without a command, standard output is ours: a line for each that listens, and `ready`. */
export function tellReady(lines: readonly string[]): void {
  writeSync(1, `${[...lines, 'ready'].join('\n')}\n`);
  notifyServiceManager('READY=1');
}

export function tellStopping(): void {
  notifyServiceManager('STOPPING=1');
}
