/**
 * BLAKE2s and HMAC-BLAKE2s (RFC 7693, RFC 2104) by @noble/hashes, for every back end. One working
 * state serves them all: making one costs as much as compressing a block.
 */
import { blake2s } from '@noble/hashes/blake2.js';
import type { Mac, Suite } from '../core/suite.js';

type State = ReturnType<typeof blake2s.create>;

const BLOCK = 64;
const SIZE = 32;
const MAC_SIZE = 16;

const initial: State = blake2s.create({});
const working: State = blake2s.create({});
const pad = new Uint8Array(BLOCK);
const digest = new Uint8Array(SIZE);
const inner = new Uint8Array(SIZE);

function hash(out: Uint8Array, a: Uint8Array, b: Uint8Array): void {
  initial._cloneInto(working).update(a).update(b).digestInto(digest);
  finish(out, SIZE);
}

function hmac(out: Uint8Array, key: Uint8Array, a: Uint8Array, b?: Uint8Array): void {
  if (key.length > BLOCK) throw new RangeError('an HMAC key has at most 64 bytes here');
  fillPad(key, 0x36);
  initial._cloneInto(working).update(pad).update(a);
  if (b) working.update(b);
  working.digestInto(inner);
  fillPad(key, 0x5c);
  initial._cloneInto(working).update(pad).update(inner).digestInto(digest);
  pad.fill(0);
  inner.fill(0);
  finish(out, SIZE);
}

function fillPad(key: Uint8Array, byte: number): void {
  pad.fill(byte);
  for (let i = 0; i < key.length; i++) pad[i]! ^= key[i]!;
}

/** Gives out the digest, and leaves nothing of it or of the message behind. */
function finish(out: Uint8Array, size: number): void {
  for (let i = 0; i < size; i++) out[i] = digest[i]!;
  digest.fill(0);
  working.destroy();
}

/**
 * Keyed BLAKE2s-128. BLAKE2s works on a block only when it knows that another follows, so the key's
 * block is done once for each first byte of a message, and messages start from a copy of that state.
 * Kept for handshake messages alone, whose first byte is their type: 1 or 2.
 */
function createMac(key: Uint8Array): Mac {
  const keyed = blake2s.create({ key, dkLen: MAC_SIZE });
  const started: (State | undefined)[] = [];
  const start = (data: Uint8Array): Uint8Array => {
    const first = data[0];
    if (first !== 1 && first !== 2) {
      keyed._cloneInto(working);
      return data;
    }
    started[first] ??= keyed.clone().update(Uint8Array.of(first));
    started[first]._cloneInto(working);
    return data.subarray(1);
  };
  return {
    compute(data, out) {
      const rest = start(data);
      working.update(rest).digestInto(digest);
      finish(out, MAC_SIZE);
    },
    destroy() {
      keyed.destroy();
      for (const state of started) state?.destroy();
      started.length = 0;
    },
  };
}

function mac(out: Uint8Array, key: Uint8Array, data: Uint8Array): void {
  const keyed = blake2s.create({ key, dkLen: MAC_SIZE });
  keyed.update(data).digestInto(digest);
  keyed.destroy();
  finish(out, MAC_SIZE);
}

export const hashes: Pick<Suite, 'hash' | 'hmac' | 'createMac' | 'mac'> = { hash, hmac, createMac, mac };
