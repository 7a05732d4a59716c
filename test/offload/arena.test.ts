import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fold } from '../../src/offload/arena.js';
import { arenas, SIZE } from './arenas.js';
import { Random } from './generate.js';
import { onesSum } from './reference.js';

for (const [name, { bytes, view, sum, copySum }] of arenas()) {
  describe(`arena with ${name}`, () => {
    it('is one fixed memory', () => {
      assert.equal(bytes.length, SIZE);
      view.setUint16(77, 0x1234);
      assert.deepEqual(bytes.slice(77, 79), Uint8Array.of(0x12, 0x34));
    });

    it('sums as RFC 1071 does in its example', () => {
      bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 5);
      assert.equal(sum(5, 8, 0), 0xddf2);
      assert.equal(sum(5, 0, 0), 0);
      assert.equal(sum(5, 0, 0xffffffff), 0xffff);
      assert.equal(sum(6, 1, 0), 0x0100);
    });

    it('sums and copies like the reference, all lengths at all alignments', () => {
      const random = new Random(1);
      bytes.set(random.bytes(70_000), 0);
      const lengths = [...Array(300).keys(), 1399, 1400, 1459, 4095, 65_534, 65_535];
      for (const length of lengths) {
        const at = random.below(64);
        const to = 100_000 + random.below(64);
        const initial = random.below(2 ** 32);
        const data = bytes.slice(at, at + length);
        const expected = onesSum([
          initial >>> 24,
          (initial >>> 16) & 255,
          (initial >>> 8) & 255,
          initial & 255,
          ...data,
        ]);
        assert.equal(sum(at, length, initial), expected, `${length} bytes`);
        bytes.fill(0x5a, to - 1, to + length + 1);
        assert.equal(copySum(to, at, length, initial), expected, `${length} bytes, copied`);
        assert.deepEqual(bytes.slice(to - 1, to + length + 1), Uint8Array.of(0x5a, ...data, 0x5a));
      }
      bytes.fill(0xff, 0, 65_535);
      assert.equal(sum(0, 65_534, 0xffffffff), 0xffff);
    });
  });
}

describe('fold', () => {
  it('adds the carries until none is left', () => {
    assert.deepEqual([0, 0xffff, 0x10000, 0xffffffff, 0x1fffe].map(fold), [0, 0xffff, 1, 0xffff, 0xffff]);
  });
});
