/**
 * BLAKE2s, HMAC-BLAKE2s and keyed BLAKE2s-128 (RFC 7693, RFC 2104) by OpenSSL's public API: a handshake
 * takes about fifty of them, and they are several times as fast as JavaScript's.
 */
import type { Mac, Suite } from '../core/suite.js';
import { addressOf, allocate, type Library } from '../linux/ffi.js';

const BLOCK = 64;
const SIZE = 32;
const MAC_SIZE = 16;
const OSSL_PARAM_UNSIGNED_INTEGER = 2;
/** Bytes of a message that are taken. */
const ROOM = 2048;

// The scratch memory: what goes in (a block for the HMAC's pad in front), a second one, and what comes out.
const INPUT = 0;
const OUTER: number = INPUT + BLOCK + ROOM;
const RESULT: number = OUTER + BLOCK + SIZE;
const PARAMS: number = RESULT + BLOCK;
const NAME: number = PARAMS + 128;

/** Beside what every OpenSSL that is taken has. */
const SYMBOLS: readonly string[] = ['EVP_MD_fetch', 'EVP_Digest'];

/** @returns undefined where OpenSSL has no BLAKE2s */
export function createNativeHashes(library: Library): Pick<Suite, 'hash' | 'hmac' | 'createMac' | 'mac'> | undefined {
  if (!SYMBOLS.every((symbol) => library.has(symbol))) return undefined;
  const scratch = new Scratch();
  const fetchDigest = library.func('EVP_MD_fetch', 'pointer', ['pointer', 'pointer', 'pointer']);
  const fetchMac = library.func('EVP_MAC_fetch', 'pointer', ['pointer', 'pointer', 'pointer']);
  const blake2s = fetchDigest(0, scratch.name('BLAKE2S-256'), 0);
  const blake2sMac = fetchMac(0, scratch.name('BLAKE2SMAC'), 0);
  if (blake2s === 0 || blake2sMac === 0) return undefined;
  return { ...digests(library, scratch, blake2s), ...macs(library, scratch, blake2sMac) };
}

/** Native memory for what goes in and what comes out; no call leaves anything secret in it. */
class Scratch {
  readonly bytes: Uint8Array = allocate(4096);
  readonly base: number = addressOf(this.bytes);

  /** @returns the address of the text, up to the next name */
  name(text: string): number {
    this.bytes.fill(0, NAME);
    for (let i = 0; i < text.length; i++) this.bytes[NAME + i] = text.charCodeAt(i);
    return this.base + NAME;
  }

  /** @returns the place behind it */
  put(bytes: Uint8Array, at: number): number {
    if (bytes.length > ROOM) throw new RangeError('message too long for the hash');
    for (let i = 0; i < bytes.length; i++) this.bytes[at + i] = bytes[i]!;
    return at + bytes.length;
  }

  /** An HMAC's key, filled up to a block, and each byte XORed with `byte`. */
  pad(key: Uint8Array, at: number, byte: number): void {
    this.bytes.fill(byte, at, at + BLOCK);
    for (let i = 0; i < key.length; i++) this.bytes[at + i]! ^= key[i]!;
  }

  /** Gives out the result, and leaves nothing of it or of the input behind. */
  finish(out: Uint8Array, size: number, inputEnd: number): void {
    for (let i = 0; i < size; i++) out[i] = this.bytes[RESULT + i]!;
    this.bytes.fill(0, INPUT, inputEnd);
    this.bytes.fill(0, OUTER, RESULT + SIZE);
  }
}

