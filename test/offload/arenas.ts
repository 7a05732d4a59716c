/** Arenas of both kinds, and packets put into them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Arena, plainArena, wasmArena } from '../../src/offload/arena.js';

const WASM = readFileSync(join(import.meta.dirname, '../../src/offload/checksum.wasm'));
export const SIZE: number = 1 << 20;

export function arenas(): [name: string, arena: Arena][] {
  return [
    ['WebAssembly', wasmArena(WASM, SIZE)],
    // At an odd place of a larger buffer: nothing may depend on alignment.
    ['JavaScript', plainArena(new Uint8Array(SIZE + 7).subarray(7))],
  ];
}

/** What `Splitter` and `Coalescer` need of a batch. */
export class Rows {
  count = 0;
  readonly offset: Int32Array;
  readonly length: Int32Array;

  constructor(capacity: number) {
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
  }

  packet(arena: Arena, row: number): Uint8Array {
    return arena.bytes.slice(this.offset[row]!, this.offset[row]! + this.length[row]!);
  }
}
