/** What the main thread and the data worker say to each other. */
import type { DeviceEvent } from '../core/device.js';
import type { DeviceReport, LogLevel } from './handle.js';
import type { OffloadName } from './offloads.js';

export interface WorkerSettings {
  readonly name: string;
  readonly tunFd?: number;
  readonly tunMtu?: number;
  /** An eventfd that ends the worker's wait. */
  readonly wakeFd: number;
  readonly aead?: string;
  /** Of {@link HeldDescriptors}. */
  readonly held: SharedArrayBuffer;
  /** Batching features that may be used. */
  readonly offloads: readonly OffloadName[];
  /** Whether events are wanted. */
  readonly events: boolean;
}

export type Request =
  /** The bytes of codec.ts, handed over. */
  | { readonly id: number; readonly type: 'configure'; readonly change: ArrayBuffer }
  | { readonly id: number; readonly type: 'report' }
  /** `reader` names a walk through the peers; it starts with the first request. */
  | { readonly id: number; readonly type: 'peers'; readonly reader: number }
  | { readonly id: number; readonly type: 'close' };

export type Reply =
  | { readonly type: 'started'; readonly name: string }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'log'; readonly level: Exclude<LogLevel, 'verbose' | 'silent'>; readonly message: string }
  | { readonly type: 'event'; readonly event: DeviceEvent }
  | { readonly type: 'configured'; readonly id: number; readonly errno: number }
  | { readonly type: 'report'; readonly id: number; readonly report: DeviceReport }
  | { readonly type: 'peers'; readonly id: number; readonly peers?: ArrayBuffer }
  | { readonly type: 'closed'; readonly id: number };
