/**
 * mac1, mac2 and cookies (paper, sections 5.4.4, 5.4.7 and 5.3).
 */
import { COOKIE_REFRESH_TIME_MS, COOKIE_USE_TIME_MS } from './constants.js';
import {
  COOKIE_NONCE_SIZE,
  COOKIE_REPLY_COOKIE,
  COOKIE_REPLY_NONCE,
  COOKIE_REPLY_RECEIVER,
  COOKIE_REPLY_SIZE,
  COOKIE_SIZE,
  equalBytes,
  isZero,
  KEY_SIZE,
  MAC_SIZE,
  MessageType,
  readU32,
  TAG_SIZE,
  writeU32,
} from './messages.js';
import { ascii } from './noise.js';
import { pooled } from './random.js';
import type { Mac, Suite } from './suite.js';

const LABEL_MAC1 = ascii('mac1----');
const LABEL_COOKIE = ascii('cookie--');

/** What the macs of a message are worth. */
export const MacVerdict = { invalid: 0, mac1: 1, mac2: 2 } as const;

/** The receiving side: checks macs, and answers with cookies when under load. One for a device. */
export class CookieChecker {
  readonly #suite: Suite;
  readonly #cookieKey: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #mac: Uint8Array = new Uint8Array(MAC_SIZE);
  readonly #cookie: Uint8Array = new Uint8Array(COOKIE_SIZE);
  readonly #identity: Uint8Array = new Uint8Array(20);
  readonly #random: (out: Uint8Array) => void;
  #mac1: Mac | undefined;
  #secret: Mac | undefined;
  #secretBirthMs = 0;

  constructor(suite: Suite) {
    this.#suite = suite;
    this.#random = pooled((out) => suite.random(out));
  }

  /** @param publicKey our own static public key, or undefined for none */
  setIdentity(publicKey: Uint8Array | undefined): void {
    this.#mac1?.destroy();
    this.#mac1 = undefined;
    if (!publicKey) return;
    const key = new Uint8Array(KEY_SIZE);
    this.#suite.hash(key, LABEL_MAC1, publicKey);
    this.#mac1 = this.#suite.createMac(key);
    this.#suite.hash(this.#cookieKey, LABEL_COOKIE, publicKey);
  }

  /**
   * @param source an endpoint row: the cookie is bound to address and port
   * @param wantCookie whether mac2 is asked for (under load)
   * @param inVain whether nothing comes of a message without one: then its mac1 is not worth looking at
   */
  check(message: Uint8Array, source: Uint8Array, wantCookie: boolean, inVain: boolean, now: number): number {
    const macs = message.length - 2 * MAC_SIZE;
    const mac2 = message.subarray(macs + MAC_SIZE);
    if (!this.#mac1) return MacVerdict.invalid;
    if (inVain && isZero(mac2)) return MacVerdict.mac1;
    this.#mac1.compute(message.subarray(0, macs), this.#mac);
    if (!equalBytes(this.#mac, message.subarray(macs, macs + MAC_SIZE))) return MacVerdict.invalid;
    if (!wantCookie || isZero(mac2)) return MacVerdict.mac1;
    this.#makeCookie(source, now);
    this.#suite.mac(this.#mac, this.#cookie, message.subarray(0, macs + MAC_SIZE));
    return equalBytes(this.#mac, mac2) ? MacVerdict.mac2 : MacVerdict.mac1;
  }

  /** Writes the cookie reply to `message` into the 64 bytes of `out`. */
  reply(message: Uint8Array, source: Uint8Array, now: number, out: Uint8Array): void {
    const macs = message.length - 2 * MAC_SIZE;
    this.#makeCookie(source, now);
    writeU32(out, 0, MessageType.cookieReply);
    writeU32(out, COOKIE_REPLY_RECEIVER, readU32(message, 4));
    const nonce = out.subarray(COOKIE_REPLY_NONCE, COOKIE_REPLY_NONCE + COOKIE_NONCE_SIZE);
    this.#random(nonce);
    const sealed = out.subarray(COOKIE_REPLY_COOKIE, COOKIE_REPLY_SIZE);
    this.#suite.xseal(sealed, this.#cookieKey, nonce, this.#cookie, message.subarray(macs, macs + MAC_SIZE));
  }

  #makeCookie(source: Uint8Array, now: number): void {
    if (!this.#secret || now - this.#secretBirthMs >= COOKIE_REFRESH_TIME_MS) {
      this.#secret?.destroy();
      const secret = new Uint8Array(KEY_SIZE);
      this.#suite.random(secret);
      this.#secret = this.#suite.createMac(secret);
      secret.fill(0);
      this.#secretBirthMs = now;
    }
    // Family, port and address: bytes 0 and 2 to 19 of an endpoint row, the flags left out.
    for (let i = 0; i < this.#identity.length; i++) this.#identity[i] = i === 1 ? 0 : source[i]!;
    this.#secret.compute(this.#identity, this.#cookie);
  }
}

/** The sending side: puts macs on messages to one peer. */
export class CookieJar {
  readonly #suite: Suite;
  readonly #mac1: Mac;
  readonly #cookieKey: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #lastMac1: Uint8Array = new Uint8Array(MAC_SIZE);
  readonly #received: Uint8Array = new Uint8Array(COOKIE_SIZE);
  #awaitsReply = false;
  #cookie: Mac | undefined;
  #cookieBirthMs = 0;

  /** @param publicKey the peer's static public key */
  constructor(suite: Suite, publicKey: Uint8Array) {
    this.#suite = suite;
    const key = new Uint8Array(KEY_SIZE);
    suite.hash(key, LABEL_MAC1, publicKey);
    this.#mac1 = suite.createMac(key);
    suite.hash(this.#cookieKey, LABEL_COOKIE, publicKey);
  }

  addMacs(message: Uint8Array, now: number): void {
    const macs = message.length - 2 * MAC_SIZE;
    const mac2 = message.subarray(macs + MAC_SIZE);
    this.#mac1.compute(message.subarray(0, macs), this.#lastMac1);
    message.set(this.#lastMac1, macs);
    this.#awaitsReply = true;
    if (this.#cookie && now - this.#cookieBirthMs < COOKIE_USE_TIME_MS) {
      this.#cookie.compute(message.subarray(0, macs + MAC_SIZE), mac2);
    } else mac2.fill(0);
  }

  /** Takes the cookie of a reply, if it answers the last message sent. */
  consumeReply(message: Uint8Array, now: number): boolean {
    if (!this.#awaitsReply) return false;
    const nonce = message.subarray(COOKIE_REPLY_NONCE, COOKIE_REPLY_NONCE + COOKIE_NONCE_SIZE);
    const sealed = message.subarray(COOKIE_REPLY_COOKIE, COOKIE_REPLY_COOKIE + COOKIE_SIZE + TAG_SIZE);
    if (!this.#suite.xopen(this.#received, this.#cookieKey, nonce, sealed, this.#lastMac1)) return false;
    this.#cookie?.destroy();
    this.#cookie = this.#suite.createMac(this.#received);
    this.#received.fill(0);
    this.#cookieBirthMs = now;
    this.#awaitsReply = false;
    return true;
  }

  destroy(): void {
    this.#mac1.destroy();
    this.#cookie?.destroy();
    this.#cookie = undefined;
  }
}
