/** BLAKE2s by OpenSSL held equal to noble's, and both to the RFC. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashes } from '../../src/crypto/hashes.js';
import { createNativeHashes } from '../../src/crypto/native-hashes.js';
import { findOpenSsl } from '../../src/crypto/openssl.js';
import { randomBytes, seeded } from '../core/values.js';

const native = createNativeHashes(findOpenSsl()!.library)!;
const random = seeded(77);
const fill = randomBytes(random);

function bytes(length: number): Uint8Array {
  const out = new Uint8Array(length);
  fill(out);
  return out;
}

describe('hashes', () => {
  it('RFC 7693, appendix B: BLAKE2s-256 of "abc"', () => {
    const expected = '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982';
    for (const suite of [hashes, native]) {
      const out = new Uint8Array(32);
      suite.hash(out, Uint8Array.of(97), Uint8Array.of(98, 99));
      assert.equal(Buffer.from(out).toString('hex'), expected);
    }
  });

  it('hash and HMAC are the same for every length, in place too', () => {
    const [one, other] = [new Uint8Array(32), new Uint8Array(32)];
    for (let length = 0; length <= 400; length++) {
      const a = bytes(length % 67);
      const b = bytes(length);
      const key = bytes(length % 65);
      hashes.hash(one, a, b);
      native.hash(other, a, b);
      assert.deepEqual(other, one);
      hashes.hmac(one, key, a, b);
      native.hmac(other, key, a, b);
      assert.deepEqual(other, one);
      hashes.hmac(one, one, a);
      native.hmac(other, other, a);
      assert.deepEqual(other, one, 'the key is where the result goes');
      hashes.hash(one, one, one);
      native.hash(other, other, other);
      assert.deepEqual(other, one);
    }
  });

  it('macs are the same for keys and messages of every length, again and again', () => {
    const [one, other] = [new Uint8Array(16), new Uint8Array(16)];
    for (let size = 1; size <= 32; size++) {
      const key = bytes(size);
      const theirs = hashes.createMac(key);
      const ours = native.createMac(key);
      key.fill(0);
      for (let length = 0; length < 200; length += 7) {
        const data = bytes(length);
        if (length > 0 && length % 3 === 0) data[0] = 1 + (length % 2);
        theirs.compute(data, one);
        ours.compute(data, other);
        assert.deepEqual(other, one);
        // A key that is used once, whatever the one before was; it may be written over.
        for (const [back, out] of [
          [hashes, one],
          [native, other],
        ] as const) {
          out.fill(length);
          back.mac(out, out, data);
        }
        assert.deepEqual(other, one);
      }
      theirs.destroy();
      ours.destroy();
      ours.destroy();
      assert.throws(() => ours.compute(bytes(3), other), /destroyed/);
    }
  });

  it('refuses what it has no room for', () => {
    assert.throws(() => native.hash(new Uint8Array(32), new Uint8Array(0), new Uint8Array(4096)), RangeError);
    assert.throws(() => native.hmac(new Uint8Array(32), new Uint8Array(65), new Uint8Array(1)), RangeError);
  });
});
