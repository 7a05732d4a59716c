/**
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (paper, section 5.4).
 *
 *     <- s
 *     -> e, es, s, ss, {t}
 *     <- e, ee, se, psk, {}
 *
 * Reading a message changes nothing but this object's scratch memory; a {@link Handshake} takes the
 * result over only when the message was found authentic.
 */
import {
  INITIATION_EPHEMERAL,
  INITIATION_STATIC,
  INITIATION_TIMESTAMP,
  KEY_SIZE,
  RESPONSE_EMPTY,
  RESPONSE_EPHEMERAL,
  TAG_SIZE,
  TIMESTAMP_SIZE,
} from './messages.js';
import type { PrivateKey, Suite } from './suite.js';

const CONSTRUCTION = ascii('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
const IDENTIFIER = ascii('WireGuard v1 zx2c4 Jason@zx2c4.com');
const EMPTY = new Uint8Array(0);
const ONE = Uint8Array.of(1);
const TWO = Uint8Array.of(2);
const THREE = Uint8Array.of(3);

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** RFC 7748, section 5: what makes 32 random bytes a Curve25519 private key. */
export function clamp(privateKey: Uint8Array): void {
  privateKey[0] = privateKey[0]! & 248;
  privateKey[31] = (privateKey[31]! & 127) | 64;
}

export const HandshakeState = {
  idle: 0,
  createdInitiation: 1,
  consumedInitiation: 2,
} as const;

/** One peer's handshake in flight: at most one at a time, either role. */
export class Handshake {
  state = 0;
  /** Our index of this handshake in the index table, or -1. */
  localIndex = -1;
  remoteIndex = 0;
  ephemeral: PrivateKey | undefined;
  readonly hash: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly chainingKey: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly remoteEphemeral: Uint8Array = new Uint8Array(KEY_SIZE);
  /** DH of the two static keys: computed when first needed. */
  readonly staticStatic: Uint8Array = new Uint8Array(KEY_SIZE);
  hasStaticStatic = false;

  /** Forgets the handshake in flight; the caller has freed `localIndex`. */
  clear(): void {
    this.state = HandshakeState.idle;
    this.localIndex = -1;
    this.ephemeral?.destroy();
    this.ephemeral = undefined;
    this.hash.fill(0);
    this.chainingKey.fill(0);
    this.remoteEphemeral.fill(0);
  }

  /** Forgets also what belongs to the pair of static keys. */
  wipe(): void {
    this.clear();
    this.staticStatic.fill(0);
    this.hasStaticStatic = false;
  }
}

export class Noise {
  readonly #suite: Suite;
  readonly #initialChainingKey: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #initialHash: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #responderHash: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #hash: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #chainingKey: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #key: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #dh: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly #temp: Uint8Array = new Uint8Array(KEY_SIZE);
  /** The initiator's static public key, after {@link openStatic}. */
  readonly remoteStatic: Uint8Array = new Uint8Array(KEY_SIZE);
  /** Its TAI64N timestamp, after {@link openTimestamp}. */
  readonly timestamp: Uint8Array = new Uint8Array(TIMESTAMP_SIZE);
  /** The transport keys, after {@link deriveKeys}: first the initiator's sending key. */
  readonly initiatorKey: Uint8Array = new Uint8Array(KEY_SIZE);
  readonly responderKey: Uint8Array = new Uint8Array(KEY_SIZE);
  identity: PrivateKey | undefined;

  constructor(suite: Suite) {
    this.#suite = suite;
    suite.hash(this.#initialChainingKey, CONSTRUCTION, EMPTY);
    suite.hash(this.#initialHash, this.#initialChainingKey, IDENTIFIER);
  }

  /** @param privateKey clamped, or undefined for none */
  setIdentity(privateKey: Uint8Array | undefined): void {
    this.identity?.destroy();
    this.identity = privateKey && this.#suite.importPrivateKey(privateKey);
    if (this.identity) this.#suite.hash(this.#responderHash, this.#initialHash, this.identity.publicKey);
  }

  /** DH(s, s), once for each peer. */
  prepareStaticStatic(handshake: Handshake, remoteStatic: Uint8Array): boolean {
    if (handshake.hasStaticStatic) return true;
    if (!this.identity?.dh(remoteStatic, handshake.staticStatic)) return false;
    handshake.hasStaticStatic = true;
    return true;
  }

  /**
   * `-> e, es, s, ss, {t}` into `message`, up to its macs.
   * @returns false when the peer's key admits no handshake (a low-order point)
   */
  writeInitiation(handshake: Handshake, remoteStatic: Uint8Array, message: Uint8Array, timestamp: Uint8Array): boolean {
    const identity = this.identity;
    if (!identity || !this.prepareStaticStatic(handshake, remoteStatic)) return false;
    this.#suite.hash(this.#hash, this.#initialHash, remoteStatic);
    this.#chainingKey.set(this.#initialChainingKey);
    const ephemeral = this.#generate();
    this.#writeEphemeral(ephemeral, message, INITIATION_EPHEMERAL);
    if (!ephemeral.dh(remoteStatic, this.#dh)) {
      ephemeral.destroy();
      return false;
    }
    this.#mixKey(this.#dh);
    this.#seal(message, INITIATION_STATIC, identity.publicKey);
    this.#mixKey(handshake.staticStatic);
    this.#seal(message, INITIATION_TIMESTAMP, timestamp);
    handshake.ephemeral?.destroy();
    handshake.ephemeral = ephemeral;
    this.#save(handshake, HandshakeState.createdInitiation);
    return true;
  }

  /** Reads `e, es, s`; on success {@link remoteStatic} tells who claims to speak. */
  openStatic(message: Uint8Array): boolean {
    const identity = this.identity;
    if (!identity) return false;
    this.#hash.set(this.#responderHash);
    this.#chainingKey.set(this.#initialChainingKey);
    const ephemeral = message.subarray(INITIATION_EPHEMERAL, INITIATION_EPHEMERAL + KEY_SIZE);
    this.#mixEphemeral(ephemeral);
    if (!identity.dh(ephemeral, this.#dh)) return false;
    this.#mixKey(this.#dh);
    return this.#open(message, INITIATION_STATIC, this.remoteStatic);
  }

  /** Reads `ss, {t}` with the peer found: the initiation is authentic, {@link timestamp} its time. */
  openTimestamp(message: Uint8Array, staticStatic: Uint8Array): boolean {
    this.#mixKey(staticStatic);
    return this.#open(message, INITIATION_TIMESTAMP, this.timestamp);
  }

  /** The peer's handshake takes over the initiation just opened. */
  acceptInitiation(handshake: Handshake, message: Uint8Array, remoteIndex: number): void {
    handshake.ephemeral?.destroy();
    handshake.ephemeral = undefined;
    handshake.remoteEphemeral.set(message.subarray(INITIATION_EPHEMERAL, INITIATION_EPHEMERAL + KEY_SIZE));
    handshake.remoteIndex = remoteIndex;
    this.#save(handshake, HandshakeState.consumedInitiation);
  }

  /** `<- e, ee, se, psk, {}` into `message`, up to its macs; then {@link deriveKeys}. */
  writeResponse(
    handshake: Handshake,
    remoteStatic: Uint8Array,
    presharedKey: Uint8Array,
    message: Uint8Array,
  ): boolean {
    this.#hash.set(handshake.hash);
    this.#chainingKey.set(handshake.chainingKey);
    const ephemeral = this.#generate();
    this.#writeEphemeral(ephemeral, message, RESPONSE_EPHEMERAL);
    const fine = this.#mixDh(ephemeral, handshake.remoteEphemeral) && this.#mixDh(ephemeral, remoteStatic);
    ephemeral.destroy();
    if (!fine) return false;
    this.#mixPsk(presharedKey);
    this.#seal(message, RESPONSE_EMPTY, EMPTY);
    return true;
  }

  /** Reads a response to the initiation of `handshake`; then {@link deriveKeys}. Changes nothing in it. */
  openResponse(handshake: Handshake, presharedKey: Uint8Array, message: Uint8Array): boolean {
    const own = handshake.ephemeral;
    if (!own || !this.identity) return false;
    this.#hash.set(handshake.hash);
    this.#chainingKey.set(handshake.chainingKey);
    const ephemeral = message.subarray(RESPONSE_EPHEMERAL, RESPONSE_EPHEMERAL + KEY_SIZE);
    this.#mixEphemeral(ephemeral);
    if (!this.#mixDh(own, ephemeral) || !this.#mixDh(this.identity, ephemeral)) return false;
    this.#mixPsk(presharedKey);
    return this.#open(message, RESPONSE_EMPTY, EMPTY);
  }

  /** The transport keys of the response just written or opened (paper, section 5.4.5). */
  deriveKeys(): void {
    const { initiatorKey, responderKey } = this;
    this.#suite.hmac(this.#temp, this.#chainingKey, EMPTY);
    this.#suite.hmac(initiatorKey, this.#temp, ONE);
    this.#suite.hmac(responderKey, this.#temp, initiatorKey, TWO);
  }

  /** Wipes what the last message left here. */
  wipe(): void {
    for (const secret of [this.#hash, this.#chainingKey, this.#key, this.#dh, this.#temp]) secret.fill(0);
    this.remoteStatic.fill(0);
    this.initiatorKey.fill(0);
    this.responderKey.fill(0);
  }

  #generate(): PrivateKey {
    this.#suite.random(this.#temp);
    clamp(this.#temp);
    const key = this.#suite.importPrivateKey(this.#temp);
    this.#temp.fill(0);
    return key;
  }

  #save(handshake: Handshake, state: number): void {
    handshake.hash.set(this.#hash);
    handshake.chainingKey.set(this.#chainingKey);
    handshake.state = state;
  }

  #writeEphemeral(key: PrivateKey, message: Uint8Array, at: number): void {
    message.set(key.publicKey, at);
    this.#mixEphemeral(key.publicKey);
  }

  #mixEphemeral(publicKey: Uint8Array): void {
    this.#suite.hash(this.#hash, this.#hash, publicKey);
    this.#mixChainingKey(publicKey);
  }

  /** KDF1: the chaining key alone. */
  #mixChainingKey(input: Uint8Array): void {
    this.#suite.hmac(this.#temp, this.#chainingKey, input);
    this.#suite.hmac(this.#chainingKey, this.#temp, ONE);
  }

  /** KDF2: chaining key and cipher key. */
  #mixKey(input: Uint8Array): void {
    this.#mixChainingKey(input);
    this.#suite.hmac(this.#key, this.#temp, this.#chainingKey, TWO);
  }

  #mixDh(key: PrivateKey, publicKey: Uint8Array): boolean {
    if (!key.dh(publicKey, this.#dh)) return false;
    this.#mixChainingKey(this.#dh);
    return true;
  }

  /** KDF3: chaining key, a value for the hash, and cipher key. */
  #mixPsk(presharedKey: Uint8Array): void {
    this.#mixChainingKey(presharedKey);
    this.#suite.hmac(this.#dh, this.#temp, this.#chainingKey, TWO);
    this.#suite.hmac(this.#key, this.#temp, this.#dh, THREE);
    this.#suite.hash(this.#hash, this.#hash, this.#dh);
  }

  #seal(message: Uint8Array, at: number, plaintext: Uint8Array): void {
    const sealed = message.subarray(at, at + plaintext.length + TAG_SIZE);
    this.#suite.seal(sealed, this.#key, plaintext, this.#hash);
    this.#suite.hash(this.#hash, this.#hash, sealed);
  }

  #open(message: Uint8Array, at: number, out: Uint8Array): boolean {
    const sealed = message.subarray(at, at + out.length + TAG_SIZE);
    if (!this.#suite.open(out, this.#key, sealed, this.#hash)) return false;
    this.#suite.hash(this.#hash, this.#hash, sealed);
    return true;
  }
}
