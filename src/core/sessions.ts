/**
 * The life of a session: taken from a pool, its three keypairs, what it has waiting to be sent.
 */
import { MAX_POOLED_SESSIONS, REKEY_TIMEOUT_MS } from './constants.js';
import { CookieJar } from './cookie.js';
import { Drop } from './drops.js';
import type { Keypair } from './keypair.js';
import { HandshakeState } from './noise.js';
import { type Peer, Pending, Session } from './peer.js';
import { LAST_HANDSHAKE } from './peers.js';
import type { State } from './state.js';

/** Index table values: peer row, and which of its keypairs, or its handshake. */
export const HANDSHAKE_HANDLE = 3;
export function handleOf(session: Session, kind: number): number {
  return session.peer.index * 4 + kind;
}

export class Sessions {
  readonly #state: State;
  readonly #pool: Session[] = [];
  /** Sessions with something to send, in turn. */
  #queue: Session[] = [];
  #head = 0;
  /** Sessions by the index that their datagrams carry: for the loop guard. */
  readonly #byRemoteIndex = new Map<number, Session>();

  constructor(state: State) {
    this.#state = state;
  }

  /** The peer's session; a fresh one if it has none. */
  of(peer: Peer): Session {
    if (peer.session) return peer.session;
    const jar = new CookieJar(this.#state.suite, this.#state.peers.publicKey(peer.index));
    const session = this.#pool.pop() ?? new Session(peer, jar);
    session.peer = peer;
    session.jar = jar;
    peer.session = session;
    return session;
  }

  byRemoteIndex(index: number): Session | undefined {
    return this.#byRemoteIndex.get(index | 0);
  }

  /** Gives the session back if nothing is left in it. */
  releaseIfIdle(session: Session): void {
    if (session.current || session.next || session.previous || session.pending !== 0) return;
    if (session.handshake.state !== HandshakeState.idle || session.staged.count > 0) return;
    for (const at of session.timers) if (at !== Number.POSITIVE_INFINITY) return;
    this.release(session);
  }

  /** Wipes everything the session holds, and takes it from its peer. */
  release(session: Session): void {
    this.clear(session);
    session.handshake.wipe();
    session.jar.destroy();
    session.peer.session = undefined;
    session.lastSentHandshakeMs = Number.NEGATIVE_INFINITY;
    session.lastConsumedInitiationMs = Number.NEGATIVE_INFINITY;
    session.lastSentTick = 0;
    session.handshakeAttempts = 0;
    session.sentLastMinuteHandshake = false;
    session.carrier = undefined;
    session.pending = 0;
    if (!session.queued && this.#pool.length < MAX_POOLED_SESSIONS) this.#pool.push(session);
  }

  /** Keys, handshake, staged packets and timers are gone; cookies and rate limits stay. */
  clear(session: Session): void {
    this.#state.timers.stopAll(session);
    this.#state.drops.add(Drop.stagedFlushed, this.#state.staged.clear(session.staged));
    session.pending = 0;
    this.clearHandshake(session);
    this.clearKeypairs(session);
  }

  clearHandshake(session: Session): void {
    if (session.handshake.localIndex >= 0) this.#state.indices.free(session.handshake.localIndex);
    session.handshake.clear();
  }

  clearKeypairs(session: Session): void {
    this.#end(session.previous);
    this.#end(session.current);
    this.#end(session.next);
    session.previous = undefined;
    session.current = undefined;
    session.next = undefined;
  }

  /** Our identity changed: nothing more is sent with the old keys, a handshake may go out at once. */
  expireCurrent(session: Session): void {
    this.clearHandshake(session);
    session.handshake.wipe();
    session.lastSentHandshakeMs = Number.NEGATIVE_INFINITY;
    if (session.current) session.current.sendValid = false;
    if (session.next) session.next.sendValid = false;
  }

  /**
   * The handshake is done: its keys, just derived in `noise`, become a keypair.
   * @param localIndex an index of ours; from now on it names the keypair
   */
  begin(session: Session, localIndex: number, remoteIndex: number, initiator: boolean, now: number): void {
    const { noise, suite, indices, timers } = this.#state;
    if (initiator) {
      // The response confirmed it: it is used at once. A keypair never confirmed is demoted.
      this.#end(session.previous);
      if (session.next) {
        this.#end(session.current);
        session.previous = session.next;
        session.next = undefined;
      } else session.previous = session.current;
      session.current = undefined;
    } else {
      // Not used before the initiator's first data message confirms it.
      this.#end(session.next);
      this.#end(session.previous);
      session.next = undefined;
      session.previous = undefined;
    }
    const slot = session.keypairs.findIndex((candidate) => !candidate.inUse);
    const keypair = session.keypairs[slot]!;
    const [send, receive] = initiator
      ? [noise.initiatorKey, noise.responderKey]
      : [noise.responderKey, noise.initiatorKey];
    keypair.begin(suite, send, receive, initiator, now);
    keypair.localIndex = localIndex;
    keypair.remoteIndex = remoteIndex;
    indices.replace(localIndex, handleOf(session, slot));
    this.#byRemoteIndex.set(remoteIndex | 0, session);
    if (initiator) session.current = keypair;
    else session.next = keypair;
    timers.sessionDerived(session, now);
  }

  /** Authentic data arrived on a keypair. @returns whether that confirmed the responder's new one */
  confirm(session: Session, keypair: Keypair): boolean {
    if (session.next !== keypair) return false;
    // There is no previous one beside a next one: begin saw to it.
    session.previous = session.current;
    session.current = keypair;
    session.next = undefined;
    return true;
  }

  complete(session: Session): void {
    const { peers, timers, wallTimeMs } = this.#state;
    timers.handshakeComplete(session);
    peers.setStat(session.peer.index, LAST_HANDSHAKE, wallTimeMs());
    this.#state.emit({ type: 'handshake-complete', peer: peers.publicKey(session.peer.index) });
  }

  /** Asks for a handshake, unless one was sent within the rekey timeout. */
  queueInitiation(session: Session, isRetry: boolean, now: number): void {
    if (!isRetry) session.handshakeAttempts = 0;
    if (now - session.lastSentHandshakeMs < REKEY_TIMEOUT_MS) return;
    this.pend(session, Pending.initiation);
  }

  /** Notes work for the next `planPending`. */
  pend(session: Session, work: number): void {
    session.pending |= work;
    if (session.queued) return;
    session.queued = true;
    this.#queue.push(session);
  }

  /** The first session with work, which stays first until it has none. */
  nextPending(): Session | undefined {
    for (let session = this.#queue[this.#head]; session; session = this.#queue[this.#head]) {
      if (session.pending !== 0 && !session.peer.removed) return session;
      session.queued = false;
      this.#head++;
    }
    if (this.#head > 0) {
      this.#queue = [];
      this.#head = 0;
    }
    return undefined;
  }

  #end(keypair: Keypair | undefined): void {
    if (!keypair?.inUse) return;
    this.#state.indices.free(keypair.localIndex);
    this.#byRemoteIndex.delete(keypair.remoteIndex | 0);
    keypair.end(this.#state.suite);
  }
}
