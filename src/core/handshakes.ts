/**
 * Handshake messages: what they must pass, the bounded queue they wait in, and what is done with each.
 *
 * Their macs are looked at when they arrive: what a flood can be made of never takes a place in the queue
 * (docs/adr/0019). The others wait so that data goes first, and so that their number tells when the device
 * is under load.
 */
import {
  HANDSHAKE_QUEUE_SIZE,
  INITIATIONS_INTERVAL_MS,
  MAX_COOKIE_REPLIES,
  UNDER_LOAD_FOR_MS,
  UNDER_LOAD_FROM,
} from './constants.js';
import { MacVerdict } from './cookie.js';
import { Drop } from './drops.js';
import { ENDPOINT_SIZE } from './endpoint.js';
import {
  COOKIE_REPLY_RECEIVER,
  COOKIE_REPLY_SIZE,
  INITIATION_SENDER,
  INITIATION_SIZE,
  KEY_SIZE,
  MessageType,
  RESPONSE_RECEIVER,
  RESPONSE_SENDER,
  RESPONSE_SIZE,
  readU32,
  writeU32,
} from './messages.js';
import { HandshakeState } from './noise.js';
import { Pending, type Session } from './peer.js';
import { RX_BYTES } from './peers.js';
import { HANDSHAKE_HANDLE, handleOf, type Sessions } from './sessions.js';
import type { State } from './state.js';
import { Tai64n } from './tai64n.js';

const SIZES: readonly number[] = [0, INITIATION_SIZE, RESPONSE_SIZE, COOKIE_REPLY_SIZE];

export class Handshakes {
  readonly #state: State;
  readonly #sessions: Sessions;
  readonly #clock: Tai64n;
  readonly #messages = new Uint8Array(HANDSHAKE_QUEUE_SIZE * INITIATION_SIZE);
  /** Endpoint rows of the queue's places: this one and those that follow. */
  readonly #sources: number;
  #first = 0;
  #count = 0;
  #underLoadUntilMs = Number.NEGATIVE_INFINITY;
  /** Messages turned away for want of a cookie. */
  #turnedAway = 0;
  readonly #replies = new Uint8Array(MAX_COOKIE_REPLIES * COOKIE_REPLY_SIZE);
  readonly #replyTo: number;
  #replyCount = 0;
  readonly #psk = new Uint8Array(KEY_SIZE);
  readonly #timestamp = new Uint8Array(12);

  constructor(state: State, sessions: Sessions) {
    this.#state = state;
    this.#sessions = sessions;
    this.#clock = new Tai64n(state.wallTimeMs);
    this.#sources = state.endpoints.allocate();
    this.#replyTo = this.#sources + HANDSHAKE_QUEUE_SIZE;
    for (let i = 1; i < HANDSHAKE_QUEUE_SIZE + MAX_COOKIE_REPLIES; i++) state.endpoints.allocate();
  }

  isUnderLoad(now: number): boolean {
    return now < this.#underLoadUntilMs;
  }

