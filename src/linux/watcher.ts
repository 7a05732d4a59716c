/**
 * Follows the TUN device through renames and namespaces: is it up, what is its MTU, does it live?
 *
 * Netlink tells when to look, from a socket in the namespace where the device is. Where that
 * namespace may not be entered, the descriptor itself is asked once a second.
 */
import { close } from './libc.js';
import { ChangeMonitor, LINK_GROUPS } from './netlink.js';
import { InterfaceControl, type TunDevice } from './tun.js';

export interface DeviceState {
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
}

const BLIND_POLL_MS = 1000;

export class DeviceWatcher {
  readonly #tun: TunDevice;
  #control: InterfaceControl | undefined;
  #monitor: ChangeMonitor | undefined;
  #last: DeviceState = { name: '', up: false, mtu: 0 };

  constructor(tun: TunDevice) {
    this.#tun = tun;
    this.#enter();
  }

  /** To be polled for input, or -1. */
  get fd(): number {
    return this.#monitor?.fd ?? -1;
  }

  /** How long to wait before looking again without being told: milliseconds, or Infinity. */
  get intervalMs(): number {
    return this.#monitor ? Number.POSITIVE_INFINITY : BLIND_POLL_MS;
  }

  /** @returns the present state; undefined when the device was deleted */
  look(): DeviceState | undefined {
    this.#monitor?.drain();
    const name = this.#tun.name();
    if (name === undefined) return undefined;
    let up = this.#control?.isUp(name);
    if (up === undefined) {
      // Moved to another namespace.
      this.#enter();
      up = this.#control?.isUp(name) ?? this.#tun.isUp();
    }
    this.#last = { name, up, mtu: this.#control?.mtu(name) ?? this.#last.mtu };
    return this.#last;
  }

  setMtu(mtu: number): void {
    const name = this.#tun.name();
    if (name !== undefined) this.#control?.setMtu(name, mtu);
  }

  close(): void {
    this.#control?.close();
    this.#monitor?.close();
    this.#control = undefined;
    this.#monitor = undefined;
  }

  #enter(): void {
    this.close();
    let netns: number | undefined;
    try {
      netns = this.#tun.netns();
      this.#control = new InterfaceControl(netns);
      this.#monitor = new ChangeMonitor(LINK_GROUPS, netns);
    } catch {
      this.close();
    } finally {
      if (netns !== undefined) close(netns);
    }
  }
}
