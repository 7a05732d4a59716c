/**
 * A WireGuard device without its input and output: everything the engine calls.
 *
 * Time comes in as `now`, milliseconds of boot time. A plan is followed by its finish before
 * anything else is called. Network input never throws.
 */
import type { PacketBatch } from './batch.js';
import type {
  AllowedIp,
  DeviceChange,
  DropCounts,
  InterfaceStatus,
  PeerStatus,
  StreamedChange,
  StreamedPeerStatus,
} from './change.js';
import { Configuration } from './configure.js';
import { KEYS_WIPED_AFTER_MS, MAX_HANDSHAKE_RETRIES, MAX_PEERS, MAX_PREFIXES } from './constants.js';
import { Drop, type DropReason } from './drops.js';
import type { EndpointTable } from './endpoint.js';
import { Handshakes } from './handshakes.js';
import { Inbound } from './inbound.js';
import { isZero } from './messages.js';
import { Outbound } from './outbound.js';
import { Pending, type Session } from './peer.js';
import { Sessions } from './sessions.js';
import { type DeviceEvent, type Environment, State } from './state.js';
import { Timer } from './timers.js';

export type { DeviceEvent, Environment } from './state.js';

export class Device {
  readonly #state: State;
  readonly #sessions: Sessions;
  readonly #handshakes: Handshakes;
  readonly #outbound: Outbound;
  readonly #inbound: Inbound;
  readonly #configuration: Configuration;

  constructor(environment: Environment) {
    const state = new State(environment);
    this.#state = state;
    this.#sessions = new Sessions(state);
    this.#handshakes = new Handshakes(state, this.#sessions);
    this.#outbound = new Outbound(state, this.#sessions, this.#handshakes);
    this.#inbound = new Inbound(state, this.#sessions, this.#handshakes);
    this.#configuration = new Configuration(state, this.#sessions);
  }

  /** The engine allocates rows here for the datagrams it receives. */
  get endpoints(): EndpointTable {
    return this.#state.endpoints;
  }

  get isUp(): boolean {
    return this.#state.up;
  }

  get peerCount(): number {
    return this.#state.peers.count;
  }

  // Data path.

  planOutbound(batch: PacketBatch, now: number): void {
    this.#outbound.plan(batch, now);
  }

  /** What the core itself has to send. @param room bytes for a payload at each row's offset */
  planPending(batch: PacketBatch, room: number, now: number): void {
    this.#outbound.planPending(batch, room, now);
  }

  finishOutbound(batch: PacketBatch, now: number): void {
    this.#outbound.finish(batch, now);
  }

  planInbound(batch: PacketBatch, now: number): void {
    this.#inbound.plan(batch, now);
  }

  finishInbound(batch: PacketBatch, now: number): void {
    this.#inbound.finish(batch, now);
  }

  /** Works off queued handshake messages, at most `limit`. @returns how many still wait */
  processHandshakes(limit: number, now: number): number {
    return this.#handshakes.process(limit, now);
  }

  /** ICMP errors for the sender behind the TUN. @returns whether there were any */
  takeLocal(batch: PacketBatch): boolean {
    if (this.#outbound.icmp.waiting === 0) return false;
    this.#outbound.icmp.take(batch);
    return true;
  }

  isUnderLoad(now: number): boolean {
    return this.#handshakes.isUnderLoad(now);
  }

  /** Counts packets that the engine had to drop. */
  countDrops(reason: DropReason, packets: number): void {
    this.#state.drops.add(Drop[reason], packets);
  }

  // Time.

  /** Milliseconds of boot time at which {@link handleTimeout} is wanted, or Infinity. */
  nextTimeout(): number {
    return this.#state.timers.next();
  }

  /** Fires the timers that are due; called too early, it does nothing. */
  handleTimeout(now: number): void {
    this.#state.limiter.collect(now);
    for (let due = this.#state.timers.expire(now); due; due = this.#state.timers.expire(now)) {
      this.#fire(due.session, due.timer, now);
    }
  }

  #fire(session: Session, timer: number, now: number): void {
    const { endpoints } = this.#state;
    switch (timer) {
      case Timer.retransmitHandshake:
        this.#retransmit(session, now);
        break;
      case Timer.sendKeepalive:
      case Timer.persistentKeepalive:
        this.#sessions.pend(session, Pending.keepalive);
        break;
      case Timer.newHandshake:
        // Perhaps the way has changed: let the system choose a source again.
        endpoints.clearSource(session.peer.endpoint);
        this.#sessions.queueInitiation(session, false, now);
        break;
      case Timer.zeroKeyMaterial:
        this.#sessions.clearHandshake(session);
        this.#sessions.clearKeypairs(session);
        this.#sessions.releaseIfIdle(session);
        break;
    }
  }

