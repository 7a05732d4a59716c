/** A device of an ordinary user: a network of its own, reached by sockets of this process. */
import type { Socket as UdpSocket } from 'node:dgram';
import type { AgentOptions, Agent as HttpAgent } from 'node:http';
import type { Agent as HttpsAgent, AgentOptions as HttpsAgentOptions } from 'node:https';
import { isIP, type Server, type Socket } from 'node:net';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { checkSignal, flag, integer } from '../api/change.js';
import { invalid, TypetunError } from '../api/errors.js';
import { type ConfigInput, HOOKS, type Settled, withFile } from '../api/quick.js';
import { RootlessError, RootlessNamespace } from '../rootless/namespace.js';
import { httpAgent, httpsAgent } from './agents.js';
import { CONNECT_TIMEOUT_MS, type UndiciConnector, undiciConnector } from './dispatcher.js';
import {
  type CommonOptions,
  checkCommon,
  EngineDevice,
  type EngineEvents,
  type Foundation,
  finish,
  openEngine,
  untilUp,
} from './engine-device.js';

export interface RootlessDeviceOptions extends CommonOptions {
  /**
   * An object, or the text of a wg-quick(8) file, whose Address, MTU and DNS are used unless they are given here. A file
   * with hooks is refused. Table (everything inside leads into the tunnel) and SaveConfig mean nothing here.
   */
  readonly config?: ConfigInput | undefined;
  /** Addresses inside the tunnel, as `10.0.0.2/32` and `fd00::2/128`. */
  readonly addresses?: readonly string[] | undefined;
  /** Bytes; 1420 unless told. */
  readonly mtu?: number | undefined;
  /** Name servers inside the tunnel. Without one, no names are known there but this host's and `localhost`. */
  readonly dns?: { readonly servers: readonly string[]; readonly search?: readonly string[] | undefined } | undefined;
}

export interface ConnectOptions {
  /** An address, or a name that is looked up inside the tunnel. */
  readonly host: string;
  readonly port: number;
  readonly family?: 4 | 6 | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  /** As for net.connect: whether the socket stays writable when the other side has ended. */
  readonly allowHalfOpen?: boolean | undefined;
  /** As for net.connect: whether small writes are sent at once, without waiting for more (Nagle's algorithm). */
  readonly noDelay?: boolean | undefined;
  /** As for net.connect: whether an idle connection is probed, after `keepAliveInitialDelay` milliseconds. */
  readonly keepAlive?: boolean | undefined;
  /** Milliseconds; 0 is the system's own. */
  readonly keepAliveInitialDelay?: number | undefined;
  /** Gives up; the promise is rejected with its reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface FoundAddress {
  readonly address: string;
  /** 4 or 6. */
  readonly family: number;
}

export interface BindOptions {
  /** An address of the tunnel, or of all: `::` (IPv4 as well) unless told. */
  readonly host?: string | undefined;
  /** 0, or nothing: any that is free. */
  readonly port?: number | undefined;
}

export interface ListenOptions extends BindOptions {
  readonly backlog?: number | undefined;
  readonly allowHalfOpen?: boolean | undefined;
  readonly pauseOnConnect?: boolean | undefined;
  /** As for net.createServer, for each connection: as in {@link ConnectOptions}. */
  readonly noDelay?: boolean | undefined;
  readonly keepAlive?: boolean | undefined;
  /** Milliseconds. */
  readonly keepAliveInitialDelay?: number | undefined;
}

/** Bytes: what every host takes, RFC 791. */
const MIN_MTU = 576;
/** The longest that setTimeout takes. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Made by {@link createRootlessDevice}. */
export class RootlessDevice extends EngineDevice {
  readonly #namespace: RootlessNamespace;
  /** What is open: it ends with the device. */
  readonly #open: Set<() => void>;