  /** Takes a datagram that says it is a handshake message: copied if it is worth it, so the arena is free again. */
  enqueue(type: number, offset: number, length: number, endpoint: number, now: number): void {
    const { arena, checker, drops, endpoints, limiter } = this.#state;
    if (length !== SIZES[type]) return drops.count(Drop.badLength);
    const message = arena.subarray(offset, offset + length);
    if (type === MessageType.cookieReply) return this.#cookieReply(message, now);
    const loaded = this.isUnderLoad(now);
    const row = endpoints.bytes.subarray(endpoint * ENDPOINT_SIZE, (endpoint + 1) * ENDPOINT_SIZE);
    const verdict = checker.check(message, row, loaded, loaded && this.#isAnswered(endpoint), now);
    if (verdict === MacVerdict.invalid) return drops.count(Drop.badMac1);
    if (loaded && verdict !== MacVerdict.mac2) return this.#demandCookie(message, row, endpoint, now);
    if (loaded && !limiter.allow(row, 4, row[0] === 4 ? 4 : 6, now)) return drops.count(Drop.rateLimited);
    if (this.#count >= UNDER_LOAD_FROM - 1) this.#underLoadUntilMs = now + UNDER_LOAD_FOR_MS;
    if (this.#count === HANDSHAKE_QUEUE_SIZE) return drops.count(Drop.handshakeQueueFull);
    const place = (this.#first + this.#count++) % HANDSHAKE_QUEUE_SIZE;
    this.#messages.set(message, place * INITIATION_SIZE);
    endpoints.copy(endpoint, this.#sources + place);
  }

  /** A source gets one cookie reply between two flushes: a flood from there takes none from others, and costs little. */
  #isAnswered(endpoint: number): boolean {
    const { endpoints } = this.#state;
    for (let i = 0; i < this.#replyCount; i++) if (endpoints.isSame(this.#replyTo + i, endpoint)) return true;
    return this.#replyCount === MAX_COOKIE_REPLIES;
  }

  #demandCookie(message: Uint8Array, row: Uint8Array, endpoint: number, now: number): void {
    const { checker, drops, endpoints } = this.#state;
    drops.count(Drop.underLoad);
    // They would have filled the queue that far.
    if (++this.#turnedAway % UNDER_LOAD_FROM === 0) this.#underLoadUntilMs = now + UNDER_LOAD_FOR_MS;
    if (this.#isAnswered(endpoint)) return;
    const at = this.#replyCount * COOKIE_REPLY_SIZE;
    checker.reply(message, row, now, this.#replies.subarray(at, at + COOKIE_REPLY_SIZE));
    endpoints.copy(endpoint, this.#replyTo + this.#replyCount++);
  }

  /** Works off at most `limit` messages. @returns how many still wait */
  process(limit: number, now: number): number {
    for (let i = 0; i < limit && this.#count > 0; i++) {
      const place = this.#first;
      const message = this.#messages.subarray(place * INITIATION_SIZE, (place + 1) * INITIATION_SIZE);
      if (message[0] === MessageType.initiation) this.#initiation(message, this.#sources + place, now);
      else this.#response(message.subarray(0, RESPONSE_SIZE), this.#sources + place, now);
      this.#state.noise.wipe();
      this.#first = (place + 1) % HANDSHAKE_QUEUE_SIZE;
      this.#count--;
    }
    return this.#count;
  }

  /** The next cookie reply: copied into the arena at `offset`. @returns the endpoint row, or -1 */
  takeReply(offset: number): number {
    if (this.#replyCount === 0) return -1;
    const i = --this.#replyCount;
    this.#state.arena.set(this.#replies.subarray(i * COOKIE_REPLY_SIZE, (i + 1) * COOKIE_REPLY_SIZE), offset);
    return this.#replyTo + i;
  }

  #cookieReply(message: Uint8Array, now: number): void {
    const handle = this.#state.indices.lookup(readU32(message, COOKIE_REPLY_RECEIVER));
    const session = handle < 0 ? undefined : this.#state.peers.at(handle >> 2)?.session;
    if (!session) return this.#state.drops.count(Drop.unknownIndex);
    if (!session.jar.consumeReply(message, now)) this.#state.drops.count(Drop.badCookie);
  }

  #initiation(message: Uint8Array, source: number, now: number): void {
    const { noise, peers, drops, endpoints } = this.#state;
    if (!noise.openStatic(message)) return drops.count(Drop.badHandshake);
    const peer = peers.find(noise.remoteStatic);
    if (!peer) return drops.count(Drop.unknownPeer);
    const session = this.#sessions.of(peer);
    const { handshake } = session;
    const last = peers.lastTimestamp(peer.index);
    let refused: number | undefined;
    if (
      !noise.prepareStaticStatic(handshake, noise.remoteStatic) ||
      !noise.openTimestamp(message, handshake.staticStatic)
    ) {
      refused = Drop.badHandshake;
    } else if (!isAfter(noise.timestamp, last)) refused = Drop.replayedHandshake;
    else if (now - session.lastConsumedInitiationMs < INITIATIONS_INTERVAL_MS) refused = Drop.floodedHandshake;
    if (refused !== undefined) {
      drops.count(refused);
      return this.#sessions.releaseIfIdle(session);
    }
    last.set(noise.timestamp);
    session.lastConsumedInitiationMs = now;
    this.#sessions.clearHandshake(session);
    noise.acceptInitiation(handshake, message, readU32(message, INITIATION_SENDER));
    this.#received(session, INITIATION_SIZE, now, endpoints.roam(peer.endpoint, source));
    this.#sessions.pend(session, Pending.response);
  }

  #response(message: Uint8Array, source: number, now: number): void {
    const { noise, peers, drops, indices, endpoints } = this.#state;
    const handle = indices.lookup(readU32(message, RESPONSE_RECEIVER));
    const session = handle < 0 || (handle & 3) !== HANDSHAKE_HANDLE ? undefined : peers.at(handle >> 2)?.session;
    if (!session || session.handshake.state !== HandshakeState.createdInitiation) {
      return drops.count(Drop.unknownIndex);
    }
    const { handshake, peer } = session;
    if (!noise.openResponse(handshake, peers.presharedKey(peer.index), message)) return drops.count(Drop.badHandshake);
    noise.deriveKeys();
    this.#sessions.begin(session, handshake.localIndex, readU32(message, RESPONSE_SENDER), true, now);
    handshake.clear();
    this.#sessions.complete(session);
    this.#received(session, RESPONSE_SIZE, now, endpoints.roam(peer.endpoint, source));
    // Confirms the session: with staged packets if there are any, else with a keepalive.
    this.#sessions.pend(session, Pending.keepalive | Pending.staged);
  }

  #received(session: Session, size: number, now: number, roamed: number): void {
    const { timers, peers } = this.#state;
    peers.addStat(session.peer.index, RX_BYTES, size);
    timers.anyAuthenticatedPacketReceived(session);
    timers.anyAuthenticatedPacketTraversal(session, now);
    if (roamed === 2) this.#state.emitRoamed(session.peer);
  }

  /** Writes an initiation into the arena at `offset`. @returns its length, or -1 if there can be none */
  writeInitiation(session: Session, offset: number, now: number): number {
    const { noise, peers, indices, arena, timers } = this.#state;
    session.lastSentHandshakeMs = now;
    timers.handshakeInitiated(session, now);
    timers.anyAuthenticatedPacketTraversal(session, now);
    const message = arena.subarray(offset, offset + INITIATION_SIZE);
    session.lastSentTick = this.#clock.write(this.#timestamp, session.lastSentTick, now);
    this.#sessions.clearHandshake(session);
    const remote = peers.publicKey(session.peer.index);
    if (!noise.writeInitiation(session.handshake, remote, message, this.#timestamp)) return -1;
    session.handshake.localIndex = indices.allocate(handleOf(session, HANDSHAKE_HANDLE));
    writeU32(message, 0, MessageType.initiation);
    writeU32(message, INITIATION_SENDER, session.handshake.localIndex);
    session.jar.addMacs(message, now);
    timers.anyAuthenticatedPacketSent(session);
    noise.wipe();
    return INITIATION_SIZE;
  }

  /** Writes the response to the initiation just consumed, and begins its session. */
  writeResponse(session: Session, offset: number, now: number): number {
    const { noise, peers, indices, arena, timers } = this.#state;
    const { handshake, peer } = session;
    if (handshake.state !== HandshakeState.consumedInitiation) return -1;
    session.lastSentHandshakeMs = now;
    const message = arena.subarray(offset, offset + RESPONSE_SIZE);
    this.#psk.set(peers.presharedKey(peer.index));
    const fine = noise.writeResponse(handshake, peers.publicKey(peer.index), this.#psk, message);
    this.#psk.fill(0);
    if (!fine) {
      this.#sessions.clearHandshake(session);
      return -1;
    }
    const localIndex = indices.allocate(handleOf(session, HANDSHAKE_HANDLE));
    writeU32(message, 0, MessageType.response);
    writeU32(message, RESPONSE_SENDER, localIndex);
    writeU32(message, RESPONSE_RECEIVER, handshake.remoteIndex);
    session.jar.addMacs(message, now);
    noise.deriveKeys();
    this.#sessions.begin(session, localIndex, handshake.remoteIndex, false, now);
    handshake.clear();
    timers.anyAuthenticatedPacketTraversal(session, now);
    timers.anyAuthenticatedPacketSent(session);
    noise.wipe();
    return RESPONSE_SIZE;
  }
}

/** TAI64N timestamps are big-endian: their order is that of their bytes. */
function isAfter(timestamp: Uint8Array, last: Uint8Array): boolean {
  for (let i = 0; i < timestamp.length; i++) {
    if (timestamp[i] !== last[i]) return timestamp[i]! > last[i]!;
  }
  return false;
}
