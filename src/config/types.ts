/** What a configuration file says. */
import type { AllowedIpChange } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import type { EndpointText } from './values.js';

export interface PeerEndpoint extends EndpointText {
  /** The address, once somebody has looked it up. */
  resolved?: Endpoint;
}

export interface PeerConfig {
  /** Of its `[Peer]`, counted from 1; 0 on a command line. */
  readonly line: number;
  /** 32 bytes. */
  publicKey: Uint8Array;
  /** The peer is to be removed: on a command line only. */
  remove?: boolean;
  /** 32 bytes that print as `[SecretKey]`. */
  presharedKey?: Uint8Array;
  endpoint?: PeerEndpoint;
  /** Seconds, 0 to 65535; 0 is off. */
  persistentKeepaliveInterval?: number;
  /** In the order of the file; undefined only on a command line that says nothing of them. */
  allowedIps?: AllowedIpChange[];
  /** An entry has `+` or `-`: the list changes what the peer has instead of replacing it. */
  incremental: boolean;
}

/** A value that is somebody else's to read, and where it stands. */
export interface TextValue {
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
}

/** What wg-quick(8) adds to `[Interface]`. */
export interface QuickConfig {
  /** Each of `Address`, with or without a prefix length. */
  readonly addresses: TextValue[];
  readonly dns: {
    /** IP addresses. */
    readonly servers: TextValue[];
    readonly searchDomains: TextValue[];
  };
  /** Bytes. */
  mtu?: number;
  /** `off`, `auto`, or a table's number or name. */
  table?: string;
  saveConfig: boolean;
  /** Shell commands, with `%i` as it stands. */
  readonly preUp: TextValue[];
  readonly postUp: TextValue[];
  readonly preDown: TextValue[];
  readonly postDown: TextValue[];
}

export interface WireGuardConfig {
  /** 32 bytes that print as `[SecretKey]`. */
  privateKey?: Uint8Array;
  /** 0 to 65535; 0 chooses one. */
  listenPort?: number;
  /** 32 bits; 0 is off. */
  fwmark?: number;
  readonly peers: PeerConfig[];
  /** Zeroes every key and address of this configuration. Nothing of it is to be used afterwards. */
  wipe(): void;
}

export interface WgQuickConfig extends WireGuardConfig {
  readonly quick: QuickConfig;
}
