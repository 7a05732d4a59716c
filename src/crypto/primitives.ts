/**
 * ChaCha20-Poly1305 (RFC 8439, section 2.8) composed from OpenSSL's own ChaCha20 and Poly1305, which
 * the official Node.js binaries export. No associated data, as transport messages have none.
 *
 * Sealing runs ChaCha20 once, from block 0 over a zeroed prefix, for the Poly1305 key and the
 * ciphertext together. Opening verifies before it decrypts. Poly1305 reads ciphertext, padding and
 * lengths in one piece: the lengths are written where the tag goes, or came from.
 */
import { type BatchCipher, HEADROOM } from '../core/batch.js';
import { NO_KEY } from '../core/suite.js';
import { addressOf, allocate, loadLibrary } from '../linux/ffi.js';
import type { NativeKeys } from './openssl.js';

const SYMBOLS: readonly string[] = [
  'ChaCha20_ctr32',
  'Poly1305_Init',
  'Poly1305_Update',
  'Poly1305_Final',
  'Poly1305_ctx_size',
];
const BLOCK = 16;

/** @returns undefined when this process does not export what is needed */
export function createPrimitivesCipher(arena: Uint8Array, keys: NativeKeys): BatchCipher | undefined {
  const library = loadLibrary(null);
  if (!SYMBOLS.every((symbol) => library.has(symbol))) return undefined;
  const chacha20 = library.func('ChaCha20_ctr32', 'void', ['pointer', 'pointer', 'size', 'pointer', 'pointer']);
  const polyInit = library.func('Poly1305_Init', 'void', ['pointer', 'pointer']);
  const polyUpdate = library.func('Poly1305_Update', 'void', ['pointer', 'pointer', 'size']);
  const polyFinal = library.func('Poly1305_Final', 'void', ['pointer', 'pointer']);
  const contextSize = library.func('Poly1305_ctx_size', 'size', [])();

  const base = addressOf(arena);
  const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
  const context = addressOf(retain(allocate(contextSize)));
  // A counter block: block number, and the nonce as three words of which the first stays zero.
  const counter = new Uint32Array(retain(allocate(BLOCK)).buffer);
  const counterAt = addressOf(new Uint8Array(counter.buffer));
  const zeros = addressOf(retain(allocate(64)));
  const polyKey = addressOf(retain(allocate(64)));
  const tail = retain(allocate(2 * BLOCK));
  const tailAt = addressOf(tail);
  const tailView = new DataView(tail.buffer);
  const tag = retain(allocate(BLOCK));
  const tagAt = addressOf(tag);
  const tagView = new DataView(tag.buffer);

  function writeLengths(to: DataView, at: number, length: number): void {
    to.setUint32(at, 0, true);
    to.setUint32(at + 4, 0, true);
    to.setUint32(at + 8, length, true);
    to.setUint32(at + 12, 0, true);
  }

  function sealRow(offset: number, length: number, key: number): void {
    arena.fill(0, offset - HEADROOM, offset);
    const from = base + offset;
    counter[0] = 0;
    chacha20(from - HEADROOM, from - HEADROOM, length + HEADROOM, key, counterAt);
    polyInit(context, from - HEADROOM);
    const padded = (length + BLOCK - 1) & -BLOCK;
    for (let at = length; at < padded; at++) arena[offset + at] = 0;
    writeLengths(view, offset + padded, length);
    polyUpdate(context, from, padded + BLOCK);
    polyFinal(context, from + length);
  }

  /** The tag over the ciphertext at `offset`, into `tag`; the tag behind it is written over meanwhile. */
  function authenticate(offset: number, length: number): void {
    polyInit(context, polyKey);
    const rest = length & (BLOCK - 1);
    if (rest === 0) {
      writeLengths(view, offset + length, length);
      polyUpdate(context, base + offset, length + BLOCK);
    } else {
      tail.fill(0);
      writeLengths(tailView, BLOCK, length);
      polyUpdate(context, base + offset, length);
      polyUpdate(context, tailAt + rest, 2 * BLOCK - rest);
    }
    polyFinal(context, tagAt);
  }

  function openRow(offset: number, length: number, key: number): number {
    counter[0] = 0;
    chacha20(polyKey, zeros, 64, key, counterAt);
    const end = offset + length;
    const t0 = view.getInt32(end, true);
    const t1 = view.getInt32(end + 4, true);
    const t2 = view.getInt32(end + 8, true);
    const t3 = view.getInt32(end + 12, true);
    authenticate(offset, length);
    const unlike =
      (t0 ^ tagView.getInt32(0, true)) |
      (t1 ^ tagView.getInt32(4, true)) |
      (t2 ^ tagView.getInt32(8, true)) |
      (t3 ^ tagView.getInt32(12, true));
    view.setInt32(end, t0, true);
    view.setInt32(end + 4, t1, true);
    view.setInt32(end + 8, t2, true);
    view.setInt32(end + 12, t3, true);
    if (unlike !== 0) return 0;
    counter[0] = 1;
    if (length > 0) chacha20(base + offset, base + offset, length, key, counterAt);
    return 1;
  }

  return {
    seal(batch) {
      for (let row = 0; row < batch.count; row++) {
        const slot = batch.key[row]!;
        const length = batch.length[row]!;
        if (slot === NO_KEY || length < 0) continue;
        counter[2] = batch.counterLo[row]!;
        counter[3] = batch.counterHi[row]!;
        sealRow(batch.offset[row]!, length, keys.address(slot));
      }
    },
    open(batch) {
      for (let row = 0; row < batch.count; row++) {
        const slot = batch.key[row]!;
        const length = batch.length[row]!;
        if (slot === NO_KEY || length < 0) continue;
        counter[2] = batch.counterLo[row]!;
        counter[3] = batch.counterHi[row]!;
        batch.verdict[row] = openRow(batch.offset[row]!, length, keys.address(slot));
      }
    },
  };
}

/** Memory that only native code knows of must not be collected. */
const retained: Uint8Array[] = [];
function retain(memory: Uint8Array): Uint8Array {
  retained.push(memory);
  return memory;
}
