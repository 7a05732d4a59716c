/**
 * What the parts of a device share. It has no behaviour beyond small helpers: outbound.ts,
 * inbound.ts, handshakes.ts, sessions.ts and configure.ts act on it.
 */
import { AllowedIps } from './allowed-ips.js';
import { GONE, type PacketBatch } from './batch.js';
import type { AllowedIp } from './change.js';
import { MAX_EVENTS } from './constants.js';
import { CookieChecker } from './cookie.js';
import { DropCounters } from './drops.js';
import { type Endpoint, EndpointTable } from './endpoint.js';
import { IndexTable } from './index-table.js';
import { Noise } from './noise.js';
import type { Peer } from './peer.js';
import { Peers } from './peers.js';
import { pooled } from './random.js';
import { RateLimiter } from './rate-limiter.js';
import { StagedPool } from './staging.js';
import type { Suite } from './suite.js';
import { Timers } from './timers.js';

export interface Environment {
  readonly suite: Suite;
  /** The memory that all packets are in. */
  readonly arena: Uint8Array;
  /** Milliseconds since 1970, for TAI64N timestamps and `last_handshake_time` alone. */
  readonly wallTimeMs: () => number;
}

export type DeviceEvent =
  | { readonly type: 'handshake-complete'; readonly peer: Uint8Array }
  | { readonly type: 'handshake-gave-up'; readonly peer: Uint8Array; readonly flushed: number }
  | { readonly type: 'endpoint-changed'; readonly peer: Uint8Array; readonly endpoint: Endpoint | undefined }
  | {
      readonly type: 'prefix-moved';
      readonly prefix: AllowedIp;
      readonly from: Uint8Array;
      readonly to: Uint8Array;
    };

export class State {
  readonly suite: Suite;
  readonly arena: Uint8Array;
  readonly view: DataView;
  readonly wallTimeMs: () => number;
  readonly noise: Noise;
  readonly checker: CookieChecker;
  readonly endpoints: EndpointTable = new EndpointTable();
  readonly indices: IndexTable;
  readonly peers: Peers;
  readonly routes4: AllowedIps;
  readonly routes6: AllowedIps;
  readonly timers: Timers;
  readonly staged: StagedPool = new StagedPool();
  readonly limiter: RateLimiter;
  readonly drops: DropCounters = new DropCounters();
  readonly events: DeviceEvent[] = [];
  /** Our private key, clamped; all zeros when there is none. */
  readonly privateKey: Uint8Array = new Uint8Array(32);
  listenPort = 0;
  fwmark = 0;
  mtu = 1420;
  up = false;

  constructor(environment: Environment) {
    const { suite } = environment;
    this.suite = suite;
    this.arena = environment.arena;
    this.view = new DataView(this.arena.buffer, this.arena.byteOffset, this.arena.byteLength);
    this.wallTimeMs = environment.wallTimeMs;
    this.noise = new Noise(suite);
    this.checker = new CookieChecker(suite);
    const random = pooled((out) => suite.random(out));
    this.routes4 = new AllowedIps(32, random);
    this.routes6 = new AllowedIps(128, random);
    this.indices = new IndexTable(random);
    this.peers = new Peers(suite, this.endpoints);
    this.limiter = new RateLimiter(random);
    const word = new Uint32Array(1);
    const bytes = new Uint8Array(word.buffer);
    this.timers = new Timers(() => {
      random(bytes);
      return word[0]! / 2 ** 32;
    });
  }

  /** Tells of what the network did; what is not picked up in time is lost. */
  emit(event: DeviceEvent): void {
    if (this.events.length < MAX_EVENTS) this.events.push(event);
  }

  /** Ends a row of a batch. */
  drop(batch: PacketBatch, row: number, reason: number): void {
    batch.length[row] = GONE;
    this.drops.count(reason);
  }

  emitRoamed({ index, endpoint }: Peer): void {
    this.emit({
      type: 'endpoint-changed',
      peer: this.peers.publicKey(index),
      endpoint: this.endpoints.get(endpoint),
    });
  }

  /** @returns the peer whose allowed IPs hold the address, or -1 */
  owner(version: number, address: number): number {
    return version === 4 ? this.routes4.lookup(this.arena, address) : this.routes6.lookup(this.arena, address);
  }
}