function digests(library: Library, scratch: Scratch, blake2s: number): Pick<Suite, 'hash' | 'hmac'> {
  const digest = library.func('EVP_Digest', 'int', ['pointer', 'size', 'pointer', 'pointer', 'pointer', 'pointer']);
  const { base } = scratch;
  const run = (from: number, to: number, result: number): void => {
    if (digest(base + from, to - from, base + result, 0, blake2s, 0) !== 1) throw new Error('OpenSSL failed to hash');
  };
  return {
    hash(out, a, b) {
      const end = scratch.put(b, scratch.put(a, INPUT));
      run(INPUT, end, RESULT);
      scratch.finish(out, SIZE, end);
    },
    hmac(out, key, a, b) {
      if (key.length > BLOCK) throw new RangeError('an HMAC key has at most 64 bytes here');
      scratch.pad(key, INPUT, 0x36);
      let end = scratch.put(a, INPUT + BLOCK);
      if (b) end = scratch.put(b, end);
      run(INPUT, end, OUTER + BLOCK);
      scratch.pad(key, OUTER, 0x5c);
      run(OUTER, RESULT, RESULT);
      scratch.finish(out, SIZE, end);
    },
  };
}

function macs(library: Library, scratch: Scratch, blake2sMac: number): Pick<Suite, 'createMac' | 'mac'> {
  const newContext = library.func('EVP_MAC_CTX_new', 'pointer', ['pointer']);
  const freeContext = library.func('EVP_MAC_CTX_free', 'void', ['pointer']);
  const init = library.func('EVP_MAC_init', 'int', ['pointer', 'pointer', 'size', 'pointer']);
  const update = library.func('EVP_MAC_update', 'int', ['pointer', 'pointer', 'size']);
  const final = library.func('EVP_MAC_final', 'int', ['pointer', 'pointer', 'pointer', 'size']);
  const { base } = scratch;
  const parameters = macParameters(scratch);
  /** Gives the context a key. */
  const begin = (context: number, key: Uint8Array): void => {
    const end = scratch.put(key, INPUT);
    const fine = context !== 0 && init(context, base + INPUT, key.length, parameters) === 1;
    scratch.bytes.fill(0, INPUT, end);
    if (!fine) throw new Error('OpenSSL refused to make a BLAKE2s key');
  };
  const finish = (context: number, data: Uint8Array, out: Uint8Array): void => {
    const length = scratch.put(data, INPUT);
    update(context, base + INPUT, length);
    if (final(context, base + RESULT, 0, MAC_SIZE) !== 1) throw new Error('OpenSSL failed to compute a MAC');
    scratch.finish(out, MAC_SIZE, length);
  };
  // A key that its owner dropped without destroying it must not stay in OpenSSL's memory.
  const forgotten = new FinalizationRegistry<number>((context) => void freeContext(context));
  const createMac = (key: Uint8Array): Mac => {
    let context = newContext(blake2sMac);
    try {
      begin(context, key);
    } catch (error) {
      freeContext(context);
      throw error;
    }
    // The key stays in the context: beginning anew without one takes it again.
    let fresh = true;
    const mac = {
      compute(data: Uint8Array, out: Uint8Array): void {
        if (context === 0) throw new Error('the key has been destroyed');
        if (!fresh) init(context, 0, 0, 0);
        fresh = false;
        finish(context, data, out);
      },
      destroy(): void {
        if (context === 0) return;
        forgotten.unregister(mac);
        freeContext(context);
        context = 0;
      },
    };
    forgotten.register(mac, context, mac);
    return mac;
  };
  // Keys that are used once take turns in one context.
  const once = newContext(blake2sMac);
  const mac: Suite['mac'] = (out, key, data) => {
    begin(once, key);
    finish(once, data, out);
  };
  forgotten.register(mac, once);
  return { createMac, mac };
}

/**
 * The MAC's size, as OSSL_PARAM(3) has it: key, data_type, data, data_size, return_size; one without a key ends the list.
 * @returns its address
 */
function macParameters({ bytes, base }: Scratch): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [sizeName, sizeValue] = [PARAMS + 96, PARAMS + 112];
  for (const [i, letter] of [...'size'].entries()) bytes[sizeName + i] = letter.charCodeAt(0);
  view.setBigUint64(sizeValue, BigInt(MAC_SIZE), true);
  view.setBigUint64(PARAMS, BigInt(base + sizeName), true);
  view.setUint32(PARAMS + 8, OSSL_PARAM_UNSIGNED_INTEGER, true);
  view.setBigUint64(PARAMS + 16, BigInt(base + sizeValue), true);
  view.setBigUint64(PARAMS + 24, 8n, true);
  return base + PARAMS;
}
