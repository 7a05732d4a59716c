/** Points that must be refused, keys that must be gone, memory that must not grow. */
import assert from 'node:assert/strict';
import { PerformanceObserver } from 'node:perf_hooks';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NativeKeys } from '../../src/crypto/keys.js';
import { findOpenSsl } from '../../src/crypto/openssl.js';
import { addressOf } from '../../src/linux/ffi.js';
import { hex, makeBatch, makeParty, missing, PARTY_NAMES, pattern } from './helpers.js';

/** Large enough for malloc to give it a mapping of its own, as it does with the data path's. */
const ARENA: number = 1 << 25;

/** https://cr.yp.to/ecdh.html#validate: the points of small order, and what reduces to them. */
const LOW_ORDER: readonly string[] = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
];

for (const name of PARTY_NAMES) {
  describe(name, { skip: missing(name) }, () => {
    const { suite } = makeParty(name, 4096);

    test('dh refuses the seven low-order points without throwing, also with the top bit set', () => {
      const key = suite.importPrivateKey(pattern(32));
      for (const text of LOW_ORDER) {
        for (const topBit of [0, 0x80]) {
          const point = hex(text);
          point[31]! |= topBit;
          const out = new Uint8Array(32).fill(0xaa);
          assert.equal(key.dh(point, out), false, text);
          assert.deepEqual(out, new Uint8Array(32));
        }
      }
      const base = hex('09'.padEnd(64, '0'));
      const out = new Uint8Array(32);
      assert.equal(key.dh(base, out), true, 'and goes on working');
      assert.deepEqual(out, key.publicKey);
    });

    test('dh agrees from both sides, and importPrivateKey leaves its argument alone', () => {
      const [a, b] = [pattern(32, 5), pattern(32, 6)];
      const [alice, bob] = [suite.importPrivateKey(a), suite.importPrivateKey(b)];
      a.fill(0);
      b.fill(0);
      const [one, two] = [new Uint8Array(32), new Uint8Array(32)];
      assert.ok(alice.dh(bob.publicKey, one) && bob.dh(alice.publicKey, two));
      assert.deepEqual(one, two);
    });

    test('destroy may be called twice, and ends the use of a key', () => {
      const key = suite.importPrivateKey(pattern(32));
      key.destroy();
      key.destroy();
      if (name !== 'noble') assert.throws(() => key.dh(pattern(32), new Uint8Array(32)), /destroyed/);
      const mac = suite.createMac(pattern(32));
      mac.destroy();
      assert.throws(() => mac.compute(pattern(32), new Uint8Array(16)));
    });
  });
}

test('NativeKeys wipes a removed key in its own memory', () => {
  const keys = new NativeKeys();
  const slots = [keys.install(pattern(32, 1)), keys.install(pattern(32, 2)), keys.install(pattern(32, 3))];
  const memory = slots.map((slot) => keys.bytes(slot));
  assert.deepEqual(Uint8Array.from(memory[1]!), pattern(32, 2));
  assert.equal(keys.address(slots[1]!), addressOf(memory[1]!));
  keys.remove(slots[1]!);
  assert.deepEqual(Uint8Array.from(memory[1]!), new Uint8Array(32));
  assert.deepEqual(Uint8Array.from(memory[2]!), pattern(32, 3));
  keys.clear();
  assert.deepEqual(Uint8Array.from(memory[2]!), new Uint8Array(32));
  assert.throws(() => keys.install(new Uint8Array(31)), RangeError);
});

test('20,000 handshakes of Diffie-Hellman do not let memory grow', { skip: !findOpenSsl(), timeout: 120_000 }, () => {
  const { suite } = makeParty(missing('evp in node') === false ? 'evp in node' : 'evp in libcrypto.so.3', 4096);
  const identity = suite.importPrivateKey(pattern(32, 1));
  const lowOrder = hex(LOW_ORDER[2]!);
  const out = new Uint8Array(32);
  const handshakes = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const ephemeral = suite.importPrivateKey(pattern(32, i));
      assert.ok(ephemeral.dh(identity.publicKey, out));
      assert.ok(identity.dh(ephemeral.publicKey, out));
      if (i % 10 === 0) assert.equal(identity.dh(lowOrder, out), false);
      ephemeral.destroy();
    }
  };
  handshakes(3000);
  const before = process.memoryUsage().rss;
  handshakes(20_000);
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 12 * 2 ** 20, `grown by ${grown} bytes`);
});

for (const name of PARTY_NAMES.filter((party) => party !== 'noble')) {
  const skip = missing(name) || (process.arch !== 'x64' && 'addresses are not small integers here');
  test(`${name}: sealing and opening allocates nothing per packet`, { skip }, async () => {
    const { arena, cipher, suite } = makeParty(name, ARENA);
    assert.ok(addressOf(arena) < 2 ** 31, 'in the first 2 GiB');
    const key = suite.installKey(pattern(32));
    const rows = Array.from({ length: 32 }, (_, i) => ({ offset: 128 + i * 512, length: i * 10, key, counter: 1n }));
    const batch = makeBatch(rows);
    const run = (packets: number): void => {
      for (let i = 0; i < packets; i += 32) {
        cipher.seal(batch);
        cipher.open(batch);
      }
    };
    run(60_000);
    assert.equal(batch.verdict[31], 1);
    assert.equal(arena.length, ARENA);
    let collections = 0;
    const observer = new PerformanceObserver((list) => {
      collections += list.getEntries().length;
    });
    observer.observe({ entryTypes: ['gc'] });
    await delay(20);
    collections = 0;
    // One number on the heap for each would be 13 MB: many young generations.
    run(400_000);
    await delay(50);
    observer.disconnect();
    assert.ok(collections <= 1, `${collections} collections`);
  });
}
