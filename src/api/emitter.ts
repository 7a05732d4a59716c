/** Events of a device, with types, and without node:events: devices run in browsers as well. */

/** Names of events with the arguments of their listeners. */
export type EventMap = Readonly<Record<string, readonly unknown[]>>;

type Listener<Arguments extends readonly unknown[]> = (...args: Arguments) => void;

/**
 * The part of Node.js's EventEmitter that listeners need: `events.once(device, 'handshake')` works with it.
 * As there, an `error` that nobody listens for is thrown.
 */
export class Emitter<Events extends EventMap> {
  readonly #listeners = new Map<keyof Events, { call: Listener<never>; given: Listener<never> }[]>();

  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    return this.#add(name, listener, listener);
  }

  once<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    const call = (...args: Events[Name]): void => {
      this.off(name, listener);
      listener(...args);
    };
    return this.#add(name, call, listener);
  }

  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    const listeners = this.#listeners.get(name) ?? [];
    const at = listeners.findLastIndex((entry) => entry.given === listener);
    if (at >= 0) this.#listeners.set(name, listeners.toSpliced(at, 1));
    return this;
  }

  /** As {@link off}: the name that `events.once` of Node.js calls. */
  removeListener<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    return this.off(name, listener);
  }

  /** @internal */
  protected emit<Name extends keyof Events>(name: Name, ...args: Events[Name]): void {
    const listeners = this.#listeners.get(name) ?? [];
    if (listeners.length === 0 && name === 'error') throwLater(args[0]);
    for (const { call } of listeners) {
      try {
        (call as unknown as Listener<Events[Name]>)(...args);
      } catch (error) {
        // The listener's bug, and not that of whoever sent the packet.
        throwLater(error);
      }
    }
  }

  #add<Name extends keyof Events>(name: Name, call: Listener<Events[Name]>, given: Listener<Events[Name]>): this {
    if (typeof given !== 'function') throw new TypeError('a listener is a function');
    const entry = { call: call as Listener<never>, given: given as Listener<never> };
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), entry]);
    return this;
  }
}

/** As an uncaught exception, outside of the work that is being done. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
