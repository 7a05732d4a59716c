const POOL_SIZE = 1536;

/**
 * Draws what is random but no secret (indices, seeds, jitter, nonces) from a pool: a timer is armed with every answer
 * of a conversation, and asking the system each time costs more than its packet.
 * @returns fills arrays, each much shorter than the pool
 */
export function pooled(random: (out: Uint8Array) => void): (out: Uint8Array) => void {
  const pool = new Uint8Array(POOL_SIZE);
  let used = POOL_SIZE;
  return (out) => {
    if (used + out.length > POOL_SIZE) {
      random(pool);
      used = 0;
    }
    for (let i = 0; i < out.length; i++) out[i] = pool[used++]!;
  };
}
