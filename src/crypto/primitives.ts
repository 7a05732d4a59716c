/** OpenSSL's own ChaCha20 and Poly1305, which the official Node.js binaries export: no public API, and the fastest. */
import { addressOf, allocate, type Library } from '../linux/ffi.js';
import type { Parts } from './composed.js';

const SYMBOLS: readonly string[] = [
  'ChaCha20_ctr32',
  'Poly1305_Init',
  'Poly1305_Update',
  'Poly1305_Final',
  'Poly1305_ctx_size',
];

/** @returns whether `library` exports what this back end is made of, and the machine is little-endian */
export function hasPrimitives(library: Library): boolean {
  // ChaCha20_ctr32 takes words in the machine's order; ours are copied from bytes as they are.
  return new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 && SYMBOLS.every((symbol) => library.has(symbol));
}

/** @param library one that {@link hasPrimitives} */
export function bindPrimitives(library: Library): Parts {
  const state = allocate(library.func('Poly1305_ctx_size', 'size', [])());
  const stateAt = addressOf(state);
  const init = library.func('Poly1305_Init', 'void', ['pointer', 'pointer']);
  const update = library.func('Poly1305_Update', 'void', ['pointer', 'pointer', 'size']);
  const final = library.func('Poly1305_Final', 'void', ['pointer', 'pointer']);
  return {
    chacha20: library.func('ChaCha20_ctr32', 'void', ['pointer', 'pointer', 'size', 'pointer', 'pointer']),
    poly1305(key, from, length, tag) {
      init(stateAt, key);
      update(stateAt, from, length);
      final(stateAt, tag);
    },
    forget: () => void state.fill(0),
    close() {},
  };
}
