/**
 * The engine as the main thread sees it: one data worker behind promises.
 */
import type { DeviceChange, DropCounts, InterfaceStatus, PeerStatus } from '../core/change.js';
import type { DeviceEvent } from '../core/device.js';

/** wireguard-go's levels: `verbose` and `debug` are the same. */
export type LogLevel = 'verbose' | 'debug' | 'error' | 'silent';

export interface EngineOptions {
  /** Interface name to create (or to attach to), or the name as known to the caller with {@link tunFd}. */
  readonly name: string;
  /** An already open TUN descriptor (`WG_TUN_FD`). The engine closes it, also when it cannot start. */
  readonly tunFd?: number;
  /** Of {@link tunFd}, bytes: for a device that is where this process may not go to look. */
  readonly tunMtu?: number;
  /** Batching features to do without, as `TYPETUN_OFFLOAD` names them, which is the default. */
  readonly offloads?: string;
  readonly log: (level: 'debug' | 'error', message: string) => void;
  /** Told of what happens to peers; without it, the data worker sends no events. */
  readonly onEvent?: (event: DeviceEvent) => void;
}

export interface DeviceReport extends InterfaceStatus {
  /** Packets dropped since the start, by reason. */
  readonly drops: DropCounts;
  /** Whether the interface is up, and the sockets are bound. */
  readonly up: boolean;
  /** 0, or the negative errno that keeps the sockets from being bound while the interface is up. */
  readonly bindError: number;
  /** Batching features in use: names of `TYPETUN_OFFLOAD`; `tun-read(tcp)` is without UDP, `udp-gso(ipv6)` without IPv4. */
  readonly offloads: readonly string[];
}

export interface Engine {
  /** The interface's name when it was made (the kernel may have completed a `%d`). */
  readonly interfaceName: string;
  /**
   * Applies a change that was already checked for form.
   * @returns 0, or a negative errno; then nothing was changed
   */
  configure(change: DeviceChange): Promise<number>;
  /** Everything of `get` that is not a peer. */
  report(): Promise<DeviceReport>;
  /** The peers in order, in chunks small enough not to hold up the data path. */
  peers(): AsyncIterable<readonly PeerStatus[]>;
  /**
   * Settles when the engine ended: with `undefined` after {@link close} or when the device was deleted,
   * with the error when the data worker crashed.
   */
  readonly ended: Promise<Error | undefined>;
  /** Ends the worker; TUN and sockets are gone when it settles. Harmless when repeated. */
  close(): Promise<void>;
}
