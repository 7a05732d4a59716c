/**
 * ChaCha20-Poly1305 through OpenSSL's public API (EVP_EncryptInit(3)). One context for each direction.
 *
 * EVP decrypts before it verifies: when the tag does not fit, what it wrote is wiped.
 */
import type { BatchCipher, PacketBatch } from '../core/batch.js';
import { NO_KEY } from '../core/suite.js';
import { type Library, addressOf, allocate } from '../linux/ffi.js';
import type { NativeKeys } from './openssl.js';

const TAG_SIZE = 16;
const CTRL_AEAD_GET_TAG = 0x10;
const CTRL_AEAD_SET_TAG = 0x11;

export function createEvpCipher(library: Library, arena: Uint8Array, keys: NativeKeys): BatchCipher {
  const newContext = library.func('EVP_CIPHER_CTX_new', 'pointer', []);
  const chacha20poly1305 = library.func('EVP_chacha20_poly1305', 'pointer', []);
  const init = library.func('EVP_CipherInit_ex', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'pointer', 'int']);
  const update = library.func('EVP_CipherUpdate', 'int', ['pointer', 'pointer', 'pointer', 'pointer', 'int']);
  const final = library.func('EVP_CipherFinal_ex', 'int', ['pointer', 'pointer', 'pointer']);
  const control = library.func('EVP_CIPHER_CTX_ctrl', 'int', ['pointer', 'int', 'int', 'pointer']);
  const base = addressOf(arena);
  const scratch = allocate(64);
  const nonceView = new DataView(scratch.buffer, 0, 12);
  const nonceAt = addressOf(scratch);
  const lengthAt = nonceAt + 16;
  const spareAt = nonceAt + 32;
  const context = newContext();
  if (context === 0 || init(context, chacha20poly1305(), 0, 0, 0, 1) !== 1) {
    throw new Error('OpenSSL has no ChaCha20-Poly1305');
  }

  const begin = (batch: PacketBatch, row: number, encrypt: number): void => {
    nonceView.setUint32(4, batch.counterLo[row]!, true);
    nonceView.setUint32(8, batch.counterHi[row]!, true);
    init(context, 0, 0, keys.address(batch.key[row]!), nonceAt, encrypt);
  };

  return {
    seal(batch) {
      for (let row = 0; row < batch.count; row++) {
        const length = batch.length[row]!;
        if (batch.key[row] === NO_KEY || length < 0) continue;
        const at = base + batch.offset[row]!;
        begin(batch, row, 1);
        if (length > 0) update(context, at, lengthAt, at, length);
        final(context, spareAt, lengthAt);
        control(context, CTRL_AEAD_GET_TAG, TAG_SIZE, at + length);
      }
    },
    open(batch) {
      for (let row = 0; row < batch.count; row++) {
        const length = batch.length[row]!;
        if (batch.key[row] === NO_KEY || length < 0) continue;
        const offset = batch.offset[row]!;
        begin(batch, row, 0);
        control(context, CTRL_AEAD_SET_TAG, TAG_SIZE, base + offset + length);
        if (length > 0) update(context, base + offset, lengthAt, base + offset, length);
        const fits = final(context, spareAt, lengthAt) === 1;
        batch.verdict[row] = fits ? 1 : 0;
        if (!fits) arena.fill(0, offset, offset + length);
      }
    },
  };
}
