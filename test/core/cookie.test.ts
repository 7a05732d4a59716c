/** mac1, mac2 and cookies, both sides (paper, sections 5.3, 5.4.4 and 5.4.7); and what time stamps and staging owe. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CookieChecker, CookieJar, MacVerdict } from '../../src/core/cookie.js';
import { StagedPool, StagedQueue } from '../../src/core/staging.js';
import { Tai64n } from '../../src/core/tai64n.js';
import { createNobleSuite } from '../../src/crypto/noble.js';
import { randomBytes, seeded } from './values.js';

const COOKIE_REFRESH_TIME = 120_000;
const COOKIE_USE_TIME = 115_000;

const { suite } = createNobleSuite(new Uint8Array(64));
const publicKey = new Uint8Array(32).fill(9);

/** An endpoint row: family, flags, port, address. */
function row(address: number, port: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(48);
  bytes.set([4, flags, port >> 8, port & 255, 192, 0, 2, address]);
  return bytes;
}

function setUp(): {
  checker: CookieChecker;
  jar: CookieJar;
  message: Uint8Array;
  ask: (now: number, from?: Uint8Array) => boolean;
} {
  const checker = new CookieChecker(suite);
  checker.setIdentity(publicKey);
  const jar = new CookieJar(suite, publicKey);
  const message = new Uint8Array(148);
  randomBytes(seeded(4))(message.subarray(4));
  message[0] = 1;
  const ask = (now: number, from = row(1, 1000)): boolean => {
    jar.addMacs(message, now);
    const reply = new Uint8Array(64);
    checker.reply(message, from, now, reply);
    return jar.consumeReply(reply, now);
  };
  return { checker, jar, message, ask };
}

describe('cookies', () => {
  it('a cookie is worth something for its address and its port alone, whatever the flags', () => {
    const { checker, jar, message, ask } = setUp();
    assert.ok(ask(0));
    jar.addMacs(message, 1);
    const verdict = (from: Uint8Array): number => checker.check(message, from, true, false, 1);
    assert.equal(verdict(row(1, 1000)), MacVerdict.mac2);
    assert.equal(verdict(row(1, 1000, 3)), MacVerdict.mac2);
    assert.equal(verdict(row(1, 1001)), MacVerdict.mac1);
    assert.equal(verdict(row(1, 1000 + 256)), MacVerdict.mac1);
    assert.equal(verdict(row(2, 1000)), MacVerdict.mac1);
    message[147]! ^= 1;
    assert.equal(verdict(row(1, 1000)), MacVerdict.mac1);
    message[131]! ^= 1;
    assert.equal(verdict(row(1, 1000)), MacVerdict.invalid);
    assert.equal(checker.check(message, row(1, 1000), true, true, 1), MacVerdict.invalid);
    message.fill(0, 132);
    assert.equal(verdict(row(1, 1000)), MacVerdict.invalid);
    assert.equal(checker.check(message, row(1, 1000), true, true, 1), MacVerdict.mac1, 'not looked at: it is in vain');
  });

  it('a sender uses a cookie for 115 s, a responder takes it for 120 s', () => {
    const { checker, jar, message, ask } = setUp();
    ask(0);
    const mac2 = (now: number): boolean => {
      jar.addMacs(message, now);
      return message.subarray(132).some((byte) => byte !== 0);
    };
    assert.ok(mac2(COOKIE_USE_TIME - 1));
    const kept = message.slice();
    assert.ok(!mac2(COOKIE_USE_TIME));
    assert.equal(checker.check(kept, row(1, 1000), true, false, COOKIE_REFRESH_TIME - 1), MacVerdict.mac2);
    assert.equal(checker.check(kept, row(1, 1000), true, false, COOKIE_REFRESH_TIME), MacVerdict.mac1);
    ask(COOKIE_REFRESH_TIME + 1);
    assert.equal(
      checker.check(kept, row(1, 1000), true, false, COOKIE_REFRESH_TIME + 2),
      MacVerdict.mac1,
      'a new secret',
    );
  });

  it('a reply answers the last message, once, and only by who knows its mac1', () => {
    const { checker, jar, message } = setUp();
    const reply = new Uint8Array(64);
    assert.ok(!jar.consumeReply(reply, 0), 'nothing was sent');
    jar.addMacs(message, 0);
    checker.reply(message, row(1, 1000), 0, reply);
    const forged = reply.slice();
    forged[60]! ^= 1;
    assert.ok(!jar.consumeReply(forged, 0));
    const other = message.slice();
    other[20]! ^= 1;
    jar.addMacs(other, 0);
    assert.ok(!jar.consumeReply(reply, 0), 'it is bound to the message before');
    checker.reply(other, row(1, 1000), 0, reply);
    assert.ok(jar.consumeReply(reply, 0));
    assert.ok(!jar.consumeReply(reply, 0), 'once');
  });
});

describe('TAI64N', () => {
  const stamp = (bytes: Uint8Array): bigint => {
    const view = new DataView(bytes.buffer);
    return (view.getBigUint64(0) - 2n ** 62n) * 1_000_000_000n + BigInt(view.getUint32(8));
  };

  it('is TAI (10 s ahead of 1970), whitened to 2^24 ns, and strictly later each time', () => {
    const wall = 1_700_000_000_123;
    const clock = new Tai64n(() => wall);
    const out = new Uint8Array(12);
    let tick = clock.write(out, 0, 5000);
    const first = stamp(out);
    const exact = BigInt(wall) * 1_000_000n + 10_000_000_000n;
    assert.ok(exact - first >= 0n && exact - first < 2n * 2n ** 24n + 1_000_000n, `${exact - first}`);
    for (let i = 0, last = first; i < 500; i++) {
      tick = clock.write(out, tick, 5000);
      assert.ok(stamp(out) > last);
      assert.equal(new DataView(out.buffer).getUint32(8) & (2 ** 24 - 1), 0);
      last = stamp(out);
    }
  });

  it('never goes back, though the clock does, and though no tick was kept', () => {
    let wall = 1_700_000_000_000;
    const clock = new Tai64n(() => wall);
    const out = new Uint8Array(12);
    clock.write(out, 0, 1000);
    const before = stamp(out);
    wall -= 3_600_000;
    clock.write(out, 0, 2000);
    assert.ok(stamp(out) > before);
  });
});

describe('staging', () => {
  it('memory for all queues together has a cap, and what was staged is wiped', () => {
    const pool = new StagedPool();
    const arena = new Uint8Array(4096).fill(0xcc);
    const queues = Array.from({ length: 200 }, () => new StagedQueue());
    let refused = 0;
    for (let i = 0; i < 16_500; i++) if (pool.push(queues[i % 200]!, arena, 0, 100) < 0) refused++;
    assert.equal(refused, 16_500 - 16_384);
    const out = new Uint8Array(4096);
    const queue = queues[0]!;
    while (queue.count > 1) pool.shift(queue, out, 0);
    // The cell of a longer packet again: its end must not show what an earlier one left there.
    for (const one of queues) pool.clear(one);
    const short = new Uint8Array(4096);
    pool.push(queue, short, 0, 10);
    assert.equal(pool.firstLength(queue), 10);
    pool.shift(queue, out, 0);
    assert.ok(!out.subarray(0, 10).includes(0xcc));
  });
});
