/** A device of the engine as the library shows it: configuration, state, events, and how it ends. */
import { execFile } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName, promisify } from 'node:util';
import { checkChange, checkSignal, integer } from '../api/change.js';
import { invalid, TypetunError } from '../api/errors.js';
import { checkAddresses } from '../api/quick.js';
import { deviceStatus, peerStatus, tellEvent } from '../api/status.js';
import type { DeviceConfig, DeviceEvents, DeviceStatus, PeerStatus, WireGuardDevice } from '../api/types.js';
import { type Engine, EngineError, type EngineOptions, startEngine } from '../engine/index.js';
import { isMusl, probeSystem, startFailure, unsupported } from '../engine/messages.js';
import { scopeIndex, scopeName } from '../linux/scopes.js';
import { resolveEndpoints } from './resolve.js';

/** Between two looks at a device that is coming up. */
const UP_INTERVAL_MS = 2;

export const run: (command: string, args: readonly string[]) => Promise<unknown> = promisify(execFile);

/** Options of every device with a data worker. */
export interface CommonOptions {
  /** Closes the device when it is aborted, and ends its making. */
  readonly signal?: AbortSignal | undefined;
  /** Takes log lines, for people; their texts may change. Nothing secret is in them. */
  readonly log?: ((level: 'debug' | 'error', message: string) => void) | undefined;
}

/** What {@link EngineDevice} stands on. */
export interface Foundation {
  readonly engine: Engine;
  /** Gives back what belongs to the device beside its engine, before that. Must not fail. */
  readonly release: () => Promise<void>;
  /** Settles with an error when the device is of no use without its engine having failed. */
  readonly failed?: Promise<Error | undefined>;
}

/** What both kinds of device with a data worker are. */
export class EngineDevice extends EventEmitter<DeviceEvents> implements WireGuardDevice {
  readonly #engine: Engine;
  readonly #release: () => Promise<void>;
  readonly #ended: Promise<void>;
  #configured: Promise<unknown> = Promise.resolve();
  #isClosing = false;
  #failure: Error | undefined;
  #isClosed = false;

  /** @internal */
  constructor(foundation: Foundation, events: EngineEvents, signal: AbortSignal | undefined) {
    super();
    this.#engine = foundation.engine;
    this.#release = foundation.release;
    const emit = this.emit.bind(this) as (name: string, ...args: unknown[]) => void;
    events.listen = (event) => tellEvent(event, emit, scopeName);
    const abort = (): void => void this.close();
    signal?.addEventListener('abort', abort, { once: true });
    void foundation.failed?.then((error) => {
      if (!error) return;
      this.#failure = error;
      void this.close();
    });
    this.#ended = this.#engine.ended.then(async (ended) => {
      const crash = ended ?? this.#failure;
      this.#failure = crash && failure(crash);
      this.#isClosed = true;
      signal?.removeEventListener('abort', abort);
      await this.#release();
      // Outside of the promise: a listener that throws, or an error without one, is an uncaught exception.
      if (this.#failure) process.nextTick(emit, 'error', this.#failure);
      process.nextTick(emit, 'close');
    });
  }

  get closed(): boolean {
    return this.#isClosing || this.#isClosed;
  }

  /** Why it ended by itself, once it has. @internal */
  get failure(): Error | undefined {
    return this.#failure;
  }

  configure(change: DeviceConfig): Promise<void> {
    const done = this.#configured.then(() => this.#configure(change));
    this.#configured = done.catch(() => {});
    return done;
  }

  async #configure(change: DeviceConfig): Promise<void> {
    this.checkOpen();
    const resolved = await resolveEndpoints(change);
    const checked = checkChange(change, { resolveScope: scopeIndex, resolved });
    try {
      checkErrno(await this.#engine.configure(checked.change));
    } catch (error) {
      throw libraryError(error);
    } finally {
      checked.wipe();
    }
  }

  async status(): Promise<DeviceStatus> {
    this.checkOpen();
    try {
      const peers: PeerStatus[] = [];
      for await (const chunk of this.#engine.peers()) {
        for (const peer of chunk) peers.push(peerStatus(peer, scopeName));
      }
      // Last, as it holds the private key, and nothing that could fail comes after it.
      return deviceStatus(await this.#engine.report(), peers);
    } catch (error) {
      throw libraryError(error);
    }
  }

  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      await this.#release();
      await this.#engine.close();
    }
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  protected checkOpen(): void {
    if (this.closed) throw new TypetunError('ERR_CLOSED', 'the device is closed');
  }
}

