/**
 * `typetun/core`: WireGuard without a system. It needs no Linux, no Node.js and no privileges: packets go in by
 * calls and come out by callbacks, and cryptography is @noble's.
 *
 * @module
 */
export { ConfigError, type ConfigErrorCode } from '../config/errors.js';
export type { DatagramEndpoint } from './datagram-endpoint.js';
export { TypetunError, type TypetunErrorCode } from './errors.js';
export { type PublicKeyInput, SecretKey, type SecretKeyInput } from './keys.js';
export {
  createPacketDevice,
  type PacketDevice,
  type PacketDeviceOptions,
} from './packet-device.js';
export type { ConfigInput } from './quick.js';
export type { DeviceConfig, DeviceEvents, DeviceStatus, PeerConfig, PeerStatus, WireGuardDevice } from './types.js';
