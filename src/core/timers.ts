/**
 * The timers of a session (paper, section 6), as hooks named by the event that calls them, and the
 * heap that finds the session whose timer is next.
 *
 * Stopping or postponing a timer costs one store: the heap keeps the earlier time, and a firing that
 * finds nothing due puts the session back where it belongs.
 */
import { KEEPALIVE_TIMEOUT_MS, KEYS_WIPED_AFTER_MS, REKEY_TIMEOUT_JITTER_MS, REKEY_TIMEOUT_MS } from './constants.js';
import type { Session } from './peer.js';

export const Timer = {
  retransmitHandshake: 0,
  sendKeepalive: 1,
  newHandshake: 2,
  zeroKeyMaterial: 3,
  persistentKeepalive: 4,
} as const;
export const TIMERS = 5;

const OFF = Number.POSITIVE_INFINITY;

export class Timers {
  readonly #jitter: () => number;
  readonly #heap: Session[] = [];

  /** @param random gives a number from 0 (included) to 1 (excluded) */
  constructor(random: () => number) {
    this.#jitter = () => random() * REKEY_TIMEOUT_JITTER_MS;
  }

  /** When the next timer may fire, or Infinity. */
  next(): number {
    return this.#heap[0]?.heapAt ?? OFF;
  }

  /** Data with content was sent: unanswered, it leads to a new handshake. */
  dataSent(session: Session, now: number): void {
    session.needAnotherKeepalive = false;
    if (session.timers[Timer.newHandshake] === OFF) {
      this.start(session, Timer.newHandshake, now + KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS + this.#jitter());
    }
  }

  /** Data with content was received: it is answered within the keepalive timeout, by a keepalive at last. */
  dataReceived(session: Session, now: number): void {
    if (session.timers[Timer.sendKeepalive] === OFF) {
      this.start(session, Timer.sendKeepalive, now + KEEPALIVE_TIMEOUT_MS);
    } else session.needAnotherKeepalive = true;
  }

  anyAuthenticatedPacketSent(session: Session): void {
    session.timers[Timer.sendKeepalive] = OFF;
  }

  /** A keepalive was sent: if more than one data message waited for it, another follows. */
  keepaliveSent(session: Session, now: number): void {
    if (!session.needAnotherKeepalive) return;
    session.needAnotherKeepalive = false;
    this.start(session, Timer.sendKeepalive, now + KEEPALIVE_TIMEOUT_MS);
  }

  anyAuthenticatedPacketReceived(session: Session): void {
    session.timers[Timer.newHandshake] = OFF;
  }

  anyAuthenticatedPacketTraversal(session: Session, now: number): void {
    const interval = session.peer.persistentKeepaliveInterval;
    if (interval > 0) this.start(session, Timer.persistentKeepalive, now + interval * 1000);
  }

  handshakeInitiated(session: Session, now: number): void {
    this.start(session, Timer.retransmitHandshake, now + REKEY_TIMEOUT_MS + this.#jitter());
  }

  handshakeComplete(session: Session): void {
    session.timers[Timer.retransmitHandshake] = OFF;
    session.handshakeAttempts = 0;
    session.sentLastMinuteHandshake = false;
  }

  sessionDerived(session: Session, now: number): void {
    this.start(session, Timer.zeroKeyMaterial, now + KEYS_WIPED_AFTER_MS);
  }

  start(session: Session, timer: number, at: number): void {
    session.timers[timer] = at;
    if (at < session.heapAt) this.#place(session, at);
  }

  stopAll(session: Session): void {
    session.timers.fill(OFF);
    session.needAnotherKeepalive = false;
    this.#remove(session);
  }

  /**
   * Takes out the first session with a timer due, and stops that timer.
   * @returns the timer's number in `fired`, with its session; undefined when none is due
   */
  expire(now: number): { session: Session; timer: number } | undefined {
    for (let session = this.#heap[0]; session && session.heapAt <= now; session = this.#heap[0]) {
      let earliest = 0;
      for (let timer = 1; timer < TIMERS; timer++) {
        if (session.timers[timer]! < session.timers[earliest]!) earliest = timer;
      }
      const at = session.timers[earliest]!;
      if (at <= now) {
        session.timers[earliest] = OFF;
        return { session, timer: earliest };
      }
      this.#remove(session);
      if (at !== OFF) this.#place(session, at);
    }
    return undefined;
  }

  #place(session: Session, at: number): void {
    session.heapAt = at;
    if (session.heapIndex < 0) {
      session.heapIndex = this.#heap.length;
      this.#heap.push(session);
    }
    this.#siftUp(session.heapIndex);
  }

  #remove(session: Session): void {
    const at = session.heapIndex;
    if (at < 0) return;
    const last = this.#heap.pop()!;
    session.heapIndex = -1;
    session.heapAt = OFF;
    if (last === session) return;
    this.#heap[at] = last;
    last.heapIndex = at;
    this.#siftUp(at);
    this.#siftDown(last.heapIndex);
  }

  #siftUp(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#heap[parent]!.heapAt <= this.#heap[at]!.heapAt) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #siftDown(from: number): void {
    let at = from;
    for (;;) {
      let least = at;
      for (let child = 2 * at + 1; child <= 2 * at + 2; child++) {
        if (child < this.#heap.length && this.#heap[child]!.heapAt < this.#heap[least]!.heapAt) least = child;
      }
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #swap(a: number, b: number): void {
    const first = this.#heap[a]!;
    const second = this.#heap[b]!;
    this.#heap[a] = second;
    this.#heap[b] = first;
    second.heapIndex = a;
    first.heapIndex = b;
  }
}
