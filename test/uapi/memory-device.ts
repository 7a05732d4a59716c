/** A device that only remembers: a second implementation of what the UAPI server talks to. */
import type { AllowedIp, DeviceChange, InterfaceStatus, PeerChange, PeerStatus } from '../../src/core/change.js';
import type { UapiTarget } from '../../src/uapi/server.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Peer = Mutable<Omit<PeerStatus, 'allowedIps'>> & { allowedIps: Map<string, AllowedIp> };

const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const prefixOf = (ip: AllowedIp): string => `${keyOf(ip.address)}/${ip.cidr}`;

export class MemoryDevice implements UapiTarget {
  status: Mutable<InterfaceStatus> = { listenPort: 0, fwmark: 0 };
  readonly peerMap: Map<string, Peer> = new Map();
  /** Changes carried out. */
  changes = 0;
  /** What the next `configure` answers instead of doing its work. */
  refuseWith = 0;
  /** Waited for by every `configure`. */
  gate: Promise<void> = Promise.resolve();
  /** `configure` calls running at once, at most. */
  mostAtOnce = 0;
  readonly #owners = new Map<string, Peer>();
  #atOnce = 0;

  async configure(change: DeviceChange): Promise<number> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    try {
      await this.gate;
      if (this.refuseWith !== 0) return this.refuseWith;
      this.apply(change);
      return 0;
    } finally {
      this.#atOnce--;
    }
  }

  apply(change: DeviceChange): void {
    this.changes++;
    const { privateKey, listenPort, fwmark } = change;
    if (privateKey !== undefined) {
      delete this.status.privateKey;
      if (privateKey.some((byte) => byte !== 0)) this.status.privateKey = privateKey.slice();
    }
    this.status.listenPort = listenPort ?? this.status.listenPort;
    this.status.fwmark = fwmark ?? this.status.fwmark;
    if (change.replacePeers) this.peerMap.clear();
    for (const peer of change.peers ?? []) this.#applyPeer(peer);
  }

  #applyPeer(change: PeerChange): void {
    const key = keyOf(change.publicKey);
    if (change.remove) {
      this.peerMap.delete(key);
      return;
    }
    if (!this.peerMap.has(key)) {
      if (change.updateOnly) return;
      this.peerMap.set(key, {
        publicKey: change.publicKey.slice(),
        presharedKey: new Uint8Array(32),
        persistentKeepaliveInterval: 0,
        lastHandshakeTimeMs: 0,
        rxBytes: 0,
        txBytes: 0,
        allowedIps: new Map(),
      });
    }
    const peer = this.peerMap.get(key)!;
    if (change.presharedKey) peer.presharedKey = change.presharedKey.slice();
    if (change.endpoint) peer.endpoint = { ...change.endpoint, address: change.endpoint.address.slice() };
    peer.persistentKeepaliveInterval = change.persistentKeepaliveInterval ?? peer.persistentKeepaliveInterval;
    if (change.replaceAllowedIps) peer.allowedIps.clear();
    for (const ip of change.allowedIps ?? []) {
      if (ip.remove) peer.allowedIps.delete(prefixOf(ip));
      else {
        const prefix = prefixOf(ip);
        this.#owners.get(prefix)?.allowedIps.delete(prefix);
        this.#owners.set(prefix, peer);
        peer.allowedIps.set(prefix, { address: ip.address.slice(), cidr: ip.cidr });
      }
    }
  }

  async report(): Promise<InterfaceStatus> {
    const { privateKey } = this.status;
    return privateKey === undefined ? { ...this.status } : { ...this.status, privateKey: privateKey.slice() };
  }

  async *peers(): AsyncIterable<readonly PeerStatus[]> {
    for (const peer of this.peerMap.values()) {
      yield [{ ...peer, presharedKey: peer.presharedKey.slice(), allowedIps: [...peer.allowedIps.values()] }];
    }
  }
}
