/**
 * The packet arena: one fixed memory, and the Internet checksum (RFC 1071) over it.
 *
 * Two kinds: over the memory of the WebAssembly module that assembly/checksum.ts becomes, and in plain
 * JavaScript over any memory, for machines without WebAssembly SIMD and as the readable reference.
 */

export interface Arena {
  /** All of it. Never grows, so that this view and the memory's address stay valid. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /**
   * Sums `length` bytes (at most 65,535) from `at` as big-endian 16-bit words; a last odd byte is a high byte.
   * @param initial added to the sum, an unsigned 32-bit integer
   * @returns the sum folded to 16 bits, not complemented
   */
  sum(at: number, length: number, initial: number): number;
  /** As `sum`, of `length` bytes at `from`, while it copies them to `to`. The places do not overlap. */
  copySum(to: number, from: number, length: number, initial: number): number;
  /** XORs `length` bytes at `from` into those at `to`. The places do not overlap. */
  xor(to: number, from: number, length: number): void;
}

/** Folds an unsigned sum below 2^32 to 16 bits (one's complement). */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** What is used of WebAssembly: no DOM types here. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
  readonly Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

const WASM_PAGE = 65536;

/**
 * An arena with the checksum in WebAssembly.
 * @param wasm the content of dist/src/offload/checksum.wasm
 * @param size bytes; rounded up to whole pages of 64 KiB
 * @throws when the engine has no WebAssembly, no SIMD, or no such memory: use {@link plainArena} then
 */
export function wasmArena(wasm: Uint8Array, size: number): Arena {
  const pages = Math.ceil(size / WASM_PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), { env: { memory } });
  const { sum, copySum, xor } = instance.exports as Pick<Arena, 'sum' | 'copySum' | 'xor'>;
  return { bytes: new Uint8Array(memory.buffer), view: new DataView(memory.buffer), sum, copySum, xor };
}

/** An arena over `bytes`, with the checksum in JavaScript. */
export function plainArena(bytes: Uint8Array): Arena {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sum = (at: number, length: number, initial: number): number => {
    const end = at + length;
    // Below 2^31 each: at most 16,384 steps of 65,535.
    let high = initial >>> 16;
    let low = initial & 0xffff;
    let i = at;
    for (; i + 4 <= end; i += 4) {
      const word = view.getInt32(i);
      high += word >>> 16;
      low += word & 0xffff;
    }
    if (i + 2 <= end) {
      low += view.getUint16(i);
      i += 2;
    }
    if (i < end) high += bytes[i]! << 8;
    return fold(fold(high) + fold(low));
  };
  const copySum = (to: number, from: number, length: number, initial: number): number => {
    bytes.copyWithin(to, from, from + length);
    return sum(from, length, initial);
  };
  const xor = (to: number, from: number, length: number): void => {
    let i = 0;
    for (; i + 4 <= length; i += 4) view.setInt32(to + i, view.getInt32(to + i) ^ view.getInt32(from + i));
    for (; i < length; i++) bytes[to + i]! ^= bytes[from + i]!;
  };
  return { bytes, view, sum, copySum, xor };
}
