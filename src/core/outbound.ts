/**
 * Outbound flow, top to bottom:
 *
 *   1. cleartext packets come in a batch from the TUN           planOutbound
 *   2. each is routed to a peer by its destination              #route
 *   3. and staged, or numbered for the cipher                   #number
 *      (what the core itself has to say joins here: planPending)
 *   4. the executor seals                                       outside
 *   5. headers are written, timers told                         finishOutbound
 */
import { GONE, type PacketBatch } from './batch.js';
import { HANDSHAKE_TOS, LOOP_MEMORY_MS, PADDING, REKEY_AFTER_MESSAGES_HI, REKEY_AFTER_TIME_MS } from './constants.js';
import { Drop } from './drops.js';
import type { Handshakes } from './handshakes.js';
import { IcmpErrors } from './icmp-errors.js';
import { destinationOffset, ecnEncapsulate, innerLength, innerTos } from './ip-header.js';
import type { Keypair } from './keypair.js';
import {
  COOKIE_REPLY_SIZE,
  DATA_COUNTER,
  DATA_HEADER_SIZE,
  DATA_OVERHEAD,
  DATA_RECEIVER,
  MessageType,
  readU32,
} from './messages.js';
import { type Peer, Pending, type Session } from './peer.js';
import { TX_BYTES } from './peers.js';
import type { Sessions } from './sessions.js';
import type { State } from './state.js';
import { NO_KEY } from './suite.js';

const UDP = 17;
/** Sessions inside sessions are followed this deep for the loop guard. */
const MAX_NESTING = 16;

export class Outbound {
  readonly #state: State;
  readonly #sessions: Sessions;
  readonly #handshakes: Handshakes;
  readonly icmp: IcmpErrors;

  constructor(state: State, sessions: Sessions, handshakes: Handshakes) {
    this.#state = state;
    this.#sessions = sessions;
    this.#handshakes = handshakes;
    this.icmp = new IcmpErrors(state);
  }

  /**
   * Cleartext in: each row is routed, then numbered for the cipher, staged, or dropped.
   * @param batch rows of IP packets, with HEADROOM in front and TAILROOM behind each
   */
  plan(batch: PacketBatch, now: number): void {
    for (let row = 0; row < batch.count; row++) {
      batch.key[row] = NO_KEY;
      const length = batch.length[row]!;
      if (length !== GONE) this.#route(batch, row, length, now);
    }
  }

  #route(batch: PacketBatch, row: number, available: number, now: number): void {
    const { arena, peers, endpoints, staged } = this.#state;
    const offset = batch.offset[row]!;
    const length = innerLength(arena, offset, available);
    if (length < 0) return this.#state.drop(batch, row, Drop.badInnerPacketOut);
    const version = arena[offset]! >>> 4;
    const peer = peers.at(this.#state.owner(version, destinationOffset(arena, offset)));
    if (!peer || !endpoints.isSet(peer.endpoint)) {
      this.icmp.unreachable(offset, length, now);
      return this.#state.drop(batch, row, peer ? Drop.noEndpoint : Drop.noPeer);
    }
    const session = this.#sessions.of(peer);
    if (this.#loops(session, offset, version, now)) return this.#state.drop(batch, row, Drop.loop);
    const keypair = session.current;
    if (keypair?.canSend(now) && session.staged.count === 0) {
      return this.#number(batch, row, peer, keypair, offset, length);
    }
    this.#stage(session, offset, length);
    batch.length[row] = GONE;
    if (keypair?.canSend(now)) this.#sessions.pend(session, Pending.staged);
    else this.#sessions.queueInitiation(session, false, now);
    if (staged.firstLength(session.staged) < 0) this.#sessions.releaseIfIdle(session);
  }

  /** Gives the row a counter, a key and its padding. */
  #number(batch: PacketBatch, row: number, peer: Peer, keypair: Keypair, offset: number, length: number): void {
    const { arena, mtu } = this.#state;
    let padded = (length + PADDING - 1) & -PADDING;
    if (padded > mtu) padded = Math.max(length, mtu);
    for (let at = offset + length; at < offset + padded; at++) arena[at] = 0;
    batch.tos[row] = length === 0 ? 0 : ecnEncapsulate(innerTos(arena, offset));
    batch.length[row] = padded;
    batch.peer[row] = peer.index;
    batch.keypair[row] = keypair.remoteIndex;
    batch.endpoint[row] = peer.endpoint;
    batch.key[row] = keypair.sendKey;
    batch.counterLo[row] = keypair.sendLo;
    batch.counterHi[row] = keypair.sendHi;
    keypair.countSent();
  }