  /** @internal */
  constructor(
    foundation: Foundation & { namespace: RootlessNamespace; open: Set<() => void> },
    events: EngineEvents,
    signal: AbortSignal | undefined,
  ) {
    super(foundation, events, signal);
    this.#namespace = foundation.namespace;
    this.#open = foundation.open;
  }

  /**
   * Opens a TCP connection inside the tunnel.
   * @returns a connected `net.Socket`. It is destroyed when the device closes
   * @throws TypetunError with the name of the error (`ECONNREFUSED`, `ETIMEDOUT`, `ENOTFOUND`, ...)
   */
  async connect(options: ConnectOptions): Promise<Socket> {
    checkConnect(options);
    const { host, port, family, localAddress, localPort, allowHalfOpen, signal } = options;
    const { noDelay, keepAlive, keepAliveInitialDelay = 0 } = options;
    const socket = await this.#inside((namespace) =>
      namespace.connect({
        host,
        port,
        ...(family !== undefined && { family }),
        ...(localAddress !== undefined && { localAddress }),
        ...(localPort !== undefined && { localPort }),
        ...(allowHalfOpen !== undefined && { allowHalfOpen }),
        ...(signal !== undefined && { signal }),
      }),
    );
    if (noDelay) socket.setNoDelay(true);
    if (keepAlive) socket.setKeepAlive(true, keepAliveInitialDelay);
    return this.#track(socket, () => socket.destroy());
  }

  /**
   * Listens for TCP connections inside the tunnel.
   * @returns a listening `net.Server`. It is closed, and its connections destroyed, when the device closes
   * @throws TypetunError with the name of the error (`EADDRINUSE`, `EADDRNOTAVAIL`, ...)
   */
  async listen(options: ListenOptions = {}): Promise<Server> {
    checkBind(options);
    const { host, port, backlog, allowHalfOpen, pauseOnConnect, noDelay, keepAlive, keepAliveInitialDelay } = options;
    const server = await this.#inside((namespace) =>
      namespace.listen({
        ...(host !== undefined && { host }),
        ...(port !== undefined && { port }),
        ...(backlog !== undefined && { backlog }),
        ...(allowHalfOpen !== undefined && { allowHalfOpen }),
        ...(pauseOnConnect !== undefined && { pauseOnConnect }),
        ...(noDelay !== undefined && { noDelay }),
        ...(keepAlive !== undefined && { keepAlive }),
        ...(keepAliveInitialDelay !== undefined && { keepAliveInitialDelay }),
      }),
    );
    server.on('connection', (socket) => void this.#track(socket, () => socket.destroy()));
    return this.#track(server, () => server.close());
  }

  /**
   * Binds a UDP socket inside the tunnel.
   * @returns a bound `dgram.Socket`; names that it sends to are looked up inside. It is closed with the device
   * @throws TypetunError with the name of the error
   */
  async bindUdp(options: BindOptions = {}): Promise<UdpSocket> {
    checkBind(options);
    const { host, port } = options;
    const socket = await this.#inside((namespace) =>
      namespace.bindUdp({ ...(host !== undefined && { host }), ...(port !== undefined && { port }) }),
    );
    return this.#track(socket, () => socket.close());
  }

  /**
   * Looks a host name up inside the tunnel.
   * @param family 0 for both
   * @returns at least one address
   * @throws TypetunError `ENOTFOUND`, `EAI_AGAIN`, ...
   */
  async lookup(host: string, family: 0 | 4 | 6 = 0): Promise<readonly [FoundAddress, ...FoundAddress[]]> {
    checkHost(host, 'host');
    if (family !== 0) checkFamily(family);
    const [first, ...others] = await this.#inside((namespace) => namespace.lookup(host, family));
    if (first === undefined) throw new TypetunError('ENOTFOUND', `${host} has no address`);
    return [first, ...others];
  }

  /** An agent for `http.request({ agent })`: connections are made inside the tunnel. */
  createHttpAgent(options: AgentOptions = {}): HttpAgent {
    return httpAgent((to) => this.connect(to), options);
  }

  /** An agent for `https.request({ agent })`: connections are made inside the tunnel. */
  createHttpsAgent(options: HttpsAgentOptions = {}): HttpsAgent {
    return httpsAgent((to) => this.connect(to), options);
  }

  /**
   * A dispatcher for `fetch(url, { dispatcher })` and for undici: connections are made inside the tunnel.
   * @param Agent undici's class, of the version that fits the `fetch` it is for (docs/library.md, "HTTP and fetch")
   * @param options for Agent; `connectTimeout` in milliseconds, 10,000 unless told; and for TLS, in `tls`
   * @example
   * import { Agent } from 'undici';
   * const init: object = { dispatcher: device.createDispatcher(Agent) };
   * await fetch('http://10.0.0.1/', init);
   */
  createDispatcher<Dispatcher>(
    Agent: new (options: { readonly connect: UndiciConnector }) => Dispatcher,
    {
      tls = {},
      connectTimeout = CONNECT_TIMEOUT_MS,
      ...options
    }: { readonly tls?: TlsOptions; readonly connectTimeout?: number } & Readonly<Record<string, unknown>> = {},
  ): Dispatcher {
    if (typeof Agent !== 'function') throw invalid('Agent', "undici's class Agent", Agent);
    const timeoutMs = integer(connectTimeout, 'connectTimeout', MAX_TIMEOUT_MS);
    return new Agent({ ...options, connect: undiciConnector((to) => this.connect(to), tls, timeoutMs) });
  }

  async #inside<T>(work: (namespace: RootlessNamespace) => Promise<T>): Promise<T> {
    this.checkOpen();
    try {
      return await work(this.#namespace);
    } catch (error) {
      throw libraryError(error, 'ERR_CLOSED');
    }
  }

  /** Ends it with the device; if that has closed meanwhile, at once. */
  #track<T extends { once(event: 'close', listener: () => void): unknown }>(opened: T, end: () => void): T {
    this.#open.add(end);
    opened.once('close', () => this.#open.delete(end));
    if (this.closed) {
      end();
      this.checkOpen();
    }
    return opened;
  }
}

