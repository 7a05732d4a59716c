/**
 * One client of the UAPI socket: requests one after the other, each answered before the next is read.
 * A client that says nothing, or that does not read its answer, costs a timer and is cut off by it.
 */
import type { Socket } from 'node:net';
import type { DeviceChange, InterfaceStatus, PeerStatus } from '../core/change.js';
import { giveMemoryBack } from '../linux/memory.js';
import { UAPI_INVALID, UAPI_IO, UAPI_NO_MEMORY, UAPI_OK } from './errno.js';
import { AnswerWriter, type ScopeName, writeInterface, writePeer } from './format.js';
import { DEFAULT_PARSE_LIMITS, type ParseLimits, SetParser, type SetResult } from './parse.js';
import type { ResolveScope } from './values.js';

/** The device behind the socket. What it hands out belongs to the connection, which wipes the keys in it. */
export interface UapiTarget {
  /** @returns 0, or a negative errno; then nothing was changed */
  configure(change: DeviceChange): Promise<number>;
  report(): Promise<InterfaceStatus>;
  peers(): AsyncIterable<readonly PeerStatus[]>;
}

export interface UapiLimits extends ParseLimits {
  /** A client that stops in the middle of a request, or of reading an answer, is cut off after this. */
  readonly idleTimeMs: number;
  /** A request that is not complete after this is cut off, however busily it drips. */
  readonly requestTimeMs: number;
  /** A client may be silent for this long between two requests. */
  readonly betweenRequestsTimeMs: number;
  readonly maxConnections: number;
  /** Bytes of set requests under way, over all connections. */
  readonly maxPendingBytes: number;
}

export const DEFAULT_UAPI_LIMITS: UapiLimits = {
  ...DEFAULT_PARSE_LIMITS,
  idleTimeMs: 30_000,
  requestTimeMs: 300_000,
  betweenRequestsTimeMs: 300_000,
  maxConnections: 128,
  maxPendingBytes: 256 * 1024 * 1024,
};

/** What the connections of one server share. */
export interface UapiShared {
  readonly target: UapiTarget;
  readonly limits: UapiLimits;
  readonly log: (level: 'debug' | 'error', message: string) => void;
  readonly resolveScope: ResolveScope;
  readonly scopeName: ScopeName;
  /** Runs `work` when all the set requests before it are done. */
  inOrder<T>(work: () => Promise<T>): Promise<T>;
  /** Bytes of set requests under way. */
  pendingBytes: number;
}

/** Longest first line of a request that is worth an answer. */
const MAX_OPERATION_BYTES = 16;
/** How long a client that was refused may go on writing before it is cut off, so that it sees its answer. */
const LINGER_MS = 2_000;
/** A request or an answer from this size on leaves so much behind that it is given back afterwards. */
const LARGE_BYTES = 1024 * 1024;
const GIVE_BACK_AFTER_MS = 200;
const NEWLINE = 0x0a;
const SET = 'set=1\n';
const GET = 'get=1\n';

type Request =
  | { readonly type: 'set'; readonly result: SetResult; readonly parser: SetParser; readonly last?: boolean }
  | { readonly type: 'get' }
  | { readonly type: 'bad'; readonly errno: number; readonly message: string; readonly last: boolean };

export class UapiConnection {
  readonly #socket: Socket;
  readonly #shared: UapiShared;
  readonly #writer = new AnswerWriter();
  #timer: NodeJS.Timeout | undefined;
  /** When the request under way began, in milliseconds; 0 between two. */
  #requestSince = 0;
  /** When it last had to do with its client; for the server's choice of whom to let go. */
  lastActive: number = performance.now();
  /** The device is at work on its request. */
  isServed = false;
  #operation = '';
  #parser: SetParser | undefined;
  #parserBytes = 0;
  /** Says that there is a chunk, or that there will be none. */
  #wake: (() => void) | undefined;
  #chunk: Uint8Array | undefined;
  #ended = false;

