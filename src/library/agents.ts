/** HTTP through a tunnel: agents for node:http and node:https, and what undici needs. */
import { type AgentOptions, type ClientRequestArgs, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions, type RequestOptions } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as startTls } from 'node:tls';
import type { ConnectOptions } from './rootless-device.js';

/** Connects inside a tunnel. */
export type Connect = (options: ConnectOptions) => Promise<Socket>;
type Created = (error: Error | null, stream: Duplex) => void;

/** @param connect makes the connections @returns an agent for http.request */
export function httpAgent(connect: Connect, options: AgentOptions): HttpAgent {
  return new (class extends HttpAgent {
    override createConnection(request: ClientRequestArgs, created: Created): undefined {
      handOver(connect(target(request, 80)), created);
    }
  })(options);
}

/** @param connect makes the connections @returns an agent for https.request */
export function httpsAgent(connect: Connect, options: HttpsAgentOptions): HttpsAgent {
  return new (class extends HttpsAgent {
    override createConnection(request: RequestOptions, created: Created): undefined {
      const secured = connect(target(request, 443)).then((socket) =>
        // The host is what the certificate has to be for; the socket is connected already.
        startTls({ ...(request as ConnectionOptions), socket }),
      );
      handOver(secured, created);
    }
  })(options);
}

function handOver(made: Promise<Duplex>, created: Created): void {
  made.then(
    (stream) => created(null, stream),
    (error: Error) => created(error, undefined as unknown as Duplex),
  );
}

function target(request: ClientRequestArgs, port: number): ConnectOptions {
  const host = String(request.host ?? request.hostname ?? 'localhost');
  return { host, port: Number(request.port ?? port) };
}

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

/** @param connect makes the connections @param tls for https: trusted authorities and the like */
export function undiciConnector(connect: Connect, tls: ConnectionOptions): UndiciConnector {
  return (options, callback) => {
    const secure = options.protocol === 'https:';
    const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
    const made = connect({ host, port: Number(options.port || (secure ? 443 : 80)) });
    const security = { ...tls, ...(options.servername && { servername: options.servername }) };
    made
      .then((socket) => (secure ? secured(socket, host, security) : socket))
      .then(
        (socket) => callback(null, socket),
        (error: Error) => callback(error, null),
      );
  };
}

function secured(socket: Socket, host: string, options: ConnectionOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const stream = startTls({
      host,
      // A name, but not an address (RFC 6066, section 3).
      ...(isIP(host) === 0 && { servername: host }),
      ALPNProtocols: ['http/1.1'],
      ...options,
      socket,
    });
    stream.once('error', reject);
    stream.once('secureConnect', () => {
      stream.off('error', reject);
      resolve(stream);
    });
  });
}
