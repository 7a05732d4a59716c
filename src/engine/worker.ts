/** Entry of the data worker: its cipher is one of `src/crypto`, and nothing can be put in its place. */
import { createCrypto } from '../crypto/index.js';
import { serve } from './serve.js';

serve((arena, { aead }, keystream) => createCrypto(arena, aead, keystream));