  constructor(socket: Socket, shared: UapiShared) {
    this.#socket = socket;
    this.#shared = shared;
    socket.on('data', (chunk: Uint8Array) => {
      socket.pause();
      this.#chunk = chunk;
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', () => {
      this.#disarm();
      end();
    });
    // A client that went away is nobody's error.
    socket.on('error', end);
    socket.pause();
  }

  /** Serves until the client is done, or cut off. Never rejects. */
  async run(): Promise<void> {
    try {
      for (let chunk = await this.#next(); chunk !== undefined; chunk = await this.#next()) {
        const goOn = await this.#feed(chunk);
        chunk.fill(0);
        if (!goOn) return await this.#refuse();
      }
      const rest = this.#atEnd();
      if (rest !== undefined) await this.#answer(rest);
      this.#socket.end();
      this.#arm(LINGER_MS);
    } catch (error) {
      this.#shared.log('error', `UAPI: ${error instanceof Error ? error.message : 'unknown error'}`);
      this.destroy();
    } finally {
      this.#dropParser();
    }
  }

  destroy(): void {
    this.#disarm();
    this.#socket.destroy();
  }

  /** The next bytes from the client, or `undefined` when there are none to come. */
  async #next(): Promise<Uint8Array | undefined> {
    const { idleTimeMs, requestTimeMs, betweenRequestsTimeMs } = this.#shared.limits;
    const now = performance.now();
    this.lastActive = now;
    if (this.#requestSince === 0) this.#arm(betweenRequestsTimeMs);
    else this.#arm(Math.min(idleTimeMs, Math.max(this.#requestSince + requestTimeMs - now, 1)));
    while (this.#chunk === undefined && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#socket.resume();
      });
    }
    this.#disarm();
    const chunk = this.#chunk;
    this.#chunk = undefined;
    return chunk;
  }

  /** @returns whether to read on */
  async #feed(chunk: Uint8Array): Promise<boolean> {
    let at = 0;
    while (at < chunk.length) {
      if (this.#requestSince === 0) this.#requestSince = performance.now();
      const [next, request] = this.#scan(chunk, at);
      at = next;
      if (request === undefined) continue;
      await this.#answer(request);
      this.#requestSince = 0;
      if (request.type !== 'get' && request.last) return false;
    }
    return true;
  }

  /** Reads up to the end of a request. @returns where it stopped, and the request if it is complete */
  #scan(chunk: Uint8Array, from: number): [number, Request?] {
    if (this.#parser !== undefined) return this.#scanSet(this.#parser, chunk, from);
    for (let at = from; at < chunk.length; ) {
      const byte = chunk[at++]!;
      this.#operation += String.fromCharCode(byte);
      if (this.#operation.length > MAX_OPERATION_BYTES) return [chunk.length, invalidOperation()];
      if (byte !== NEWLINE || this.#operation === GET) continue;
      const operation = this.#operation;
      this.#operation = '';
      if (operation === `${GET}\n`) return [at, { type: 'get' }];
      if (operation !== SET) return [chunk.length, invalidOperation()];
      this.#parser = new SetParser(this.#shared.limits, this.#shared.resolveScope);
      return this.#scanSet(this.#parser, chunk, at);
    }
    return [chunk.length];
  }

  #scanSet(parser: SetParser, chunk: Uint8Array, from: number): [number, Request?] {
    const end = parser.push(chunk, from);
    const size = (end < 0 ? chunk.length : end) - from;
    this.#parserBytes += size;
    this.#shared.pendingBytes += size;
    if (end >= 0) return [end, { type: 'set', result: parser.finish(), parser }];
    if (parser.tooBig) return [chunk.length, { type: 'set', result: parser.finish(), parser, last: true }];
    if (this.#shared.pendingBytes > this.#shared.limits.maxPendingBytes) {
      const message = `set: over ${this.#shared.limits.maxPendingBytes} bytes of requests at once`;
      return [chunk.length, { type: 'bad', errno: UAPI_NO_MEMORY, message, last: true }];
    }
    return [chunk.length];
  }

  /** A request that the client's end of writing cut short. */
  #atEnd(): Request | undefined {
    const parser = this.#parser;
    if (parser !== undefined) return { type: 'set', result: parser.truncated(), parser };
    return this.#operation === '' ? undefined : invalidOperation();
  }

  async #answer(request: Request): Promise<void> {
    if (request.type === 'get') return this.#get();
    const failure = request.type === 'bad' ? request : 'errno' in request.result ? request.result : undefined;
    if (failure !== undefined) this.#shared.log('error', `UAPI: ${failure.message}`);
    const errno = request.type === 'set' ? await this.#set(request.result) : request.errno;
    this.#dropParser();
    this.#writer.errno(errno);
    await this.#flush();
  }

  async #set(result: SetResult): Promise<number> {
    if ('errno' in result) return result.errno;
    this.isServed = true;
    try {
      return await this.#shared.inOrder(() => this.#shared.target.configure(result.change));
    } catch (error) {
      this.#logFailure('set', error);
      return UAPI_IO;
    } finally {
      this.isServed = false;
    }
  }

  async #get(): Promise<void> {
    const { target, scopeName } = this.#shared;
    const writer = this.#writer;
    let errno = UAPI_OK;
    let size = 0;
    try {
      const report = await target.report();
      writeInterface(writer, report);
      report.privateKey?.fill(0);
      for await (const peers of target.peers()) {
        for (const peer of peers) {
          let next = writePeer(writer, peer, 0, scopeName);
          for (; next >= 0; next = writePeer(writer, peer, next, scopeName)) {
            size += writer.length;
            await this.#flush();
          }
          peer.presharedKey.fill(0);
        }
        if (this.#socket.destroyed) return;
      }
    } catch (error) {
      this.#logFailure('get', error);
      errno = UAPI_IO;
    }
    if (!writer.hasRoom()) await this.#flush();
    writer.errno(errno);
    await this.#flush();
    giveBackAfter(size);
  }

  #logFailure(what: string, error: unknown): void {
    this.#shared.log('error', `UAPI: ${what}: ${error instanceof Error ? error.message : 'unknown error'}`);
  }

  /** Sends what was written, waits until the client took it, and wipes it. */
  async #flush(): Promise<void> {
    const socket = this.#socket;
    if (!socket.destroyed) {
      this.lastActive = performance.now();
      this.#arm(this.#shared.limits.idleTimeMs);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          socket.off('close', done);
          resolve();
        };
        socket.once('close', done);
        socket.write(this.#writer.bytes(), done);
      });
      this.#disarm();
    }
    this.#writer.clear();
    // A write the kernel took whole comes back without a turn of the event loop: others want one too.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Ends the connection of a client that may be writing still. */
  #refuse(): void {
    const socket = this.#socket;
    socket.end();
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Uint8Array) => chunk.fill(0));
    socket.resume();
    this.#arm(LINGER_MS);
  }

  #dropParser(): void {
    this.#parser?.wipe();
    this.#parser = undefined;
    this.#shared.pendingBytes -= this.#parserBytes;
    giveBackAfter(this.#parserBytes);
    this.#parserBytes = 0;
  }

  #arm(ms: number): void {
    this.#disarm();
    this.#timer = setTimeout(() => this.destroy(), ms);
    this.#timer.unref();
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

let givingBack: NodeJS.Timeout | undefined;

/** @param size bytes of a request or an answer that is done with */
function giveBackAfter(size: number): void {
  if (size < LARGE_BYTES) return;
  clearTimeout(givingBack);
  givingBack = setTimeout(giveMemoryBack, GIVE_BACK_AFTER_MS).unref();
}

function invalidOperation(): Request {
  return { type: 'bad', errno: UAPI_INVALID, message: 'expected set=1, or get=1 and an empty line', last: true };
}