  #retransmit(session: Session, now: number): void {
    const { timers, staged, drops, peers, endpoints } = this.#state;
    if (session.handshakeAttempts < MAX_HANDSHAKE_RETRIES) {
      session.handshakeAttempts++;
      endpoints.clearSource(session.peer.endpoint);
      this.#sessions.queueInitiation(session, true, now);
      return;
    }
    timers.anyAuthenticatedPacketSent(session);
    const flushed = staged.clear(session.staged);
    drops.add(Drop.stagedFlushed, flushed);
    if (session.timers[Timer.zeroKeyMaterial] === Number.POSITIVE_INFINITY) {
      timers.start(session, Timer.zeroKeyMaterial, now + KEYS_WIPED_AFTER_MS);
    }
    this.#state.emit({ type: 'handshake-gave-up', peer: peers.publicKey(session.peer.index), flushed });
  }

  // Configuration.

  /**
   * Carries out a change that has the right form.
   * @returns false, with nothing changed, when there would be too many peers or prefixes
   */
  configure(change: DeviceChange, now: number): boolean {
    const { peers = [] } = change;
    const prefixes = peers.reduce((sum, peer) => sum + (peer.allowedIps?.length ?? 0), 0);
    if (!this.hasRoom(peers.length, prefixes, change.replacePeers)) return false;
    const steps = this.configuring(change, now);
    while (!steps.next().done);
    return true;
  }

  /** Whether so many peers and prefixes can be added at least. */
  hasRoom(peers: number, prefixes: number, replacePeers = false): boolean {
    const { routes4, routes6 } = this.#state;
    if (peers + (replacePeers ? 0 : this.peerCount) > MAX_PEERS) return false;
    return prefixes + (replacePeers ? 0 : routes4.size + routes6.size) <= MAX_PREFIXES;
  }

  /**
   * As {@link configure}, in steps of about a microsecond between which packets may be handled. The caller
   * has asked {@link hasRoom}, and runs them to the end before the next change.
   */
  configuring(change: StreamedChange, now: number): Generator<void, void> {
    return this.#configuration.apply(change, now);
  }

  /** The device came up (its sockets are bound), or went down: then all sessions are wiped. */
  setUp(up: boolean): void {
    if (this.#state.up === up) return;
    this.#state.up = up;
    for (let peer = this.#state.peers.first; peer; peer = peer.next) {
      if (!up && peer.session) this.#sessions.release(peer.session);
      else if (up && peer.persistentKeepaliveInterval > 0) this.#configuration.keepalive(peer);
    }
  }

  /** The interface's MTU in bytes; any value is survived. */
  setMtu(mtu: number): void {
    this.#state.mtu = mtu;
  }

  status(): InterfaceStatus {
    const { privateKey, listenPort, fwmark } = this.#state;
    return { ...(!isZero(privateKey) && { privateKey: privateKey.slice() }), listenPort, fwmark };
  }

  /** The peers in the order they were added. */
  peers(): PeerStatus[] {
    const copy = ({ address, cidr }: AllowedIp): AllowedIp => ({ address: address.slice(), cidr });
    return Array.from(this.readPeers(), (peer) => ({ ...peer, allowedIps: Array.from(peer.allowedIps, copy) }));
  }

  /** As {@link peers}, read as they are asked for: a prefix is good until the next one is. Changes may come in between. */
  *readPeers(): Generator<StreamedPeerStatus> {
    for (let peer = this.#state.peers.first; peer; peer = peer.next) {
      if (!peer.removed) yield this.#configuration.status(peer);
    }
  }

  drops(): DropCounts {
    return this.#state.drops.snapshot();
  }

  pollEvent(): DeviceEvent | undefined {
    return this.#state.events.shift();
  }

  /** Wipes everything secret. The device cannot be used afterwards. */
  close(): void {
    this.setUp(false);
    this.configure({ replacePeers: true, privateKey: new Uint8Array(32) }, 0);
  }
}
