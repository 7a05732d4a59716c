/** BLAKE2s and HMAC-BLAKE2s (RFC 7693, RFC 2104) by @noble/hashes, for every back end. */
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import type { Mac, Suite } from '../core/suite.js';

type State = ReturnType<typeof blake2s.create>;

function hash(out: Uint8Array, a: Uint8Array, b: Uint8Array): void {
  const state = blake2s.create({}).update(a).update(b);
  out.set(state.digest());
  state.destroy();
}

function hmacBlake2s(out: Uint8Array, key: Uint8Array, a: Uint8Array, b?: Uint8Array): void {
  const state = hmac.create(blake2s, key).update(a);
  if (b) state.update(b);
  out.set(state.digest());
  state.destroy();
}

/** Keyed BLAKE2s-128, its key absorbed once: each message starts from a copy of that state. */
function createMac(key: Uint8Array): Mac {
  const keyed = blake2s.create({ key, dkLen: 16 });
  let scratch: State | undefined;
  return {
    compute(data, out) {
      scratch = keyed._cloneInto(scratch);
      out.set(scratch.update(data).digest());
    },
    destroy() {
      keyed.destroy();
      scratch?.destroy();
    },
  };
}

export const hashes: Pick<Suite, 'hash' | 'hmac' | 'createMac'> = { hash, hmac: hmacBlake2s, createMac };
