/**
 * `typetun`: WireGuard devices for Node.js programs on Linux.
 *
 * @module
 */
export * from './api/core.js';
export type { UndiciConnectOptions, UndiciConnector } from './library/dispatcher.js';
export type { CommonOptions } from './library/engine-device.js';
export { createHostDevice, type HostDevice, type HostDeviceOptions } from './library/host-device.js';
export {
  type BindOptions,
  type ConnectOptions,
  createRootlessDevice,
  type FoundAddress,
  type ListenOptions,
  type RootlessDevice,
  type RootlessDeviceOptions,
} from './library/rootless-device.js';