/**
 * Makes a device without any rights: the tunnel's inside is a network of its own, in namespaces of this user, and
 * programs reach it by the sockets of this object. The tunnel's UDP sockets are in the network of this process. All of
 * the inside leads into the tunnel, and there is no other way out.
 *
 * @throws TypetunError, with nothing left behind, that says what is not permitted and what an administrator can do;
 *   ConfigError for a file with a mistake; `signal.reason` when it is aborted
 * @example
 * await using device = await createRootlessDevice({ config: await readFile('wg0.conf') });
 * const socket = await device.connect({ host: '10.0.0.1', port: 80 });
 */
export async function createRootlessDevice(options: RootlessDeviceOptions): Promise<RootlessDevice> {
  const settled = withFile(options, HOOKS);
  try {
    return await create(settled);
  } finally {
    settled.wipe();
  }
}

async function create(options: Settled<RootlessDeviceOptions>): Promise<RootlessDevice> {
  checkOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const namespace = await openNamespace(options);
  const events: EngineEvents = { listen: () => {} };
  const open = new Set<() => void>();
  try {
    const engine = await openEngine({ name: 'wg0', tunFd: namespace.tunFd, tunMtu: namespace.mtu }, options, events);
    const release = async (): Promise<void> => {
      for (const end of open) {
        try {
          end();
        } catch {
          // Its owner closed it a moment ago.
        }
      }
      open.clear();
      await namespace.close();
    };
    const device = new RootlessDevice({ engine, release, failed: namespace.ended, namespace, open }, events, signal);
    return await finish(device, signal, async () => {
      await device.configure(options.config);
      await untilUp(engine);
    });
  } catch (error) {
    await namespace.close();
    signal?.throwIfAborted();
    throw error;
  }
}

