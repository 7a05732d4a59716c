/** The batch cipher: all back ends held equal, rows kept apart, counters of 64 bits, forgeries refused. */
import assert from 'node:assert/strict';
import { randomFillSync, randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { GONE, HEADROOM, TAILROOM } from '../../src/core/batch.js';
import { NO_KEY } from '../../src/core/suite.js';
import {
  everyParty,
  makeBatch,
  makeParty,
  missing,
  PARTY_NAMES,
  type Party,
  pattern,
  type Row,
  reference,
} from './helpers.js';

const TAG = 16;
const HEADER = 16;

/** Seals the same rows on each back end, compares, and lets each open them again. */
function holdEqual(parties: readonly Party[], text: Uint8Array, rows: (key: number) => Row[], key: Uint8Array): void {
  const [first, ...others] = parties;
  for (const party of parties) {
    party.arena.set(text);
    const slot = party.suite.installKey(key);
    party.cipher.seal(makeBatch(rows(slot)));
    party.suite.removeKey(slot);
  }
  for (const { offset, length } of rows(0)) {
    const expected = first!.arena.subarray(offset, offset + length + TAG);
    for (const party of others) {
      const got = party.arena.subarray(offset, offset + length + TAG);
      if (Buffer.compare(got, expected) !== 0) assert.fail(`${party.name} differs from ${first!.name} at ${length}`);
    }
  }
  for (const party of parties) {
    const slot = party.suite.installKey(key);
    const batch = makeBatch(rows(slot));
    party.cipher.open(batch);
    party.suite.removeKey(slot);
    assert.ok(
      batch.verdict.every((fits) => fits === 1),
      `${party.name} opens`,
    );
    for (const { offset, length } of rows(0)) {
      const same = Buffer.compare(
        party.arena.subarray(offset, offset + length),
        text.subarray(offset, offset + length),
      );
      if (same !== 0) assert.fail(`${party.name} opens wrongly at ${length}`);
    }
  }
}

test('every length from 0 to 2000 is the same on all back ends', { timeout: 120_000 }, () => {
  const stride = HEADROOM + 2000 + TAILROOM;
  const parties = everyParty(64 * stride);
  assert.ok(parties.length >= 2, 'at least one beside noble');
  for (let from = 0; from <= 2000; from += 64) {
    const count = Math.min(64, 2001 - from);
    const rows = (key: number): Row[] =>
      Array.from({ length: count }, (_, i) => ({
        offset: i * stride + HEADROOM,
        length: from + i,
        key,
        counter: BigInt(i),
      }));
    holdEqual(parties, pattern(64 * stride, from + 1), rows, pattern(32, from));
  }
});

test('random packets at any alignment are the same on all back ends', { timeout: 120_000 }, () => {
  const parties = everyParty(1 << 19);
  for (let round = 0; round < 30; round++) {
    const shapes: Omit<Row, 'key'>[] = [];
    let end = 0;
    while (shapes.length < 24) {
      const length = randomInt(10) === 0 ? randomInt(9000) : randomInt(1600);
      const offset = end + HEADROOM + randomInt(5);
      const counter = (BigInt(randomInt(2 ** 32)) << 32n) | BigInt(randomInt(2 ** 32));
      shapes.push({ offset, length, counter });
      end = offset + length + TAILROOM;
    }
    const text = randomFillSync(new Uint8Array(end));
    holdEqual(parties, text, (key) => shapes.map((shape) => ({ ...shape, key })), randomFillSync(new Uint8Array(32)));
  }
});

/** Datagrams as UDP GRO delivers them: header, ciphertext, tag, with nothing in between. */
function layRun(arena: Uint8Array, at: number, lengths: readonly number[], key: Uint8Array): Omit<Row, 'key'>[] {
  return lengths.map((length, i) => {
    arena.set(pattern(HEADER, i + 50), at);
    const offset = at + HEADER;
    arena.set(reference(key, BigInt(i + 7), pattern(length, i + 1)), offset);
    at = offset + length + TAG;
    return { offset, length, counter: BigInt(i + 7) };
  });
}

for (const name of PARTY_NAMES) {
  describe(name, { skip: missing(name) }, () => {
    const key = pattern(32, 99);

    test('open decrypts a run of adjacent datagrams and writes nothing outside its rows', () => {
      for (const lead of [0, 1, 2, 3, 4]) {
        const lengths = [0, 32, 1420, 1, 15, 16, 17, 191, 192, 193, 208, 1424, 64, 333];
        const size = lengths.reduce((sum, length) => sum + HEADER + length + TAG, lead);
        const { arena, cipher, suite } = makeParty(name, size);
        const slot = suite.installKey(key);
        const rows = layRun(arena, lead, lengths, key);
        const expected = arena.slice();
        for (const [i, { offset, length }] of rows.entries()) expected.set(pattern(length, i + 1), offset);
        const batch = makeBatch(rows.map((row) => ({ ...row, key: slot })));
        cipher.open(batch);
        assert.ok(batch.verdict.every((fits) => fits === 1));
        assert.equal(Buffer.compare(arena, expected), 0, 'cleartext in the rows, all else as it was');
      }
    });

    test('open refuses each flipped bit of a datagram and leaves its neighbours alone', { timeout: 60_000 }, () => {
      for (const length of [0, 5, 32]) {
        const lengths = [48, length, 21];
        const size = lengths.reduce((sum, bytes) => sum + HEADER + bytes + TAG, 0);
        const { arena, cipher, suite } = makeParty(name, size);
        const slot = suite.installKey(key);
        const rows = layRun(arena, 0, lengths, key);
        const [before, forged, after] = rows as [Row, Row, Row];
        const whole = arena.slice();
        for (let bit = 0; bit < (length + TAG) * 8; bit++) {
          arena.set(whole);
          arena[forged.offset + (bit >> 3)]! ^= 1 << (bit & 7);
          const expected = arena.slice();
          expected.set(pattern(before.length, 1), before.offset);
          expected.set(pattern(after.length, 3), after.offset);
          const batch = makeBatch(rows.map((row) => ({ ...row, key: slot })));
          batch.verdict.fill(7);
          cipher.open(batch);
          assert.deepEqual([...batch.verdict], [1, 0, 1]);
          // Nothing was decrypted before it was verified.
          assert.equal(Buffer.compare(arena, expected), 0, `bit ${bit}`);
        }
      }
    });

    test('open refuses another key, another counter and a cut packet', () => {
      const { arena, cipher, suite } = makeParty(name, 4096);
      const slot = suite.installKey(key);
      const other = suite.installKey(pattern(32, 98));
      for (const change of [
        { key: other },
        { counter: 6n },
        { counter: 7n + (1n << 32n) },
        { length: 1419 },
        { length: 1404 },
      ]) {
        const rows = layRun(arena, 0, [1420], key);
        const batch = makeBatch([{ ...rows[0]!, key: slot, ...change }]);
        cipher.open(batch);
        assert.equal(batch.verdict[0], 0);
      }
    });

    test('seal writes nothing but its row, the headroom before it and the tailroom behind it', () => {
      const { arena, cipher, suite } = makeParty(name, 8192);
      const slot = suite.installKey(key);
      for (const length of [0, 1, 15, 16, 100, 1420, 1424]) {
        const rows = [1024, 4096].map((offset) => ({ offset, length, key: slot, counter: 3n }));
        arena.set(pattern(arena.length));
        const expected = arena.slice();
        cipher.seal(makeBatch(rows));
        for (const { offset } of rows) {
          const text = expected.slice(offset, offset + length);
          expected.set(arena.subarray(offset - HEADROOM, offset + length + TAILROOM), offset - HEADROOM);
          expected.set(reference(key, 3n, text), offset);
        }
        assert.equal(Buffer.compare(arena, expected), 0, `length ${length}`);
      }
    });

    test('seal and open take all 64 bits of the counter', () => {
      const edges = [0n, 1n << 31n, 1n << 32n, 1n << 53n, 1n << 60n, 1n << 63n, (1n << 64n) - (1n << 13n) - 1n];
      const { arena, cipher, suite } = makeParty(name, 4096);
      const slot = suite.installKey(key);
      for (const counter of edges.flatMap((edge) => [edge - 3n, edge - 1n, edge, edge + 1n, edge + 3n])) {
        if (counter < 0n) continue;
        const text = pattern(77, 5);
        arena.set(text, 128);
        const batch = makeBatch([{ offset: 128, length: 77, key: slot, counter }]);
        cipher.seal(batch);
        assert.deepEqual(arena.slice(128, 128 + 77 + TAG), reference(key, counter, text), `counter ${counter}`);
        cipher.open(batch);
        assert.equal(batch.verdict[0], 1);
        assert.deepEqual(arena.slice(128, 128 + 77), text);
      }
    });

    test('rows that ended and rows without a key are passed over', () => {
      const { arena, cipher, suite } = makeParty(name, 4096);
      const slot = suite.installKey(key);
      arena.set(pattern(4096));
      const batch = makeBatch([
        { offset: 512, length: GONE, key: slot },
        { offset: 1024, length: 64, key: NO_KEY },
        { offset: 2048, length: 64, key: slot },
      ]);
      batch.count = 2;
      cipher.seal(batch);
      cipher.open(batch);
      assert.equal(Buffer.compare(arena, pattern(4096)), 0);
    });

    test('many keys at once each keep their own, and a slot is given out again', () => {
      const { arena, cipher, suite } = makeParty(name, 4096);
      const slots = Array.from({ length: 9000 }, (_, i) => suite.installKey(pattern(32, i)));
      assert.equal(new Set(slots).size, slots.length);
      for (const i of [0, 1, 4095, 4096, 8191, 8192, 8999]) {
        arena.set(pattern(50), 128);
        cipher.seal(makeBatch([{ offset: 128, length: 50, key: slots[i]! }]));
        assert.deepEqual(arena.slice(128, 194), reference(pattern(32, i), 0n, pattern(50)));
      }
      suite.removeKey(slots[4100]!);
      assert.equal(suite.installKey(key), slots[4100]);
    });
  });
}
