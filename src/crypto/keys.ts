/** Transport keys in native memory, by slot. */
import type { KeySlot } from '../core/suite.js';
import { addressOf, allocate } from '../linux/ffi.js';

const KEY_SIZE = 32;
const CHUNK_SHIFT = 12;
const CHUNK_KEYS: number = 1 << CHUNK_SHIFT;
/** 128 MiB of keys; 100,000 peers with three keypairs each need 600,000. */
const MAX_KEYS: number = 1 << 22;

/** Grows by chunks of 4,096 keys, so that an address stays what it is. */
export class NativeKeys {
  readonly #chunks: Uint8Array[] = [];
  readonly #addresses: number[] = [];
  readonly #free: number[] = [];
  #used = 0;

  /**
   * @param key 32 bytes, copied
   * @throws RangeError when there are four million keys
   */
  install(key: Uint8Array): KeySlot {
    if (key.length !== KEY_SIZE) throw new RangeError(`a transport key has ${KEY_SIZE} bytes`);
    const slot = this.#free.pop() ?? this.#used++;
    if (slot >= MAX_KEYS) {
      this.#used--;
      throw new RangeError('too many transport keys');
    }
    const chunk = slot >>> CHUNK_SHIFT;
    if (chunk === this.#chunks.length) {
      const memory = allocate(CHUNK_KEYS * KEY_SIZE);
      this.#chunks.push(memory);
      this.#addresses.push(addressOf(memory));
    }
    this.bytes(slot).set(key);
    return slot;
  }

  remove(slot: KeySlot): void {
    this.bytes(slot).fill(0);
    this.#free.push(slot);
  }

  address(slot: KeySlot): number {
    return this.#addresses[slot >>> CHUNK_SHIFT]! + (slot & (CHUNK_KEYS - 1)) * KEY_SIZE;
  }

  /** The key's own memory. */
  bytes(slot: KeySlot): Uint8Array {
    const at = (slot & (CHUNK_KEYS - 1)) * KEY_SIZE;
    return this.#chunks[slot >>> CHUNK_SHIFT]!.subarray(at, at + KEY_SIZE);
  }

  /** Wipes every key. */
  clear(): void {
    for (const chunk of this.#chunks) chunk.fill(0);
  }
}
