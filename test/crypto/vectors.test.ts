/** Published vectors, on every back end: RFC 8439, RFC 7748, RFC 7693, the XChaCha draft; HMAC by Python's hmac. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bindParts } from '../../src/crypto/check.js';
import { compose } from '../../src/crypto/composed.js';
import { NativeKeys } from '../../src/crypto/keys.js';
import { findOpenSsl } from '../../src/crypto/openssl.js';
import { allocate } from '../../src/linux/ffi.js';
import { hex, makeParty, missing, PARTY_NAMES, pattern, toHex } from './helpers.js';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const sequence = (length: number, first?: number): Uint8Array => {
  const bytes = Uint8Array.from({ length }, (_, i) => i);
  if (first !== undefined && length > 0) bytes[0] = first;
  return bytes;
};

/** draft-irtf-cfrg-xchacha-03, appendix A.3.1. */
const XCHACHA = {
  key: hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
  nonce: hex('404142434445464748494a4b4c4d4e4f5051525354555657'),
  ad: hex('50515253c0c1c2c3c4c5c6c7'),
  text: utf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  ),
  sealed: hex(
    `bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb
     731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452
     2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
     21f9664c97637da9768812f615c68b13b52e
     c0875924c1c7987947deafd8780acf49`,
  ),
};

/** RFC 7748, sections 5.2 and 6.1: scalar, u-coordinate, result. */
const X25519: readonly (readonly [string, string, string])[] = [
  [
    'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  ],
  [
    '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
    'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
    '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
  ],
  [
    '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
    '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
    '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
  ],
];

for (const name of PARTY_NAMES) {
  describe(name, { skip: missing(name) }, () => {
    const { suite } = makeParty(name, 4096);

    test('xseal and xopen give the XChaCha draft A.3.1', () => {
      const sealed = new Uint8Array(XCHACHA.sealed.length);
      suite.xseal(sealed, XCHACHA.key, XCHACHA.nonce, XCHACHA.text, XCHACHA.ad);
      assert.equal(toHex(sealed), toHex(XCHACHA.sealed));
      const opened = new Uint8Array(XCHACHA.text.length);
      assert.equal(suite.xopen(opened, XCHACHA.key, XCHACHA.nonce, sealed, XCHACHA.ad), true);
      assert.deepEqual(opened, XCHACHA.text);
      sealed[3]! ^= 4;
      assert.equal(suite.xopen(opened, XCHACHA.key, XCHACHA.nonce, sealed, XCHACHA.ad), false);
      assert.deepEqual(opened, new Uint8Array(opened.length));
    });

    test('open refuses what is shorter than a tag, and a changed text, tag or associated data', () => {
      const key = pattern(32);
      const ad = pattern(32, 2);
      const sealed = new Uint8Array(48);
      suite.seal(sealed, key, pattern(32, 3), ad);
      const out = new Uint8Array(32).fill(1);
      assert.equal(suite.open(out, key, sealed, ad), true);
      assert.deepEqual(out, pattern(32, 3));
      assert.equal(suite.open(out, key, sealed.subarray(0, 15), ad), false);
      assert.equal(suite.open(new Uint8Array(0), key, sealed.subarray(0, 16), ad), false);
      for (const [bytes, at] of [
        [sealed, 0],
        [sealed, 47],
        [ad, 31],
        [key, 0],
      ] as const) {
        bytes[at]! ^= 0x40;
        assert.equal(suite.open(out.fill(1), key, sealed, ad), false);
        assert.deepEqual(out, new Uint8Array(32), 'zeroed');
        bytes[at]! ^= 0x40;
      }
      assert.equal(suite.open(out, key, sealed, ad), true);
    });

    test('dh gives RFC 7748', () => {
      for (const [scalar, point, expected] of X25519) {
        const out = new Uint8Array(32);
        assert.equal(suite.importPrivateKey(hex(scalar)).dh(hex(point), out), true);
        assert.equal(toHex(out), expected);
      }
    });

    test('dh iterates as RFC 7748 5.2', { timeout: 60_000 }, () => {
      let k: Uint8Array = hex('09'.padEnd(64, '0'));
      let u = k;
      for (let i = 0; i < (name === 'noble' ? 1 : 1000); i++) {
        const out = new Uint8Array(32);
        const key = suite.importPrivateKey(k);
        assert.equal(key.dh(u, out), true);
        key.destroy();
        u = k;
        k = out;
      }
      const once = '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079';
      const often = '684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51';
      assert.equal(toHex(k), name === 'noble' ? once : often);
    });

    test('importPrivateKey gives the public keys of RFC 7748 6.1', () => {
      const bob = hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
      const expected = 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f';
      assert.equal(toHex(suite.importPrivateKey(bob).publicKey), expected);
    });

    test('hash gives RFC 7693 appendix B', () => {
      const out = new Uint8Array(32);
      suite.hash(out, utf8('a'), utf8('bc'));
      assert.equal(toHex(out), '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982');
      suite.hash(out, sequence(200).subarray(0, 64), sequence(200).subarray(64));
      assert.equal(toHex(out), '6d244e1a06ce4ef578dd0f63aff0936706735119ca9c8d22d86c801414ab9741');
    });

    test('hash may write over its input', () => {
      const bytes = new Uint8Array(32);
      const apart = new Uint8Array(32);
      suite.hash(apart, bytes, utf8('x'));
      suite.hash(bytes, bytes, utf8('x'));
      assert.deepEqual(bytes, apart);
    });

    /** By Python's hmac and hashlib.blake2s: bytes of the key, of the message, HMAC. */
    test('hmac gives known values', () => {
      const out = new Uint8Array(32);
      const known: readonly (readonly [Uint8Array, Uint8Array, string])[] = [
        [sequence(32), sequence(0), 'e2641d24dfa8dd89e8cb77f1cdc77d8c006e5bebdfc4d6a3a3a6f8d5b7586fb0'],
        [sequence(32), sequence(32), '8d2cc42fc1055ea43277dfd5d35d3863b228f9cc0c02007dc2afb20907bd7312'],
        [sequence(64), sequence(100), '647576eb06d7546ce6db9b3c0c1509a64cc7fae9cb732ee3845e7b486ad26edc'],
        [sequence(0), sequence(1), '2c463acb9ef603333b173321a3ff0d7f7a562d569db0efb9a5cad61f6e0792cf'],
        [
          utf8('Jefe'),
          utf8('what do ya want for nothing?'),
          '90b6281e2f3038c9056af0b4a7e763cae6fe5d9eb4386a0ec95237890c104ff0',
        ],
      ];
      for (const [key, message, expected] of known) {
        suite.hmac(out, key, message);
        assert.equal(toHex(out), expected);
        const cut = Math.floor(message.length / 3);
        suite.hmac(out, key, message.subarray(0, cut), message.subarray(cut));
        assert.equal(toHex(out), expected, 'in two parts');
      }
      const key = sequence(32);
      suite.hmac(key, key, key);
      assert.equal(toHex(key), known[1]![2], 'over its own key and message');
    });

    /** By Python's hashlib.blake2s(key=, digest_size=16): bytes of the key and the message, its first byte, MAC. */
    test('createMac gives keyed BLAKE2s-128, again and again', () => {
      const known: readonly (readonly [number, number, number | undefined, string])[] = [
        [32, 0, undefined, '9536f9b267655743dee97b8a670f9f53'],
        [32, 1, 1, '09592f9cc501fa68e20d2d4c6eddb4d6'],
        [32, 64, undefined, 'f1efa90d2547036841ecd3627fafbc36'],
        [32, 64, 2, 'b1bc51fd5b5ae319574194b75504e2b7'],
        [32, 65, 1, '2f4e19b3d63ff2e92c205ae064530497'],
        [32, 116, 1, '91928bbf72b7377e15bdee838273ad9a'],
        [32, 132, 2, '191cfdacb16875d0721b9d1e27faeea7'],
        [16, 18, undefined, '9d00d53d9760fba6fa0d204be6622e85'],
        [16, 18, 1, '74edce6925834280997fa3420920c49e'],
      ];
      const out = new Uint8Array(16);
      const macs = new Map([32, 16].map((length) => [length, suite.createMac(sequence(length))]));
      for (let round = 0; round < 2; round++) {
        for (const [key, length, first, expected] of known) {
          macs.get(key)!.compute(sequence(length, first), out);
          assert.equal(toHex(out), expected);
          suite.mac(out, sequence(key), sequence(length, first));
          assert.equal(toHex(out), expected, 'with a key that is used once');
        }
      }
    });

    test('random fills everything, each time anew', () => {
      const a = new Uint8Array(70_000);
      const b = new Uint8Array(70_000);
      suite.random(a);
      suite.random(b);
      assert.notDeepEqual(a, b);
      assert.ok(a.subarray(-64).some((byte) => byte !== 0));
    });
  });
}

/** RFC 8439, appendix A.5: the only AEAD vector whose nonce begins with four zero bytes, as ours do. */
for (const [name, backend, place] of [
  ['primitives', 'primitives', 'node'],
  ['evp in node', 'evp', 'node'],
  ['evp in libcrypto.so.3', 'evp', 'system'],
] as const)
  test(`${name} give RFC 8439 A.5`, { skip: missing(name) }, () => {
    const aead = compose(bindParts(backend, findOpenSsl(place)!), allocate(64), new NativeKeys());
    const key = hex('1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0');
    const ad = hex('f33388860000000000004e91');
    const text = utf8(
      'Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or ' +
        'obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference material ' +
        'or to cite them other than as /\u201cwork in progress./\u201d',
    );
    const sealed = new Uint8Array(text.length + 16);
    aead.seal(sealed, key, 0x04030201, 0x08070605, text, ad);
    assert.equal(toHex(sealed.subarray(0, 16)), '64a0861575861af460f062c79be643bd');
    assert.equal(toHex(sealed.subarray(-16)), 'eead9d67890cbb22392336fea1851f38');
    const opened = new Uint8Array(text.length);
    assert.equal(aead.open(opened, key, 0x04030201, 0x08070605, sealed, ad), true);
    assert.deepEqual(opened, text);
    aead.close();
  });
