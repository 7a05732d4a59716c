/**
 * Entry of a data worker whose transport cipher does nothing: the data path's own ceiling. Handshakes are real.
 * It is part of the bench and not of the package, and nothing of the product can start it.
 */
import { type BatchCipher, GONE, type PacketBatch } from '../src/core/batch.js';
import { NO_KEY } from '../src/core/suite.js';
import { createCrypto } from '../src/crypto/index.js';
import { serve } from '../src/engine/serve.js';

const NOTHING: BatchCipher = {
  seal() {},
  open(batch: PacketBatch) {
    for (let row = 0; row < batch.count; row++) {
      if (batch.key[row] !== NO_KEY && batch.length[row] !== GONE) batch.verdict[row] = 1;
    }
  },
};

serve((arena, { aead }) => ({ ...createCrypto(arena, aead), cipher: NOTHING }));
