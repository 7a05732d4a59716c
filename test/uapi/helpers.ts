import { connect, type Socket } from 'node:net';
import type { PeerStatus } from '../../src/core/change.js';
import { AnswerWriter, writeInterface, writePeer } from '../../src/uapi/format.js';
import { DEFAULT_PARSE_LIMITS, type ParseLimits, SetParser, type SetResult } from '../../src/uapi/parse.js';
import type { MemoryDevice } from './memory-device.js';

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

export const SCOPES: Readonly<Record<string, number>> = { lo: 1, eth0: 2 };

/** Parses the lines behind `set=1` of a request, handed over in chunks of the given size. */
export function parse(
  text: string | Uint8Array,
  chunkSize: number = 1 << 20,
  limits?: Partial<ParseLimits>,
): SetResult {
  const input = typeof text === 'string' ? bytes(text) : text;
  const parser = new SetParser({ ...DEFAULT_PARSE_LIMITS, ...limits }, (name) => SCOPES[name]);
  for (let at = 0; at < input.length; at += chunkSize) {
    const end = parser.push(input.slice(at, at + chunkSize), 0);
    if (end >= 0 || parser.tooBig) return parser.finish();
  }
  return parser.truncated();
}

/** What `get` writes for a device, without its errno line. */
export async function format(device: MemoryDevice, capacity = 65536): Promise<string> {
  const writer = new AnswerWriter(capacity);
  let text = '';
  const flush = (): void => {
    text += Buffer.from(writer.bytes()).toString('latin1');
    writer.clear();
  };
  writeInterface(writer, await device.report());
  for await (const peers of device.peers()) {
    for (const peer of peers) {
      for (let next = writePeer(writer, peer, 0); next >= 0; next = writePeer(writer, peer, next)) flush();
    }
  }
  flush();
  return text;
}

export function peerStatus(change: Partial<PeerStatus>): PeerStatus {
  return {
    publicKey: new Uint8Array(32).fill(1),
    presharedKey: new Uint8Array(32),
    persistentKeepaliveInterval: 0,
    lastHandshakeTimeMs: 0,
    rxBytes: 0,
    txBytes: 0,
    allowedIps: [],
    ...change,
  };
}

/** A client of the socket that collects answers. */
export class Client {
  readonly socket: Socket;
  #text = '';
  #closed = false;
  #wake: () => void = () => {};

  constructor(path: string) {
    this.socket = connect({ path, allowHalfOpen: true });
    this.socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1');
      this.#wake();
    });
    this.socket.on('error', () => {});
    const close = (): void => {
      this.#closed = true;
      this.#wake();
    };
    this.socket.on('end', close);
    this.socket.on('close', close);
  }

  send(text: string | Uint8Array): this {
    this.socket.write(text);
    return this;
  }

  /** The next answer up to its empty line, or `undefined` when the server hung up instead. */
  async answer(): Promise<string | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const answer = this.#text.slice(0, end + 1);
        this.#text = this.#text.slice(end + 2);
        return answer;
      }
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async hungUp(): Promise<void> {
    while (!this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

/** xorshift32: random enough for tests, and the same each time. */
export function randomFrom(seed: number): (below: number) => number {
  // Of 0 it makes nothing but 0.
  let state = seed || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
