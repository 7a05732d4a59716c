/**
 * The Internet checksum (RFC 1071) over the packet arena, which is this module's memory; and the XOR of
 * two parts of it.
 *
 * AssemblyScript, not TypeScript: `npm run build` compiles it to dist/src/offload/checksum.wasm. The
 * readable reference is `PlainArena` in src/offload/arena.ts; the tests hold the two equal.
 *
 * Words are added as the machine reads them, low byte first: a one's complement sum is the same
 * in either byte order but for one swap at the end (RFC 1071, section 2, B). A lane takes at most
 * 2 * 65535 a step, so that it cannot overflow below 32,768 steps: 1 MiB, more than a packet.
 */

/** Folds a sum of low-byte-first words to 16 bits, swaps it to network order, and adds `initial`. */
function finish(lanes: v128, rest: u64, initial: u32): u32 {
  let total = rest;
  total += <u64>v128.extract_lane<u32>(lanes, 0);
  total += <u64>v128.extract_lane<u32>(lanes, 1);
  total += <u64>v128.extract_lane<u32>(lanes, 2);
  total += <u64>v128.extract_lane<u32>(lanes, 3);
  // 4 lanes below 2^32 and a few words: below 2^35. Three folds leave 16 bits.
  total = (total & 0xffff) + (total >> 16);
  total = (total & 0xffff) + (total >> 16);
  total = (total & 0xffff) + (total >> 16);
  const low = <u32>total;
  let sum = ((low & 0xff) << 8) + (low >> 8) + (initial & 0xffff) + (initial >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/**
 * @param at first byte
 * @param length bytes, at most 65,535; an odd one at the end counts as the high byte of a word
 * @param initial added to the sum: any unsigned 32 bits
 * @returns the sum folded to 16 bits, not complemented
 */
export function sum(at: usize, length: usize, initial: u32): u32 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  const end = at + length;
  while (at + 64 <= end) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
    at += 64;
  }
  while (at + 16 <= end) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    at += 16;
  }
  let rest: u64 = 0;
  if (at + 8 <= end) {
    rest = <u64>load<u32>(at) + <u64>load<u32>(at, 4);
    at += 8;
  }
  if (at + 4 <= end) {
    rest += <u64>load<u32>(at);
    at += 4;
  }
  if (at + 2 <= end) {
    rest += <u64>load<u16>(at);
    at += 2;
  }
  if (at < end) rest += <u64>load<u8>(at);
  return finish(i32x4.add(a, b), rest, initial);
}

/**
 * Copies while it adds: `length` bytes from `from` to `to`, places that do not overlap.
 * Parameters and result as in {@link sum}.
 */
export function copySum(to: usize, from: usize, length: usize, initial: u32): u32 {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  const end = from + length;
  while (from + 32 <= end) {
    const first = v128.load(from);
    const second = v128.load(from, 16);
    v128.store(to, first);
    v128.store(to, second, 16);
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(first));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(second));
    from += 32;
    to += 32;
  }
  if (from + 16 <= end) {
    const block = v128.load(from);
    v128.store(to, block);
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(block));
    from += 16;
    to += 16;
  }
  let rest: u64 = 0;
  if (from + 8 <= end) {
    const low = load<u32>(from);
    const high = load<u32>(from, 4);
    store<u32>(to, low);
    store<u32>(to, high, 4);
    rest = <u64>low + <u64>high;
    from += 8;
    to += 8;
  }
  if (from + 4 <= end) {
    const word = load<u32>(from);
    store<u32>(to, word);
    rest += <u64>word;
    from += 4;
    to += 4;
  }
  if (from + 2 <= end) {
    const word = load<u16>(from);
    store<u16>(to, word);
    rest += <u64>word;
    from += 2;
    to += 2;
  }
  if (from < end) {
    const byte = load<u8>(from);
    store<u8>(to, byte);
    rest += <u64>byte;
  }
  return finish(i32x4.add(a, b), rest, initial);
}

/** XORs `length` bytes at `from` into those at `to`. The places do not overlap. */
export function xor(to: usize, from: usize, length: usize): void {
  const end = to + length;
  while (to + 64 <= end) {
    v128.store(to, v128.xor(v128.load(to), v128.load(from)));
    v128.store(to, v128.xor(v128.load(to, 16), v128.load(from, 16)), 16);
    v128.store(to, v128.xor(v128.load(to, 32), v128.load(from, 32)), 32);
    v128.store(to, v128.xor(v128.load(to, 48), v128.load(from, 48)), 48);
    to += 64;
    from += 64;
  }
  while (to + 16 <= end) {
    v128.store(to, v128.xor(v128.load(to), v128.load(from)));
    to += 16;
    from += 16;
  }
  while (to + 4 <= end) {
    store<u32>(to, load<u32>(to) ^ load<u32>(from));
    to += 4;
    from += 4;
  }
  while (to < end) {
    store<u8>(to, load<u8>(to) ^ load<u8>(from));
    to += 1;
    from += 1;
  }
}
