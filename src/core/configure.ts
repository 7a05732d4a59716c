/**
 * Carrying out a change (the UAPI's set), and telling the present state (its get).
 */
import type { AllowedIp, AllowedIpChange, StreamedChange, StreamedPeerChange, StreamedPeerStatus } from './change.js';
import { isZero } from './messages.js';
import { clamp } from './noise.js';
import { type Peer, Pending } from './peer.js';
import { LAST_HANDSHAKE, RX_BYTES, TX_BYTES } from './peers.js';
import type { Sessions } from './sessions.js';
import type { State } from './state.js';

export class Configuration {
  readonly #state: State;
  readonly #sessions: Sessions;

  constructor(state: State, sessions: Sessions) {
    this.#state = state;
    this.#sessions = sessions;
  }

  /**
   * The caller has checked form and limits: nothing here fails. Between two steps packets may be handled,
   * and each step is short, however much there is to change.
   */
  *apply(change: StreamedChange, now: number): Generator<void, void> {
    const { peers } = this.#state;
    if (change.privateKey) yield* this.#setPrivateKey(change.privateKey);
    if (change.listenPort !== undefined) this.#state.listenPort = change.listenPort;
    if (change.fwmark !== undefined) this.#state.fwmark = change.fwmark;
    if (change.replacePeers) while (peers.first) yield* this.#remove(peers.first);
    for (const peer of change.peers ?? []) yield* this.#applyPeer(peer, now);
  }

  *#setPrivateKey(key: Uint8Array): Generator<void, void> {
    const { privateKey, noise, checker, peers } = this.#state;
    const next = key.slice();
    const none = isZero(next);
    if (!none) clamp(next);
    const same = next.every((byte, i) => byte === privateKey[i]);
    privateKey.set(next);
    next.fill(0);
    if (same) return;
    noise.setIdentity(none ? undefined : privateKey);
    checker.setIdentity(noise.identity?.publicKey);
    // In one step: nothing may be sent with a session of the old key any more.
    for (let peer = peers.first; peer; peer = peer.next) {
      if (peer.session) this.#sessions.expireCurrent(peer.session);
    }
    const self = noise.identity && peers.find(noise.identity.publicKey);
    if (self) yield* this.#remove(self);
  }

  *#applyPeer(change: StreamedPeerChange, now: number): Generator<void, void> {
    const { peers, noise, endpoints } = this.#state;
    yield;
    const own = noise.identity?.publicKey;
    if (own?.every((byte, i) => byte === change.publicKey[i])) return;
    let peer = peers.find(change.publicKey);
    if (change.remove) {
      if (peer) yield* this.#remove(peer);
      return;
    }
    if (!peer) {
      if (change.updateOnly) return;
      peer = peers.add(change.publicKey);
    }
    if (change.presharedKey) peers.presharedKey(peer.index).set(change.presharedKey);
    if (change.endpoint) endpoints.set(peer.endpoint, change.endpoint);
    if (change.replaceAllowedIps) yield* this.#clearRoutes(peer);
    for (const prefix of change.allowedIps ?? []) {
      this.#route(peer, prefix);
      yield;
    }
    const before = peer.persistentKeepaliveInterval;
    peer.persistentKeepaliveInterval = change.persistentKeepaliveInterval ?? before;
    if (!this.#state.up) return;
    if (before === 0 && peer.persistentKeepaliveInterval > 0) this.keepalive(peer);
    if (peer.session && peer.session.staged.count > 0 && change.endpoint) {
      this.#sessions.queueInitiation(peer.session, false, now);
    }
  }

  /** Sends a keepalive as soon as there is a session, making one if there is none. */
  keepalive(peer: Peer): void {
    this.#sessions.pend(this.#sessions.of(peer), Pending.keepalive);
  }

  #route(peer: Peer, prefix: AllowedIpChange): void {
    const { routes4, routes6, peers, events } = this.#state;
    const table = prefix.address.length === 4 ? routes4 : routes6;
    if (prefix.remove) {
      table.remove(prefix.address, prefix.cidr, peer.index);
      return;
    }
    const previous = table.set(prefix.address, prefix.cidr, peer.index);
    if (previous < 0 || previous === peer.index) return;
    // Not capped as the network's events are: bounded by the change itself.
    events.push({
      type: 'prefix-moved',
      // The change may lend its address for the time of the call alone.
      prefix: { address: prefix.address.slice(), cidr: prefix.cidr },
      from: peers.publicKey(previous),
      to: peers.publicKey(peer.index),
    });
  }

  *#clearRoutes(peer: Peer): Generator<void, void> {
    const { routes4, routes6 } = this.#state;
    while (routes4.removeFirst(peer.index) || routes6.removeFirst(peer.index)) yield;
  }

  *#remove(peer: Peer): Generator<void, void> {
    yield* this.#clearRoutes(peer);
    if (peer.session) this.#sessions.release(peer.session);
    this.#state.peers.remove(peer);
    yield;
  }

  *allowedIps(peer: Peer): Generator<AllowedIp> {
    for (const routes of [this.#state.routes4, this.#state.routes6]) {
      for (const prefix of routes.ofPeer(peer.index)) {
        // Its number may be another's by now.
        if (peer.removed) return;
        yield prefix;
      }
    }
  }

  status(peer: Peer): StreamedPeerStatus {
    const { peers, endpoints } = this.#state;
    const endpoint = endpoints.get(peer.endpoint);
    const status = {
      publicKey: peers.publicKey(peer.index),
      presharedKey: peers.presharedKey(peer.index).slice(),
      persistentKeepaliveInterval: peer.persistentKeepaliveInterval,
      lastHandshakeTimeMs: peers.stat(peer.index, LAST_HANDSHAKE),
      rxBytes: peers.stat(peer.index, RX_BYTES),
      txBytes: peers.stat(peer.index, TX_BYTES),
      allowedIps: this.allowedIps(peer),
    };
    return endpoint ? Object.assign(status, { endpoint }) : status;
  }
}
