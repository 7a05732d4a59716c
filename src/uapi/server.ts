/**
 * The UAPI socket: `/var/run/wireguard/IFACE.sock`, as every WireGuard tool looks for it.
 *
 * The socket listens under a name of its own first and is then linked to the known name, in one step
 * that fails when the name is taken. So nobody meets a socket that does not listen yet, two daemons
 * cannot both win, and closing never removes a socket that has become somebody else's.
 */
import { type FSWatcher, linkSync, lstatSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, watch } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  DEFAULT_UAPI_LIMITS,
  UapiConnection,
  type UapiLimits,
  type UapiShared,
  type UapiTarget,
} from './connection.js';
import type { ScopeName } from './format.js';
import { socketPath, UAPI_DIRECTORY } from './paths.js';
import type { ResolveScope } from './values.js';

export type { UapiLimits, UapiTarget } from './connection.js';

/** A fallback beside fs.watch, which may run out of watches. */
const LOOK_INTERVAL_MS = 5_000;
/** A daemon whose device was deleted a moment ago may not know it yet: it is given this time to hang up. */
const ENDING_MS = 2_000;
const HUNG_UP = 'hung up';
/** Stale sockets that reappear more often than this are somebody else's war. */
const MAX_ATTEMPTS = 3;

export interface UapiServerOptions {
  /** The interface's name. */
  readonly name: string;
  readonly target: UapiTarget;
  readonly log: (level: 'debug' | 'error', message: string) => void;
  readonly directory?: string;
  /** A Unix socket that listens already, instead of one of our own (`WG_UAPI_FD`). */
  readonly fd?: number;
  readonly limits?: Partial<UapiLimits>;
  readonly resolveScope?: ResolveScope;
  readonly scopeName?: ScopeName;
}

export class UapiError extends Error {
  /** `ERR_SOCKET_IN_USE`: a daemon answers on it. `ERR_SOCKET_PATH`: something else has its name. */
  readonly code: 'ERR_SOCKET_IN_USE' | 'ERR_SOCKET_PATH';
  readonly path: string;

  constructor(code: UapiError['code'], path: string, message: string) {
    super(message);
    this.name = 'UapiError';
    this.code = code;
    this.path = path;
  }
}

export interface UapiServer {
  readonly path: string;
  /** Settles when the socket file was removed or replaced by somebody else. */
  readonly removed: Promise<void>;
  /** Unlinks the socket if it is this server's still, at once, and ends all connections. Harmless when repeated. */
  close(): Promise<void>;
}

/**
 * Listens.
 * @throws UapiError, or the system's error when the directory cannot be made or written to
 */
export async function listenUapi(options: UapiServerOptions): Promise<UapiServer> {
  const server = new UapiListener(options);
  await server.listen();
  return server;
}

/**
 * Finds out whether a socket is free to be made, before anything else is.
 * @throws UapiError when a daemon listens on it, or something that is no socket has its name
 */
export async function checkSocketFree(name: string, directory: string = UAPI_DIRECTORY): Promise<void> {
  const path = socketPath(name, directory);
  if (inodeOf(path) !== undefined) await checkStale(path);
}

class UapiListener implements UapiServer {
  readonly path: string;
  readonly removed: Promise<void>;
  readonly #options: UapiServerOptions;
  readonly #directory: string;
  readonly #limits: UapiLimits;
  readonly #shared: UapiShared;
  readonly #server: Server;
  readonly #connections = new Map<UapiConnection, Socket>();
  #inode: bigint | undefined;
  #watcher: FSWatcher | undefined;
  #look: NodeJS.Timeout | undefined;
  #sayRemoved: () => void = () => {};
  #setsDone: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | undefined;