  #stage(session: Session, offset: number, length: number): void {
    const { staged, arena, drops } = this.#state;
    if (staged.push(session.staged, arena, offset, length) !== 0) drops.count(Drop.stagedFull);
  }

  /**
   * Whether the packet is one of our own datagrams about to be put into the tunnel it came from, or
   * into one that travels inside it. Nesting is fine, a circle would never end.
   */
  #loops(carrier: Session, offset: number, version: number, now: number): boolean {
    const { arena, listenPort } = this.#state;
    let udp = offset + 40;
    if (version === 4) {
      if (arena[offset + 9] !== UDP || ((arena[offset + 6]! & 0x1f) | arena[offset + 7]!) !== 0) return false;
      udp = offset + (arena[offset]! & 15) * 4;
    } else if (arena[offset + 6] !== UDP) return false;
    if (((arena[udp]! << 8) | arena[udp + 1]!) !== listenPort || listenPort === 0) return false;
    if (readU32(arena, udp + 8) !== MessageType.data) return false;
    const carried = this.#sessions.byRemoteIndex(readU32(arena, udp + 8 + DATA_RECEIVER));
    if (!carried) return false;
    let outer: Session | undefined = carrier;
    for (let depth = 0; outer; depth++) {
      if (outer === carried || depth > MAX_NESTING) return true;
      outer = now - outer.carrierAtMs < LOOP_MEMORY_MS ? outer.carrier : undefined;
    }
    carried.carrier = carrier;
    carried.carrierAtMs = now;
    return false;
  }

  /**
   * What the core itself has to send: handshake messages, cookie replies, keepalives, staged packets.
   * Fills the batch from the start; call again while it comes back full.
   * @param batch its `offset` column names a free place for each row
   * @param room bytes at each place, TAILROOM not counted
   */
  planPending(batch: PacketBatch, room: number, now: number): void {
    batch.count = 0;
    while (batch.count < batch.capacity) {
      const to = this.#handshakes.takeReply(batch.offset[batch.count]!);
      if (to < 0) break;
      this.#control(batch, COOKIE_REPLY_SIZE, to, -1);
    }
    while (batch.count < batch.capacity) {
      const session = this.#sessions.nextPending();
      if (!session) return;
      this.#pendingOf(session, batch, room, now);
    }
  }

  #pendingOf(session: Session, batch: PacketBatch, room: number, now: number): void {
    if (session.pending & (Pending.initiation | Pending.response)) {
      const initiate = (session.pending & Pending.initiation) !== 0;
      session.pending &= ~(initiate ? Pending.initiation : Pending.response);
      const offset = batch.offset[batch.count]!;
      const size = initiate
        ? this.#handshakes.writeInitiation(session, offset, now)
        : this.#handshakes.writeResponse(session, offset, now);
      if (size < 0) return this.#state.drops.count(Drop.handshakeImpossible);
      return this.#control(batch, size, session.peer.endpoint, session.peer.index);
    }
    const keypair = session.current;
    if (!keypair?.canSend(now)) {
      session.pending = 0;
      this.#sessions.queueInitiation(session, false, now);
      return;
    }
    const length = this.#state.staged.firstLength(session.staged);
    if (length < 0) {
      const keepalive = (session.pending & Pending.keepalive) !== 0;
      session.pending = 0;
      if (keepalive) this.#number(batch, batch.count, session.peer, keypair, batch.offset[batch.count]!, 0);
      else return;
    } else {
      // Data does as well as a keepalive.
      session.pending &= ~Pending.keepalive;
      session.pending |= Pending.staged;
      const offset = batch.offset[batch.count]!;
      const { staged, arena, drops } = this.#state;
      staged.shift(session.staged, length > room ? undefined : arena, offset);
      if (length > room) return drops.count(Drop.tooLong);
      this.#number(batch, batch.count, session.peer, keypair, offset, length);
    }
    batch.count++;
  }

  #control(batch: PacketBatch, size: number, endpoint: number, peer: number): void {
    const { endpoints, drops, peers } = this.#state;
    if (!endpoints.isSet(endpoint)) return drops.count(Drop.noEndpoint);
    const row = batch.count++;
    batch.key[row] = NO_KEY;
    batch.length[row] = size;
    batch.endpoint[row] = endpoint;
    batch.peer[row] = peer;
    batch.tos[row] = HANDSHAKE_TOS;
    if (peer >= 0) peers.addStat(peer, TX_BYTES, size);
  }

  /** Sealed rows become datagrams; rows that were complete before stay as they are. */
  finish(batch: PacketBatch, now: number): void {
    const { view, peers } = this.#state;
    let last = -1;
    let data = false;
    for (let row = 0; row < batch.count; row++) {
      const length = batch.length[row]!;
      if (length === GONE || batch.key[row] === NO_KEY) continue;
      const at = batch.offset[row]! - DATA_HEADER_SIZE;
      view.setUint32(at, MessageType.data, true);
      view.setUint32(at + DATA_RECEIVER, batch.keypair[row]!, true);
      view.setUint32(at + DATA_COUNTER, batch.counterLo[row]!, true);
      view.setUint32(at + DATA_COUNTER + 4, batch.counterHi[row]!, true);
      batch.offset[row] = at;
      batch.length[row] = length + DATA_OVERHEAD;
      const peer = batch.peer[row]!;
      peers.addStat(peer, TX_BYTES, length + DATA_OVERHEAD);
      if (peer !== last) {
        if (last >= 0) this.#sent(last, data, now);
        last = peer;
        data = false;
      }
      if (length > 0) data = true;
    }
    if (last >= 0) this.#sent(last, data, now);
  }

  /** A run of datagrams to one peer is about to leave. */
  #sent(index: number, data: boolean, now: number): void {
    const session = this.#state.peers.at(index)?.session;
    if (!session) return;
    const { timers } = this.#state;
    timers.anyAuthenticatedPacketTraversal(session, now);
    timers.anyAuthenticatedPacketSent(session);
    if (data) timers.dataSent(session, now);
    else timers.keepaliveSent(session, now);
    const keypair = session.current;
    if (!keypair) return;
    const old = keypair.initiator && now - keypair.birthMs >= REKEY_AFTER_TIME_MS;
    if (old || keypair.sendHi >= REKEY_AFTER_MESSAGES_HI) this.#sessions.queueInitiation(session, false, now);
  }
}
