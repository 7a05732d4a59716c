/**
 * Agents for node:http and node:https whose connections are made inside a tunnel.
 *
 * Node.js gives a request a socket at once, whose timeouts and end are the request's, long before it is connected. Here
 * there is none until it is connected, so that until then an {@link Attempt} stands for it: it counts among the agent's
 * sockets, tells the request of its timeout, and ends with it.
 */
import { type AgentOptions, type ClientRequest, type ClientRequestArgs, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions, type RequestOptions } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectOptions } from './rootless-device.js';

/** Connects inside a tunnel. */
export type Connect = (options: ConnectOptions) => Promise<Socket>;
type Created = (error: Error | null, stream: Duplex) => void;

const REQUEST = Symbol('request');

/** What Node.js, and {@link tellingRequests}, add to a request's options. */
interface SocketOptions extends ClientRequestArgs {
  [REQUEST]?: ClientRequest | undefined;
  /** The name of its place among the agent's sockets. */
  readonly _agentKey?: string;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
}

/** Of http.Agent, older than its types, and what other agents are built on as well. */
interface AgentInternals {
  readonly sockets: Record<string, Socket[] | undefined>;
  /** They wait for a place. */
  readonly requests: Record<string, ClientRequest[] | undefined>;
  totalSocketCount: number;
  removeSocket(socket: Socket, options: object): void;
}
interface CreatesSockets {
  createSocket(request: ClientRequest, options: object, created: Created): void;
}
const { createSocket } = HttpAgent.prototype as unknown as CreatesSockets;

/** @param connect makes the connections @returns an agent for http.request */
export function httpAgent(connect: Connect, options: AgentOptions): HttpAgent {
  const agent = new (class extends HttpAgent {
    override createConnection(given: SocketOptions, created: Created): undefined {
      make(connect, this, target(given, 80), given).then((socket) => created(null, socket), failed(created));
    }
  })(options);
  return tellingRequests(agent);
}

/** @param connect makes the connections @returns an agent for https.request */
export function httpsAgent(connect: Connect, options: HttpsAgentOptions): HttpsAgent {
  const agent = new (class extends HttpsAgent {
    override createConnection(given: RequestOptions, created: Created): undefined {
      make(connect, this, target(given, 443), given)
        // The host is what the certificate has to be for; the socket is connected already.
        .then((socket) =>
          orDestroy(socket, () => super.createConnection({ ...given, socket } as RequestOptions) as Duplex),
        )
        .then((stream) => created(null, stream), failed(created));
    }
  })(options);
  return tellingRequests(agent);
}

/** Tells createConnection, among the options, whose connection it makes. */
function tellingRequests<Agent extends HttpAgent>(agent: Agent): Agent {
  const call: CreatesSockets['createSocket'] = (request, given, created) =>
    createSocket.call(agent as unknown as CreatesSockets, request, { ...given, [REQUEST]: request }, created);
  return Object.assign(agent, { createSocket: call });
}

function failed(created: Created): (error: Error) => void {
  return (error) => created(error, undefined as unknown as Duplex);
}

/** Options for TLS that cannot be are thrown. */
function orDestroy(socket: Socket, use: () => Duplex): Duplex {
  try {
    return use();
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function target(
  { host, hostname, port, family, localAddress }: ClientRequestArgs,
  defaultPort: number,
): ConnectOptions {
  return {
    host: String(host ?? hostname ?? 'localhost'),
    port: Number(port ?? defaultPort),
    ...((family === 4 || family === 6) && { family }),
    ...(localAddress !== undefined && { localAddress }),
  };
}

/** Connects, with the options that Node.js gives a socket of its own. */
async function make(connect: Connect, agent: HttpAgent, to: ConnectOptions, options: SocketOptions): Promise<Socket> {
  const { noDelay, keepAlive, keepAliveInitialDelay, timeout } = options;
  const attempt = new Attempt(agent as unknown as AgentInternals, options);
  try {
    const socket = await connect({ ...to, noDelay, keepAlive, keepAliveInitialDelay, signal: attempt.signal });
    if (timeout) socket.setTimeout(timeout);
    attempt.succeeded();
    return socket;
  } catch (error) {
    attempt.failed();
    throw error;
  }
}

/** A connection that is being made. */
class Attempt {
  readonly #agent: AgentInternals;
  readonly #options: SocketOptions;
  /** Among the agent's sockets, so that they do not become more than they may; ends with the agent. */
  readonly #place: Socket = new Socket();
  readonly #given: AbortController = new AbortController();
  readonly #request: ClientRequest | undefined;
  #unwatch: () => void = () => {};

  constructor(agent: AgentInternals, options: SocketOptions) {
    this.#agent = agent;
    this.#options = options;
    const { _agentKey: key, [REQUEST]: request } = options;
    this.#request = request;
    // Node.js keeps the options as long as the socket.
    options[REQUEST] = undefined;
    if (key !== undefined) {
      agent.sockets[key] = [...(agent.sockets[key] ?? []), this.#place];
      agent.totalSocketCount++;
    }
    this.#place.once('close', () => this.#given.abort(hungUp()));
    if (request) this.#watch(request);
  }

  /** Aborted when nobody waits for the connection any more. */
  get signal(): AbortSignal {
    return this.#given.signal;
  }

  succeeded(): void {
    this.#unwatch();
    const { _agentKey: key } = this.#options;
    if (key === undefined) return;
    this.#agent.totalSocketCount--;
    remove(this.#agent.sockets, key, this.#place);
  }

  failed(): void {
    this.#unwatch();
    const { _agentKey: key } = this.#options;
    if (key === undefined) return;
    this.#agent.totalSocketCount--;
    // One that had waited is still among those that wait, though it is told of the failure.
    if (this.#request) remove(this.#agent.requests, key, this.#request);
    // The next of them gets the place.
    this.#agent.removeSocket(this.#place, this.#options);
  }

  #watch(request: ClientRequest): void {
    const { destroy } = request;
    // Called by abort() and by its signal as well; without a socket, no event tells of it.
    request.destroy = (error) => {
      destroy.call(request, error);
      this.#given.abort(error ?? hungUp());
      return request;
    };
    const { timeout } = this.#options;
    const timer = timeout ? setTimeout(() => request.emit('timeout'), timeout) : undefined;
    this.#unwatch = () => {
      clearTimeout(timer);
      request.destroy = destroy;
    };
    if (request.destroyed) this.#given.abort(hungUp());
  }
}

/** What a request of Node.js says that ends before its answer. */
function hungUp(): Error {
  return Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
}

function remove<T>(lists: Record<string, T[] | undefined>, key: string, item: T): void {
  const others = lists[key]?.filter((other) => other !== item) ?? [];
  if (others.length > 0) lists[key] = others;
  else delete lists[key];
}
