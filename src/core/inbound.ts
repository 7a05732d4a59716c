/**
 * Inbound flow, top to bottom:
 *
 *   1. datagrams come in a batch from the UDP sockets           planInbound
 *   2. handshake messages go to their queue                     (handshakes.ts)
 *   3. data is matched to a keypair by its receiver index       #demultiplex
 *   4. the executor verifies and opens                          outside
 *   5. the counter is marked, the peer roams, timers are told   #accept
 *   6. the inner packet is trimmed, its source checked          #deliver
 */
import { GONE, type PacketBatch } from './batch.js';
import { KEEPALIVE_TIMEOUT_MS, REJECT_AFTER_TIME_MS, REKEY_TIMEOUT_MS } from './constants.js';
import { Drop } from './drops.js';
import type { Handshakes } from './handshakes.js';
import { ecnDecapsulate, innerLength, innerTos, setInnerTos, sourceOffset } from './ip-header.js';
import { isSpent, type Keypair } from './keypair.js';
import { DATA_COUNTER, DATA_HEADER_SIZE, DATA_OVERHEAD, DATA_RECEIVER, MessageType, TAG_SIZE } from './messages.js';
import { Pending, type Session } from './peer.js';
import { RX_BYTES } from './peers.js';
import { HANDSHAKE_HANDLE, type Sessions } from './sessions.js';
import type { State } from './state.js';
import { NO_KEY } from './suite.js';

/** From this age of its keypair, an initiator that receives asks for a new one (once). */
const LAST_MINUTE_MS = REJECT_AFTER_TIME_MS - KEEPALIVE_TIMEOUT_MS - REKEY_TIMEOUT_MS;

export class Inbound {
  readonly #state: State;
  readonly #sessions: Sessions;
  readonly #handshakes: Handshakes;

  constructor(state: State, sessions: Sessions, handshakes: Handshakes) {
    this.#state = state;
    this.#sessions = sessions;
    this.#handshakes = handshakes;
  }

  /** Datagrams in: handshake messages are queued, data rows get their key and counter. */
  plan(batch: PacketBatch, now: number): void {
    const { view, drops } = this.#state;
    for (let row = 0; row < batch.count; row++) {
      batch.key[row] = NO_KEY;
      const length = batch.length[row]!;
      if (length === GONE) continue;
      const offset = batch.offset[row]!;
      const type = length < 4 ? 0 : view.getUint32(offset, true);
      if (type === MessageType.data && length >= DATA_OVERHEAD) {
        this.#demultiplex(batch, row, offset, length, now);
        continue;
      }
      batch.length[row] = GONE;
      if (length < 4) drops.count(Drop.tooShort);
      else if (type === MessageType.data) drops.count(Drop.badLength);
      else if (type < 1 || type > 3) drops.count(Drop.badType);
      else this.#handshakes.enqueue(type, offset, length, batch.endpoint[row]!, now);
    }
  }

  #demultiplex(batch: PacketBatch, row: number, offset: number, length: number, now: number): void {
    const { view, indices, peers } = this.#state;
    const handle = indices.lookup(view.getUint32(offset + DATA_RECEIVER, true));
    const slot = handle & 3;
    const session = handle < 0 || slot === HANDSHAKE_HANDLE ? undefined : peers.at(handle >> 2)?.session;
    if (!session) return this.#state.drop(batch, row, Drop.unknownIndex);
    const keypair = session.keypairs[slot]!;
    if (!keypair.inUse || keypair.expired(now)) return this.#state.drop(batch, row, Drop.expiredKeypair);
    const lo = view.getUint32(offset + DATA_COUNTER, true);
    const hi = view.getUint32(offset + DATA_COUNTER + 4, true);
    // Only a look: nothing is marked before the tag was found right.
    if (isSpent(lo, hi) || !keypair.replay.check(lo, hi)) return this.#state.drop(batch, row, Drop.replayed);
    batch.peer[row] = handle >> 2;
    batch.keypair[row] = slot;
    batch.key[row] = keypair.receiveKey;
    batch.counterLo[row] = lo;
    batch.counterHi[row] = hi;
    batch.offset[row] = offset + DATA_HEADER_SIZE;
    batch.length[row] = length - DATA_HEADER_SIZE - TAG_SIZE;
  }

  /** Opened rows become IP packets for the TUN, or are gone. */
  finish(batch: PacketBatch, now: number): void {
    for (let row = 0; row < batch.count; row++) {
      if (batch.length[row] === GONE || batch.key[row] === NO_KEY) continue;
      const session = this.#state.peers.at(batch.peer[row]!)?.session;
      const keypair = session?.keypairs[batch.keypair[row]!];
      if (!session || !keypair?.inUse || keypair.receiveKey !== batch.key[row]) {
        this.#state.drop(batch, row, Drop.expiredKeypair);
      } else if (batch.verdict[row] !== 1) this.#state.drop(batch, row, Drop.badTag);
      else if (!keypair.replay.mark(batch.counterLo[row]!, batch.counterHi[row]!)) {
        this.#state.drop(batch, row, Drop.replayed);
      } else {
        this.#accept(session, keypair, batch.endpoint[row]!, batch.length[row]!, now);
        this.#deliver(session, batch, row, now);
      }
    }
  }

  /** An authentic data message, whatever is in it. */
  #accept(session: Session, keypair: Keypair, from: number, length: number, now: number): void {
    const { endpoints, peers, timers } = this.#state;
    const { peer } = session;
    if (endpoints.roam(peer.endpoint, from) === 2) this.#state.emitRoamed(peer);
    if (this.#sessions.confirm(session, keypair)) {
      this.#sessions.complete(session);
      this.#sessions.pend(session, Pending.staged);
    }
    const current = session.current;
    if (
      current?.initiator &&
      current.sendValid &&
      !session.sentLastMinuteHandshake &&
      now - current.birthMs >= LAST_MINUTE_MS
    ) {
      session.sentLastMinuteHandshake = true;
      this.#sessions.queueInitiation(session, false, now);
    }
    timers.anyAuthenticatedPacketReceived(session);
    timers.anyAuthenticatedPacketTraversal(session, now);
    peers.addStat(peer.index, RX_BYTES, length + DATA_OVERHEAD);
  }

  #deliver(session: Session, batch: PacketBatch, row: number, now: number): void {
    const available = batch.length[row]!;
    if (available === 0) {
      batch.length[row] = GONE;
      return;
    }
    const { arena, timers } = this.#state;
    timers.dataReceived(session, now);
    const offset = batch.offset[row]!;
    const length = innerLength(arena, offset, available);
    if (length < 0) return this.#state.drop(batch, row, Drop.badInnerPacketIn);
    const owner = this.#state.owner(arena[offset]! >>> 4, sourceOffset(arena, offset));
    if (owner !== session.peer.index) return this.#state.drop(batch, row, Drop.badSource);
    const tos = innerTos(arena, offset);
    const next = ecnDecapsulate(batch.tos[row]!, tos);
    if (next < 0) return this.#state.drop(batch, row, Drop.ecn);
    if (next !== tos) setInnerTos(arena, offset, next);
    batch.length[row] = length;
  }
}
