import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HashTable } from '../../src/core/hash-table.js';
import { IndexTable } from '../../src/core/index-table.js';
import { RateLimiter } from '../../src/core/rate-limiter.js';
import { address, randomBytes, seeded } from './values.js';

describe('IndexTable', () => {
  it('agrees with a Map while it grows and shrinks, with indices that collide', () => {
    const random = seeded(7);
    // Few distinct low bits and few bits at all: long probe sequences, and collisions to retry.
    const table = new IndexTable((out) => {
      out.fill(0);
      out[0] = Math.floor(random() * 4);
      out[1] = Math.floor(random() * 256);
      out[3] = Math.floor(random() * 2) * 255;
    });
    const reference = new Map<number, number>();
    for (let step = 0; step < 20_000; step++) {
      const known = [...reference.keys()];
      const some = known[Math.floor(random() * known.length)];
      const action = random();
      if (some === undefined || (action < (step % 4000 < 2000 ? 0.6 : 0.2) && reference.size < 1000)) {
        const index = table.allocate(step);
        assert.ok(!reference.has(index), 'an index in use is not given out');
        assert.ok(index >= 0 && index < 2 ** 32);
        reference.set(index, step);
      } else if (action < 0.7) {
        table.replace(some, step);
        reference.set(some, step);
      } else {
        table.free(some);
        reference.delete(some);
        assert.equal(table.lookup(some), -1);
      }
      assert.equal(table.size, reference.size);
      if (step % 500 === 0) for (const [index, value] of reference) assert.equal(table.lookup(index), value);
      if (some !== undefined) assert.equal(table.lookup(some), reference.get(some) ?? -1);
    }
  });

  it('an index that is not there: look-up says so, replace and free do nothing', () => {
    const table = new IndexTable(randomBytes(seeded(1)));
    const index = table.allocate(5);
    const other = (index ^ 64) >>> 0;
    assert.equal(table.lookup(other), -1);
    table.replace(other, 6);
    table.free(other);
    assert.deepEqual([table.lookup(other), table.lookup(index), table.size], [-1, 5, 1]);
  });

  it('0 and 2^32 - 1 are indices as any', () => {
    const draws = [0, 0, 255];
    const table = new IndexTable((out) => out.fill(draws.shift()!));
    assert.equal(table.allocate(1), 0);
    assert.equal(table.allocate(2), 2 ** 32 - 1, 'retried after a collision');
    assert.deepEqual([table.lookup(0), table.lookup(2 ** 32 - 1)], [1, 2]);
  });
});

describe('HashTable', () => {
  for (const words of [1, 2, 5, 8]) {
    it(`agrees with a Map while it grows and shrinks, keys of ${words} words`, () => {
      const random = seeded(11 + words);
      const table = new HashTable(words, 2, randomBytes(random));
      const reference = new Map<string, number>();
      const choose = (): string => {
        // Keys that differ in a few bits only, the key of zeros among them.
        for (let i = 0; i < words; i++)
          table.key[i] = i < words - 1 && random() < 0.9 ? 0 : Math.floor(random() * 900) - 9;
        return table.key.join();
      };
      for (let step = 0; step < 60_000; step++) {
        const text = choose();
        assert.equal(table.find(), reference.get(text) ?? -1);
        if (random() < (step % 20_000 < 10_000 ? 0.8 : 0.3)) {
          table.set(step, step + 1);
          reference.set(text, step);
          assert.deepEqual([table.find(), table.find(1)], [step, step + 1]);
        } else {
          table.remove();
          reference.delete(text);
          assert.deepEqual([table.find(), table.find(1)], [-1, -1]);
        }
        assert.equal(table.size, reference.size);
        if (step % 5000 !== 0) continue;
        for (const [known, value] of reference) {
          table.key.set(known.split(',').map(Number));
          assert.equal(table.find(), value);
        }
      }
    });
  }

  it('gives memory back', () => {
    const table = new HashTable(1, 1, randomBytes(seeded(1)));
    assert.equal(table.memoryBytes, 0);
    for (let i = 0; i < 100_000; i++) {
      table.key[0] = i;
      table.set(i);
    }
    const full = table.memoryBytes;
    assert.ok(full < 100_000 * 8 * 4, `${full}`);
    for (let i = 0; i < 99_000; i++) {
      table.key[0] = i;
      table.remove();
    }
    assert.ok(table.memoryBytes < full / 8, `${table.memoryBytes} of ${full}`);
    for (let i = 99_000; i < 100_000; i++) {
      table.key[0] = i;
      assert.equal(table.find(), i);
      table.remove();
    }
    assert.equal(table.memoryBytes, 0);
  });
});

