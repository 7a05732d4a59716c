/**
 * `typetun`: WireGuard devices for Node.js programs on Linux.
 *
 * @module
 */
export * from './api/core.js';
export type { CommonOptions } from './library/engine-device.js';
export { createHostDevice, type HostDevice, type HostDeviceOptions } from './library/host-device.js';
