/// <reference lib="esnext.disposable" preserve="true" />
/** What a device is told, and what it tells: the UAPI's set and get as objects. */
import type { PublicKeyInput, SecretKey, SecretKeyInput } from './keys.js';

/**
 * A change, in the order of the fields. Only what is there is changed, and a change that cannot be carried out
 * changes nothing. A {@link DeviceStatus} is a valid change as well: what can only be read in it is passed over.
 */
export interface DeviceConfig {
  /** All zeros, or null, takes the key away. */
  readonly privateKey?: SecretKeyInput | null | undefined;
  /** 0 to 65535; 0 chooses one. */
  readonly listenPort?: number | undefined;
  /** 0 to 2^32 - 1; 0 is off. Needs CAP_NET_ADMIN, and means nothing to a device without sockets of its own. */
  readonly fwmark?: number | undefined;
  /** Remove all peers first. */
  readonly replacePeers?: boolean | undefined;
  readonly peers?: readonly PeerConfig[] | undefined;
}

export interface PeerConfig {
  readonly publicKey: PublicKeyInput;
  /** Remove the peer. */
  readonly remove?: boolean | undefined;
  /** Do nothing if there is no such peer. */
  readonly updateOnly?: boolean | undefined;
  /** All zeros, or null, takes it away. */
  readonly presharedKey?: SecretKeyInput | null | undefined;
  /** `192.0.2.7:51820` or `[2001:db8::7]:51820`. Devices with sockets look up a host name as well, once. */
  readonly endpoint?: string | undefined;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval?: number | undefined;
  readonly replaceAllowedIps?: boolean | undefined;
  /** `10.0.0.2`, `10.1.0.0/16`, `fd00::/8`; with a minus sign in front, the prefix is taken from the peer. */
  readonly allowedIps?: readonly string[] | undefined;
}

export interface PeerStatus {
  /** Base64. */
  readonly publicKey: string;
  /** Absent when there is none. */
  readonly presharedKey?: SecretKey;
  readonly endpoint?: string;
  /** Seconds; 0 is off. */
  readonly persistentKeepaliveInterval: number;
  /** In the order of the addresses, IPv4 first. */
  readonly allowedIps: readonly string[];
  /** Wall time in milliseconds since 1970; 0 when there was none. */
  readonly lastHandshakeTimeMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Always 1: there is one version of the protocol. */
  readonly protocolVersion: 1;
}

export interface DeviceStatus {
  /** Absent when there is none. Wipe it when you are done with it. */
  readonly privateKey?: SecretKey;
  /** Base64; absent when there is no private key. */
  readonly publicKey?: string;
  readonly listenPort: number;
  readonly fwmark: number;
  /** In the order in which they were added. */
  readonly peers: readonly PeerStatus[];
  /** Packets dropped since the device was made, by reason. New reasons may come with any version. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Events of a device. Peers are named by their public key, in base64. */
export type DeviceEvents = {
  /** A handshake is complete: a session with this peer is up. */
  handshake: [event: { readonly publicKey: string }];
  /** An authenticated datagram of the peer came from somewhere new (roaming). */
  endpointChanged: [event: { readonly publicKey: string; readonly endpoint: string }];
  /** Handshakes stayed without an answer for 90 seconds: given up, until there is something to send again. */
  peerSilent: [event: { readonly publicKey: string; readonly flushedPackets: number }];
  /** A change gave a prefix of one peer to another. */
  allowedIpMoved: [event: { readonly allowedIp: string; readonly from: string; readonly to: string }];
  /** The device failed, and is closed. Nobody listening makes it an uncaught exception. */
  error: [error: Error];
  /** The device is gone: closed, aborted, deleted by somebody else, or failed. The last event, once. */
  close: [];
};

/** What every kind of device does. `await using` closes it. */
export interface WireGuardDevice extends AsyncDisposable {
  readonly closed: boolean;
  on<Name extends keyof DeviceEvents>(name: Name, listener: (...args: DeviceEvents[Name]) => void): this;
  once<Name extends keyof DeviceEvents>(name: Name, listener: (...args: DeviceEvents[Name]) => void): this;
  off<Name extends keyof DeviceEvents>(name: Name, listener: (...args: DeviceEvents[Name]) => void): this;
  /**
   * Changes the device: the UAPI's set. Calls are carried out one after the other.
   * @throws TypetunError; then nothing was changed
   */
  configure(change: DeviceConfig): Promise<void>;
  /**
   * The present state: the UAPI's get, and the drop counters.
   * @throws TypetunError `ERR_CLOSED`
   */
  status(): Promise<DeviceStatus>;
  /** Wipes all keys and gives everything back. Harmless when repeated. */
  close(): Promise<void>;
}
