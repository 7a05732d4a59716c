/**
 * A pair of transport keys and their counters (paper, section 5.4.5 and 6.1).
 */
import { REJECT_AFTER_MESSAGES_HI, REJECT_AFTER_MESSAGES_LO, REJECT_AFTER_TIME_MS } from './constants.js';
import { ReplayWindow } from './replay.js';
import { type KeySlot, NO_KEY, type Suite } from './suite.js';

export class Keypair {
  inUse = false;
  sendKey: KeySlot = NO_KEY;
  receiveKey: KeySlot = NO_KEY;
  /** The next counter to send with. */
  sendLo = 0;
  sendHi = 0;
  /** Cleared when the keypair may no longer send: our private key changed, or its limits were met. */
  sendValid = false;
  birthMs = 0;
  initiator = false;
  localIndex = 0;
  remoteIndex = 0;
  readonly replay: ReplayWindow = new ReplayWindow();

  /** Takes its keys into use; the caller wipes its own copies. */
  begin(suite: Suite, sendKey: Uint8Array, receiveKey: Uint8Array, initiator: boolean, now: number): void {
    this.inUse = true;
    this.sendKey = suite.installKey(sendKey);
    this.receiveKey = suite.installKey(receiveKey);
    this.sendLo = 0;
    this.sendHi = 0;
    this.sendValid = true;
    this.birthMs = now;
    this.initiator = initiator;
    this.replay.reset();
  }

  end(suite: Suite): void {
    suite.removeKey(this.sendKey);
    suite.removeKey(this.receiveKey);
    this.sendKey = NO_KEY;
    this.receiveKey = NO_KEY;
    this.inUse = false;
    this.sendValid = false;
  }

  /** Whether it may send another message. */
  canSend(now: number): boolean {
    return this.sendValid && !this.expired(now) && !isSpent(this.sendLo, this.sendHi);
  }

  /** Moves on to the next counter, after the present one was used. */
  countSent(): void {
    if (this.sendLo === 0xffffffff) {
      this.sendLo = 0;
      this.sendHi++;
    } else this.sendLo++;
  }

  expired(now: number): boolean {
    return now - this.birthMs >= REJECT_AFTER_TIME_MS;
  }
}

/** Whether a counter is past the last one that a keypair may be used with. */
export function isSpent(lo: number, hi: number): boolean {
  return hi > REJECT_AFTER_MESSAGES_HI || (hi === REJECT_AFTER_MESSAGES_HI && lo >= REJECT_AFTER_MESSAGES_LO);
}