/** Holds what the engine tells before there is a device to tell it. */
export interface EngineEvents {
  listen: NonNullable<EngineOptions['onEvent']>;
}

/** Linux takes IPv6 away from an interface with less. RFC 8200, section 5. */
const IPV6_MIN_MTU = 1280;

interface InterfaceOptions extends CommonOptions {
  readonly addresses?: readonly string[] | undefined;
  readonly mtu?: number | undefined;
}

/**
 * Checks what all devices with a data worker are told.
 * @param minMtu of the kind of device, bytes
 * @throws TypetunError
 */
export function checkCommon({ addresses = [], mtu, signal, log }: InterfaceOptions, minMtu: number): void {
  const problem = unsupported(process.platform, process.arch, isMusl());
  if (problem !== undefined) throw new TypetunError('ERR_UNSUPPORTED', problem);
  checkAddresses(addresses);
  checkSignal(signal);
  if (log !== undefined && typeof log !== 'function') throw invalid('log', 'a function', log);
  if (mtu === undefined) return;
  const hasIpv6 = addresses.some((address) => address.includes(':'));
  const least = hasIpv6 ? Math.max(minMtu, IPV6_MIN_MTU) : minMtu;
  if (integer(mtu, 'mtu', 65535) < least) throw invalid('mtu', `at least ${least}${hasIpv6 ? ' with IPv6' : ''}`, mtu);
}

/**
 * Starts an engine.
 * @throws TypetunError with the name of a system error; the message says what can be done
 */
export async function openEngine(
  options: Pick<EngineOptions, 'name' | 'tunFd' | 'tunMtu'>,
  common: CommonOptions,
  events: EngineEvents,
): Promise<Engine> {
  try {
    return await startEngine({
      ...options,
      log: common.log ?? (() => {}),
      onEvent: (event) => events.listen(event),
    });
  } catch (error) {
    throw startError(options.name, error);
  }
}

/** What kept a device or its socket from being made, with what can be done about it. */
export function startError(name: string, error: unknown): TypetunError {
  const { code = 'ERR_DEVICE' } = error as NodeJS.ErrnoException;
  return new TypetunError(code, startFailure(name, error, probeSystem(name)), { cause: error });
}

/**
 * Finishes a device that is being made, or closes it. Nobody can listen to it yet, so its own failure is thrown.
 * @throws what `work` does; `signal.reason` when it is aborted
 */
export async function finish<Made extends EngineDevice>(
  device: Made,
  signal: AbortSignal | undefined,
  work: () => Promise<void>,
): Promise<Made> {
  const heard = (): void => {};
  device.on('error', heard);
  try {
    await work();
    signal?.throwIfAborted();
    if (device.failure) throw device.failure;
    device.off('error', heard);
    return device;
  } catch (error) {
    await device.close();
    signal?.throwIfAborted();
    throw device.failure ?? error;
  }
}

/**
 * Waits until the engine has noticed that its interface is up, and bound its sockets.
 * @throws TypetunError `EADDRINUSE` and the like
 */
export async function untilUp(engine: Engine): Promise<void> {
  for (;;) {
    const { up, bindError } = await engine.report();
    checkErrno(bindError);
    if (up) return;
    await sleep(UP_INTERVAL_MS);
  }
}

/** @throws TypetunError for a negative errno */
function checkErrno(errno: number): void {
  if (errno === 0) return;
  const name = getSystemErrorName(errno);
  if (name === 'ENOSPC') throw new TypetunError('ERR_TOO_MANY', 'there is no room for as many peers or allowed IPs');
  const texts: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the UDP port is in use: choose another, or 0 for any',
    EPERM: 'not permitted: a fwmark needs CAP_NET_ADMIN, a port below 1024 CAP_NET_BIND_SERVICE',
    EACCES: 'not permitted: a port below 1024 needs CAP_NET_BIND_SERVICE',
  };
  throw new TypetunError(name, texts[name] ?? `the system refused the change: ${name}`);
}

function failure(cause: Error): TypetunError {
  return new TypetunError('ERR_DEVICE', `the device failed: ${cause.message}`, { cause });
}

function libraryError(error: unknown): unknown {
  if (!(error instanceof EngineError)) return error;
  return new TypetunError(error.code, error.message, { cause: error });
}