describe('RateLimiter', () => {
  const limiter = (): RateLimiter => new RateLimiter(randomBytes(seeded(3)));
  const one = address('192.0.2.1');

  it('5 at once, then 20 a second', () => {
    const table = limiter();
    const at = (now: number): boolean => table.allow(one, 0, 4, now);
    assert.deepEqual([0, 0, 0, 0, 0, 0, 0].map(at), [true, true, true, true, true, false, false]);
    assert.deepEqual([49, 50, 50, 99, 100].map(at), [false, true, false, false, true]);
    let allowed = 0;
    for (let now = 101; now <= 10_100; now++) if (at(now)) allowed++;
    assert.equal(allowed, 200);
    assert.deepEqual([20_000, 20_000, 20_000, 20_000, 20_000, 20_000].map(at), [true, true, true, true, true, false]);
  });

  it('never more than the bucket allows, whatever the times', () => {
    const random = seeded(5);
    for (let run = 0; run < 50; run++) {
      const table = limiter();
      const times: number[] = [];
      let now = 1000;
      for (let i = 0; i < 400; i++) {
        now += Math.floor(random() * (run * 4 + 2));
        if (table.allow(one, 0, 4, now)) times.push(now);
      }
      // Any stretch of time holds at most the burst and what flowed in meanwhile.
      for (let from = 0; from < times.length; from++) {
        for (let to = from; to < times.length; to++) {
          assert.ok(to - from + 1 <= 5 + (times[to]! - times[from]!) / 50 + 1e-9);
        }
      }
    }
  });

  it('an IPv4 source is a /32, an IPv6 source a /64, and the families are apart', () => {
    const table = limiter();
    const drain = (bytes: Uint8Array, family: 4 | 6): boolean[] =>
      Array.from({ length: 6 }, () => table.allow(bytes, 0, family, 1000));
    assert.deepEqual(drain(one, 4), [true, true, true, true, true, false]);
    assert.equal(drain(address('192.0.2.2'), 4)[0], true);
    assert.deepEqual(drain(address('2001:db8::1'), 6), [true, true, true, true, true, false]);
    assert.equal(drain(address('2001:db8::ffff:0:0:2'), 6)[0], false, 'the same /64');
    assert.equal(drain(address('2001:db8:0:1::1'), 6)[0], true);
    assert.equal(drain(address('c000:201::'), 6)[0], true, 'the bytes of 192.0.2.1');
  });

  it('reads the address where it lies', () => {
    const table = limiter();
    const bytes = new Uint8Array(12);
    bytes.set(one, 7);
    for (let i = 0; i < 5; i++) assert.ok(table.allow(bytes, 7, 4, 1));
    assert.ok(!table.allow(one, 0, 4, 1));
    assert.ok(table.allow(bytes, 0, 4, 1));
  });

  it('holds nearly 65,536 live sources and never more; they make place as they idle', () => {
    const table = limiter();
    const bytes = new Uint8Array(4);
    const view = new DataView(bytes.buffer);
    const admitted = (from: number, now: number): number => {
      let count = 0;
      for (let i = 0; i < 100_000; i++) {
        view.setUint32(0, from + i);
        if (table.allow(bytes, 0, 4, now)) count++;
      }
      return count;
    };
    const first = admitted(0x0a000000, 0);
    assert.ok(first > 60_000 && first <= 65_536, `${first}`);
    const more = first + admitted(0x0b000000, 10);
    assert.ok(more <= 65_536, `${more}`);
    const later = admitted(0x0c000000, 1010);
    assert.ok(later > 60_000, `${later}`);
  });

  it('a full bucket elsewhere does not cost a source already known its own', () => {
    const table = limiter();
    const bytes = new Uint8Array(4);
    for (let i = 0; i < 4; i++) assert.ok(table.allow(one, 0, 4, 0));
    for (let i = 0; i < 200_000; i++) {
      new DataView(bytes.buffer).setUint32(0, 0x0a000000 + i);
      table.allow(bytes, 0, 4, 0);
    }
    assert.deepEqual([table.allow(one, 0, 4, 0), table.allow(one, 0, 4, 0)], [true, false]);
  });

  it('collect forgets only after a second without use', () => {
    const table = limiter();
    for (let i = 0; i < 5; i++) table.allow(one, 0, 4, 0);
    table.collect(20);
    assert.ok(!table.allow(one, 0, 4, 21));
    table.collect(1021);
    assert.ok(table.allow(one, 0, 4, 1021));
  });
});
