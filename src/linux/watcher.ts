/**
 * Follows the TUN device through renames and namespaces: is it up, what is its MTU, does it live?
 *
 * At home (the namespace of this thread) netlink tells when to look. Elsewhere the device is looked at
 * every now and then, by a short visit: a socket kept open there would keep that namespace alive after
 * its last process, and its death is what deletes the device. Where visits are refused (a namespace of
 * another user), the descriptor itself still tells up from down, and what became of the device.
 */
import { fstatSync, statSync } from 'node:fs';
import { bootTimeMs } from './clock.js';
import { Errno, SystemError } from './errno.js';
import { close } from './libc.js';
import { ChangeMonitor, LINK_GROUPS, setGsoMaxSegments } from './netlink.js';
import { withNetns } from './netns.js';
import { InterfaceControl, type TunDevice } from './tun.js';

export interface DeviceState {
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
}

/** How often a device away from home is looked at. */
const AWAY_INTERVAL_MS = 500;
/** How often, at most, its descriptor is asked between packets. */
const AWAY_PEEK_MS = 20;
/** Of a device whose namespace may not be entered. */
const UNKNOWN_MTU = 1420;
/** A device may move while it is looked at. */
const ATTEMPTS = 4;

export class DeviceWatcher {
  readonly #tun: TunDevice;
  readonly #home: InterfaceControl;
  readonly #homeInode: number;
  readonly #monitor: ChangeMonitor;
  #last: DeviceState;
  /** Of the device at home; 0 elsewhere. */
  #index = 0;
  #isAway = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #peekedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param mtu taken for the device's until it can be seen
   * @throws SystemError when there are no sockets to be had
   */
  constructor(tun: TunDevice, mtu: number = UNKNOWN_MTU) {
    this.#tun = tun;
    this.#last = { name: '', up: false, mtu };
    this.#homeInode = statSync('/proc/thread-self/ns/net').ino;
    this.#home = new InterfaceControl();
    this.#monitor = new ChangeMonitor(LINK_GROUPS);
  }

  /** To be polled for input. */
  get fd(): number {
    return this.#monitor.fd;
  }

  /** Of the socket that asks here, which is never to be polled. */
  get homeFd(): number {
    return this.#home.fd;
  }

  /** How long to wait before looking again without being told: milliseconds, or Infinity. */
  get intervalMs(): number {
    return this.#isAway ? AWAY_INTERVAL_MS : Number.POSITIVE_INFINITY;
  }

  /**
   * Whether the device was down at some time between the last two looks, be it for a moment. Seen at home alone, and
   * where it leaves home.
   */
  get wasDown(): boolean {
    return this.#monitor.wasDown;
  }

  /** Whether it is time to look without having been told, which happens away from home alone. Costs nothing. */
  isDue(now: number): boolean {
    return this.#isAway && now - this.#peekedAt >= AWAY_PEEK_MS;
  }

  /**
   * Cheap enough to be called often: away from home, a visit is paid only when the descriptor shows a
   * change or the interval is over.
   * @returns the present state; undefined when the device was deleted
   */
  look(): DeviceState | undefined {
    const told = this.#monitor.drain(this.#index);
    const name = this.#tun.name();
    if (name === undefined) return undefined;
    const now = bootTimeMs();
    this.#peekedAt = now;
    const fresh = this.#isAway && !told && now - this.#lookedAt < AWAY_INTERVAL_MS;
    if (fresh && name === this.#last.name && this.#tun.isUp() === this.#last.up) return this.#last;
    this.#lookedAt = now;
    return this.#lookCloser();
  }

  /** @returns whether the MTU was set */
  setMtu(mtu: number): boolean {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const name = this.#tun.name();
      if (name === undefined) return false;
      if (this.#visit((control) => control.setMtu(name, mtu)) === true) return true;
    }
    return false;
  }

  /** Limits the super-packets that come from the device to so many segments, where that can be done. */
  limitSegments(segments: number): void {
    const name = this.#tun.name();
    if (name !== undefined) this.#visit(() => setGsoMaxSegments(name, segments));
  }

  close(): void {
    this.#home.close();
    this.#monitor.close();
  }

  #lookCloser(): DeviceState | undefined {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const name = this.#tun.name();
      if (name === undefined) return undefined;
      const state = this.#visit((control): DeviceState | undefined => {
        const up = control.isUp(name);
        const mtu = control.mtu(name);
        this.#index = this.#isAway ? 0 : (control.index(name) ?? 0);
        return up === undefined || mtu === undefined ? undefined : { name, up, mtu };
      });
      if (state) return this.#remember(state);
    }
    const name = this.#tun.name();
    return name === undefined ? undefined : this.#remember({ name, up: this.#tun.isUp(), mtu: this.#last.mtu });
  }

  /** The same object as long as nothing changes. */
  #remember(state: DeviceState): DeviceState {
    const last = this.#last;
    if (state.name !== last.name || state.up !== last.up || state.mtu !== last.mtu) this.#last = state;
    return this.#last;
  }

  /** Runs `action` where the device is. @returns undefined when that cannot be done */
  #visit<T>(action: (control: InterfaceControl) => T): T | undefined {
    let netns = -1;
    try {
      // By the namespace's identity, not by name: another device may have taken the name at home.
      netns = this.#tun.netns();
      this.#isAway = fstatSync(netns).ino !== this.#homeInode;
      if (!this.#isAway) return action(this.#home);
      return withNetns(netns, () => this.#visitHere(action));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#isAway = true;
      // Linux before 5.2 cannot say where a device is.
      return netns < 0 && error.errno === Errno.EINVAL ? action(this.#home) : undefined;
    } finally {
      if (netns >= 0) close(netns);
    }
  }

  #visitHere<T>(action: (control: InterfaceControl) => T): T {
    const control = new InterfaceControl();
    try {
      return action(control);
    } finally {
      control.close();
    }
  }
}