  constructor(options: UapiServerOptions) {
    this.#options = options;
    this.#directory = options.directory ?? UAPI_DIRECTORY;
    this.path = socketPath(options.name, this.#directory);
    this.removed = new Promise((resolve) => {
      this.#sayRemoved = resolve;
    });
    this.#limits = { ...DEFAULT_UAPI_LIMITS, ...options.limits };
    this.#shared = {
      target: options.target,
      limits: this.#limits,
      log: options.log,
      resolveScope: options.resolveScope ?? (() => undefined),
      scopeName: options.scopeName ?? (() => undefined),
      inOrder: (work) => {
        const done = this.#setsDone.then(work);
        this.#setsDone = done.catch(() => {});
        return done;
      },
      pendingBytes: 0,
    };
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    const { fd } = this.#options;
    if (fd !== undefined) await started(this.#server, () => this.#server.listen({ fd }));
    else await this.#listenAtPath();
    // Not having file descriptors left for a moment is no reason to end.
    this.#server.on('error', (error) => this.#options.log('error', `UAPI: ${error.message}`));
    this.#inode ??= inodeOf(this.path);
    if (this.#inode !== undefined) this.#watch();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#watcher?.close();
    clearInterval(this.#look);
    if (this.#inode !== undefined && inodeOf(this.path) === this.#inode) rmSync(this.path, { force: true });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections.keys()) connection.destroy();
    await closed;
  }

  async #listenAtPath(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
    // In a folder of its own: clients that try every socket of the directory, as wgctrl does, shall not meet it.
    const ownFolder = mkdtempSync(join(this.#directory, `.${this.#options.name}.`));
    const ownPath = join(ownFolder, 'sock');
    try {
      await started(this.#server, () => {
        // Binding happens within the call, so nothing else of this process sees the mask.
        const mask = process.umask(0o077);
        try {
          this.#server.listen({ path: ownPath, backlog: 128 });
        } finally {
          process.umask(mask);
        }
      });
      await this.#takeName(ownPath);
    } catch (error) {
      this.#server.close();
      throw error;
    } finally {
      rmSync(ownFolder, { recursive: true, force: true });
    }
  }

  async #takeName(ownPath: string): Promise<void> {
    this.#inode = inodeOf(ownPath);
    for (let attempt = 1; ; attempt++) {
      try {
        return linkSync(ownPath, this.path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt === MAX_ATTEMPTS) throw error;
      }
      const stale = inodeOf(this.path);
      await checkStale(this.path);
      if (stale !== undefined && inodeOf(this.path) === stale) unlinkSync(this.path);
    }
  }

  #watch(): void {
    const look = (): void => {
      if (inodeOf(this.path) !== this.#inode) this.#sayRemoved();
    };
    try {
      // The file, and not its folder: other daemons' sockets come and go there. That a link of it was taken, or moved,
      // is told of the file as well.
      this.#watcher = watch(this.path, { persistent: false }, look);
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // No watches to be had (fs.inotify.max_user_instances): the interval below is enough.
    }
    this.#look = setInterval(look, LOOK_INTERVAL_MS);
    this.#look.unref();
    look();
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= this.#limits.maxConnections && !this.#makeRoom()) {
      socket.destroy();
      return;
    }
    const connection = new UapiConnection(socket, this.#shared);
    this.#connections.set(connection, socket);
    socket.once('close', () => this.#connections.delete(connection));
    void connection.run();
  }

  /** Lets the client go that has been silent for longest. @returns false when all of them are being served */
  #makeRoom(): boolean {
    let oldest: UapiConnection | undefined;
    for (const connection of this.#connections.keys()) {
      if (connection.isServed || (oldest !== undefined && oldest.lastActive <= connection.lastActive)) continue;
      oldest = connection;
    }
    if (oldest === undefined) return false;
    this.#connections.delete(oldest);
    oldest.destroy();
    return true;
  }
}

function started(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    listen();
  });
}

/** @returns the inode of what is at `path`, or `undefined` when there is nothing */
function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/** @throws UapiError unless a socket is at `path` and nobody listens on it, or nothing is there (any more) */
async function checkStale(path: string): Promise<void> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isSocket()) throw new UapiError('ERR_SOCKET_PATH', path, `${path} exists and is not a socket`);
    const answer = await knock(path);
    if (answer === 'ECONNREFUSED' || answer === 'ENOENT') return;
    // Anything else says that somebody is there, as EAGAIN: his backlog is full.
    if (answer !== HUNG_UP) break;
  }
  throw new UapiError('ERR_SOCKET_IN_USE', path, `another daemon listens on ${path}`);
}

/** Connects, and waits a while. @returns the error's code, whether the daemon hung up, or undefined when it did not */
function knock(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.resume());
    socket.setTimeout(ENDING_MS, () => {
      resolve(undefined);
      socket.destroy();
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNRESET' ? HUNG_UP : code));
    for (const event of ['end', 'close']) socket.on(event, () => resolve(HUNG_UP));
  });
}