async function openNamespace({ addresses = [], mtu, dns }: Settled<RootlessDeviceOptions>): Promise<RootlessNamespace> {
  try {
    return await RootlessNamespace.open({
      addresses,
      // Cryptokey routing says what becomes of a packet, also after a change.
      routes: ['0.0.0.0/0', '::/0'],
      ...(mtu !== undefined && { mtu }),
      ...(dns && { dns: { servers: dns.servers, ...(dns.search && { search: dns.search }) } }),
    });
  } catch (error) {
    throw libraryError(error, 'ERR_DEVICE');
  }
}

/** @param gone what it means that there is no namespace: not any more, or not at all */
function libraryError(error: unknown, gone: 'ERR_CLOSED' | 'ERR_DEVICE'): unknown {
  if (!(error instanceof RootlessError)) return error;
  const { code, message } = error;
  const isGone = code === 'ERR_CLOSED' || code === 'ERR_NAMESPACE';
  // While a call was under way: what happened is in the device's own error.
  if (isGone && gone === 'ERR_CLOSED') return new TypetunError(gone, 'the device is closed', { cause: error });
  return new TypetunError(isGone || code === 'ERR_ROOTLESS' ? 'ERR_DEVICE' : code, message, { cause: error });
}

function checkOptions(options: Settled<RootlessDeviceOptions>): void {
  checkCommon(options, MIN_MTU);
  const { addresses = [], dns } = options;
  if (addresses.length === 0) throw invalid('addresses', 'at least one, here or as Address in the file', addresses);
  if (dns === undefined) return;
  const { servers, search = [] } = Object(dns) as NonNullable<typeof dns>;
  if (!Array.isArray(servers)) throw invalid('dns', '{ servers, search } with an array of IP addresses', dns);
  if (!Array.isArray(search)) throw invalid('dns.search', 'an array', search);
  for (const [i, server] of servers.entries()) {
    if (isIP(String(server)) === 0) throw invalid(`dns.servers[${i}]`, 'an IP address', server);
  }
  for (const [i, domain] of search.entries()) checkHost(domain, `dns.search[${i}]`);
}

function checkHost(host: unknown, what: string): void {
  if (typeof host === 'string' && /^[^\s/[\]]{1,253}$/.test(host)) return;
  throw invalid(what, 'a host name or an IP address', host);
}

function checkConnect(options: ConnectOptions): void {
  if (options === null || typeof options !== 'object') throw invalid('options', '{ host, port }', options);
  checkHost(options.host, 'host');
  if (integer(options.port, 'port', 65535) === 0) throw invalid('port', 'an integer from 1 to 65535', 0);
  const { localAddress, localPort, family } = options;
  if (localAddress !== undefined && isIP(String(localAddress)) === 0)
    throw invalid('localAddress', 'an IP address', localAddress);
  if (localPort !== undefined) integer(localPort, 'localPort', 65535);
  if (family !== undefined) checkFamily(family);
  checkSignal(options.signal);
  checkStream(options);
}

function checkFamily(family: number): void {
  if (family !== 4 && family !== 6) throw invalid('family', '4 or 6', family);
}

/** What TCP connections have, made or accepted. */
function checkStream(options: Omit<ConnectOptions, 'host' | 'port'> & ListenOptions): void {
  for (const name of ['allowHalfOpen', 'noDelay', 'keepAlive', 'pauseOnConnect'] as const) {
    if (options[name] !== undefined) flag(options[name], name);
  }
  const { keepAliveInitialDelay: delay } = options;
  if (delay !== undefined) integer(delay, 'keepAliveInitialDelay', MAX_TIMEOUT_MS);
}

function checkBind(options: ListenOptions): void {
  if (options === null || typeof options !== 'object') throw invalid('options', '{ host, port }', options);
  if (options.host !== undefined) checkHost(options.host, 'host');
  if (options.port !== undefined) integer(options.port, 'port', 65535);
  if (options.backlog !== undefined) integer(options.backlog, 'backlog', 2 ** 31 - 1);
  checkStream(options);
}
