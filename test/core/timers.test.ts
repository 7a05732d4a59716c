import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ipPacket, pair } from './simulator.js';

// The paper's numbers, again: the code conforms to them, not to itself.
const REKEY_AFTER_TIME = 120_000;
const REJECT_AFTER_TIME = 180_000;
const REKEY_ATTEMPT_TIME = 90_000;
const REKEY_TIMEOUT = 5_000;
const KEEPALIVE_TIMEOUT = 10_000;
const JITTER = 333;

const INITIATION = 1;
const DATA = 4;
const KEEPALIVE_SIZE = 32;

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

describe('timers', () => {
  it('an unanswered initiation is repeated every 5 s plus up to 333 ms, for 90 s, then staged packets are flushed', () => {
    const { network, a } = pair();
    network.filter = () => [];
    a.input(there, there);
    network.advance(400_000);
    const times = network.sent.map(({ at }) => at);
    for (let i = 1; i < times.length; i++) {
      const gap = times[i]! - times[i - 1]!;
      assert.ok(gap >= REKEY_TIMEOUT && gap <= REKEY_TIMEOUT + JITTER + 1, `gap ${gap}`);
    }
    const span = times.at(-1)! - times[0]!;
    assert.ok(span >= REKEY_ATTEMPT_TIME && span <= REKEY_ATTEMPT_TIME + 19 * JITTER, `span ${span}`);
    assert.equal(a.device.drops()['stagedFlushed'], 2);
    assert.ok(a.events.some((event) => event.type === 'handshake-gave-up'));
    const before = network.sent.length;
    a.input(there);
    network.advance(1);
    assert.equal(network.sent.length, before + 1, 'new data starts again');
  });

  it('the initiator rekeys by time when it sends after 120 s, the responder never', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    for (let t = 0; t < REKEY_AFTER_TIME - 25_000; t += 1000) {
      b.input(back);
      network.advance(1000);
    }
    // The last passive keepalive is before 120 s: after it, a sends nothing.
    network.advance(26_000);
    assert.equal(network.count(INITIATION), 1);
    b.input(back);
    network.advance(500);
    assert.equal(network.count(INITIATION), 1, 'the responder does not');
    a.input(there);
    network.advance(500);
    assert.equal(network.count(INITIATION), 2);
    assert.deepEqual([a.delivered.length, b.delivered.length], [96, 2]);
  });

  it('an initiator that only receives rekeys at 165 s, once', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    network.filter = (datagram) => (datagram.bytes[0] === INITIATION ? [] : [datagram]);
    const start = network.clock.now;
    let first = 0;
    while (network.clock.now < start + 170_000) {
      b.input(back);
      network.advance(500);
      // Passive keepalives of a could trigger the 120 s rule: count what happens between.
      if (first === 0 && network.count(INITIATION) === 2) first = network.clock.now - start;
    }
    assert.ok(first >= REKEY_AFTER_TIME && first <= 165_600, `at ${first}`);
  });

  it('a passive keepalive answers data after 10 s, and is never answered', () => {
    const { network, a } = pair();
    a.input(there);
    network.advance(100);
    const from = network.sent.length;
    network.advance(60_000);
    const sent = network.sent.slice(from);
    assert.deepEqual(
      sent.map(({ datagram }) => [datagram.bytes[0], datagram.bytes.length]),
      [[DATA, KEEPALIVE_SIZE]],
    );
    assert.equal(sent[0]!.datagram.from.port, 2);
  });

  it('a second data packet within the timeout asks for another keepalive', () => {
    const { network, a } = pair();
    a.input(there);
    network.advance(100);
    const from = network.sent.length;
    network.advance(5000);
    a.input(there);
    network.advance(60_000);
    const keepalives = network.sent.slice(from).filter(({ datagram }) => datagram.bytes.length === KEEPALIVE_SIZE);
    assert.equal(keepalives.length, 2);
    const gap = keepalives[1]!.at - keepalives[0]!.at;
    assert.ok(Math.abs(gap - KEEPALIVE_TIMEOUT) < 10, `gap ${gap}`);
  });

  it('data unanswered for 15 s leads to a new handshake, from the first unanswered packet on', () => {
    const { network, a } = pair();
    a.input(there);
    network.advance(20_000);
    network.filter = (datagram) => (datagram.bytes[0] === DATA ? [] : [datagram]);
    const from = network.sent.length;
    const start = network.clock.now;
    for (let i = 0; i < 16; i++) {
      a.input(there);
      network.advance(1000);
    }
    const initiation = network.sent.slice(from).find(({ datagram }) => datagram.bytes[0] === INITIATION);
    const after = initiation!.at - start;
    const expected = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
    assert.ok(after >= expected && after <= expected + JITTER + 1, `after ${after}`);
  });

  it('persistent keepalives go out at once when set, when the device comes up, and every interval', () => {
    const { network, a, b } = pair();
    a.add(b, [], { keepalive: 25 });
    network.advance(100);
    assert.equal(network.count(INITIATION), 1);
    const from = network.sent.length;
    network.advance(100_000);
    const times = network.sent.slice(from).map(({ at }) => at);
    assert.equal(times.length, 4);
    for (let i = 1; i < 4; i++) assert.ok(Math.abs(times[i]! - times[i - 1]! - 25_000) < 10);
    a.device.setUp(false);
    a.device.setUp(true);
    a.flush();
    network.advance(100);
    assert.equal(network.count(INITIATION), 2);
  });

  it('keys older than 180 s neither send nor receive', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    network.filter = () => [];
    b.input(back);
    const late = network.sent.at(-1)!.datagram;
    network.clock.advance(REJECT_AFTER_TIME);
    a.receive(late);
    assert.deepEqual(a.delivered, []);
    assert.equal(a.device.drops()['expiredKeypair'], 1);
    const from = network.sent.length;
    a.input(there);
    assert.deepEqual(
      network.sent.slice(from).map(({ datagram }) => datagram.bytes[0]),
      [INITIATION],
    );
  });

  it('540 s after the last session all key material is gone', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    network.filter = () => [];
    network.advance(541_000);
    assert.equal(a.device.nextTimeout(), Number.POSITIVE_INFINITY);
    assert.equal(b.device.nextTimeout(), Number.POSITIVE_INFINITY);
  });

  it('whole days of traffic and rekeying lose nothing', () => {
    const { network, a, b } = pair();
    let sent = 0;
    for (let minute = 0; minute < 2 * 24 * 60; minute++) {
      a.input(there);
      network.advance(1000);
      b.input(back);
      sent++;
      network.advance(59_000);
    }
    assert.equal(a.delivered.length, sent);
    assert.equal(b.delivered.length, sent);
    assert.ok(network.count(INITIATION) > 2 * 24 * 60 * 0.3);
  });
});
