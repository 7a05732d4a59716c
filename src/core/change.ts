/** What can be asked of a device and read back from it: the UAPI's set and get, as types. */
import type { Endpoint } from './endpoint.js';

export interface AllowedIp {
  /** 4 or 16 bytes, host bits cleared. */
  readonly address: Uint8Array;
  /** Prefix length: 0 to 32, or 0 to 128. */
  readonly cidr: number;
}

export interface AllowedIpChange extends AllowedIp {
  /** Take the prefix from this peer, if it is this peer's. */
  readonly remove?: boolean;
}

export interface PeerChange {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly remove?: boolean;
  /** Do nothing if there is no such peer. */
  readonly updateOnly?: boolean;
  /** 32 bytes; all zeros clears it. The core copies it, the caller wipes its own. */
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: Endpoint;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval?: number;
  readonly replaceAllowedIps?: boolean;
  readonly allowedIps?: readonly AllowedIpChange[];
}

/** Carried out in the order of the fields, and the peers in theirs. */
export interface DeviceChange {
  /** 32 bytes; all zeros clears it. The core copies and clamps it, the caller wipes its own. */
  readonly privateKey?: Uint8Array;
  /** 0 to 65535; 0 chooses one. The sockets are the engine's: the core only keeps the number. */
  readonly listenPort?: number;
  /** 32 bits; 0 is off. The engine's as well. */
  readonly fwmark?: number;
  readonly replacePeers?: boolean;
  readonly peers?: readonly PeerChange[];
}

/** A change whose parts are read one after the other, as from a message: each once. */
export interface StreamedPeerChange extends Omit<PeerChange, 'allowedIps'> {
  readonly allowedIps?: Iterable<AllowedIpChange>;
}

export interface StreamedChange extends Omit<DeviceChange, 'peers'> {
  readonly peers?: Iterable<StreamedPeerChange>;
}

export interface PeerStatus {
  readonly publicKey: Uint8Array;
  /** 32 bytes, zeros when there is none. */
  readonly presharedKey: Uint8Array;
  readonly endpoint?: Endpoint;
  readonly persistentKeepaliveInterval: number;
  /** Wall time in milliseconds since 1970, 0 when there was none. */
  readonly lastHandshakeTimeMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly allowedIps: readonly AllowedIp[];
}

/** A peer without its prefixes. */
export type PeerHead = Omit<PeerStatus, 'allowedIps'>;

/** A peer whose prefixes are read one after the other, once. */
export interface StreamedPeerStatus extends PeerHead {
  readonly allowedIps: Iterator<AllowedIp> & Iterable<AllowedIp>;
}

export interface InterfaceStatus {
  /** 32 bytes, or absent when there is no key. */
  readonly privateKey?: Uint8Array;
  readonly listenPort: number;
  readonly fwmark: number;
}

/** Packets that were dropped, by reason, since the device was made: see `drops.ts`. */
export type DropCounts = Readonly<Record<string, number>>;
