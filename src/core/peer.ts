/**
 * A peer, in two parts: the compact record that every configured peer costs, and the session state
 * that only a peer in use has (taken from a pool, and given back when it went quiet).
 */
import type { CookieJar } from './cookie.js';
import { Keypair } from './keypair.js';
import { Handshake } from './noise.js';
import { StagedQueue } from './staging.js';
import { TIMERS } from './timers.js';

export class Peer {
  /** Row in every table of the device. */
  readonly index: number;
  /** Row of the endpoint table. */
  readonly endpoint: number;
  persistentKeepaliveInterval = 0;
  session: Session | undefined;
  removed = false;
  /** Peers in the order they were added. */
  next: Peer | undefined;
  previous: Peer | undefined;

  constructor(index: number, endpoint: number) {
    this.index = index;
    this.endpoint = endpoint;
  }
}

/** What {@link Session.pending} can hold: work for the next `planPending`. */
export const Pending = { initiation: 1, response: 2, keepalive: 4, staged: 8 } as const;

export class Session {
  peer: Peer;
  jar: CookieJar;
  readonly handshake: Handshake = new Handshake();
  /** Storage; the roles are below. */
  readonly keypairs: readonly Keypair[] = [new Keypair(), new Keypair(), new Keypair()];
  current: Keypair | undefined;
  previous: Keypair | undefined;
  /** Responder's new keypair, until the initiator's first data confirms it. */
  next: Keypair | undefined;
  readonly staged: StagedQueue = new StagedQueue();
  /** Bits of {@link Pending}; queued once while not zero. */
  pending = 0;
  queued = false;

  /** When each timer fires (milliseconds of boot time), Infinity while off: see timers.ts. */
  readonly timers: Float64Array = new Float64Array(TIMERS).fill(Number.POSITIVE_INFINITY);
  /** Its place and key in the device's timer heap. */
  heapIndex = -1;
  heapAt: number = Number.POSITIVE_INFINITY;
  handshakeAttempts = 0;
  needAnotherKeepalive = false;
  sentLastMinuteHandshake = false;
  /** Boot time of the last initiation or response sent; very negative when none was. */
  lastSentHandshakeMs: number = Number.NEGATIVE_INFINITY;
  lastConsumedInitiationMs: number = Number.NEGATIVE_INFINITY;
  /** Whole 2^24 ns ticks of the last timestamp sent. */
  lastSentTick = 0;
  /** The peer that carried this one's datagrams last, for the loop guard. */
  carrier: Session | undefined;
  carrierAtMs = 0;

  constructor(peer: Peer, jar: CookieJar) {
    this.peer = peer;
    this.jar = jar;
  }
}
