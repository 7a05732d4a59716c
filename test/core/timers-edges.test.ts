/** What starts, stops and resets the timers (paper, section 6): each of these failed for a changed core. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ipPacket, type Network, type Node, pair } from './simulator.js';

const INITIATION = 1;
const RESPONSE = 2;
const DATA = 4;
/** The first attempt, then 90 s of retransmissions at 5 s. */
const ATTEMPTS = 19;
const INTERVAL_S = 25;
const INTERVAL = INTERVAL_S * 1000;

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

/** When messages of a type left a node, from an index into what was sent on. */
function times(network: Network, type: number, node: Node, from = 0): number[] {
  return network.sent
    .slice(from)
    .filter(({ datagram }) => datagram.bytes[0] === type && datagram.from.port === node.address.port)
    .map(({ at }) => at);
}

/** Delays lie from `least` to 333 ms above, and fill most of that. */
function assertJitter(delays: readonly number[], least: number): void {
  const [low, high] = [Math.min(...delays), Math.max(...delays)];
  assert.ok(low >= least && high <= least + 333, `from ${low} to ${high}`);
  assert.ok(low < least + 66 && high > least + 267, `only from ${low} to ${high}`);
}

function gaveUp(node: Node): number {
  return node.events.filter(({ type }) => type === 'handshake-gave-up').length;
}

describe('jitter', () => {
  it('each retransmission of an initiation comes 5 s after the one before, and 0 to 333 ms by chance', () => {
    const { network, a } = pair();
    network.filter = () => [];
    const gaps: number[] = [];
    for (let i = 0; i < 3; i++) {
      const from = network.sent.length;
      a.input(there);
      network.advance(200_000);
      const at = times(network, INITIATION, a, from);
      for (let j = 1; j < at.length; j++) gaps.push(at[j]! - at[j - 1]!);
    }
    assertJitter(gaps, 5000);
  });

  it('a new handshake comes 15 s after data that nobody answers, and 0 to 333 ms by chance', () => {
    const { network, a } = pair();
    network.filter = (datagram) => (datagram.bytes[0] === DATA ? [] : [datagram]);
    a.input(there);
    network.advance(100);
    const delays: number[] = [];
    // The staged packet was the first unanswered one.
    let start = network.sent.find(({ datagram }) => datagram.bytes[0] === DATA)!.at;
    for (let i = 0; i < 40; i++) {
      const from = network.sent.length;
      network.advance(15_500);
      const [at, ...more] = times(network, INITIATION, a, from);
      assert.deepEqual(more, []);
      delays.push(at! - start);
      start = network.clock.now;
      a.input(there);
    }
    assertJitter(delays, 15_000);
  });
});

describe('handshake attempts', () => {
  it('count from none again when data comes after we gave up', () => {
    const { network, a } = pair();
    network.filter = () => [];
    for (let round = 1; round <= 3; round++) {
      const from = network.sent.length;
      a.input(there);
      network.advance(150_000);
      assert.equal(network.count(INITIATION, from), ATTEMPTS, `round ${round}`);
      assert.equal(gaveUp(a), round);
    }
  });

  it('count from none again when a handshake completes, also with a retransmission about to leave', () => {
    const { network, a, b } = pair();
    network.filter = () => [];
    // A handshake without data, so that no data asks for the next one.
    a.add(b, [], { keepalive: 65535 });
    network.advance(50_000);
    assert.ok(network.count(INITIATION) >= 9);
    b.receive(network.sent.at(-1)!.datagram);
    const response = network.sent.at(-1)!.datagram;
    assert.equal(response.bytes[0], RESPONSE);
    network.clock.advance(a.device.nextTimeout() - network.clock.now);
    a.device.handleTimeout(network.clock.now);
    const from = network.sent.length;
    a.receive(response);
    assert.ok(a.events.some(({ type }) => type === 'handshake-complete'));
    network.advance(118_000);
    assert.equal(network.count(INITIATION, from), ATTEMPTS);
    assert.equal(gaveUp(a), 1);
  });
});

describe('the last minute', () => {
  it('of every session, not only of the first, makes an initiator that receives ask for a new one', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    for (let session = 2; session < 6; session++) {
      network.advance(165_500);
      assert.equal(network.count(INITIATION), session - 1);
      b.input(back);
      network.advance(100);
      assert.equal(network.count(INITIATION), session);
    }
  });
});

describe('the passive keepalive', () => {
  it('is not sent when data answers the data', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(20_000);
    b.input(back);
    network.advance(5000);
    const from = network.sent.length;
    a.input(there);
    network.advance(9000);
    assert.equal(times(network, DATA, a, from).length, 1);
    assert.equal(times(network, DATA, b, from).length, 0);
    network.advance(60_000);
    assert.equal(times(network, DATA, a, from).length, 1, 'a had answered');
    assert.equal(times(network, DATA, b, from).length, 1, 'b had not');
  });

  it('is not sent after an initiation', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(166_000);
    // The last minute's data: an initiation follows it, and nothing answers that.
    b.input(back);
    network.filter = () => [];
    const from = network.sent.length;
    network.advance(30_000);
    assert.ok(times(network, INITIATION, a, from).length > 3);
    assert.deepEqual(times(network, DATA, a, from), []);
  });

  it('is not sent after a response', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(121_000);
    const from = network.sent.length;
    a.input(there);
    network.advance(60_000);
    assert.equal(times(network, RESPONSE, b, from).length, 1);
    assert.deepEqual(times(network, DATA, b, from), []);
  });
});

describe('the persistent keepalive', () => {
  /** A pair with a session, in which only `a` sends persistent keepalives, 20 s after its last one. */
  function quiet(): { network: Network; a: Node; b: Node; from: number } {
    const { network, a, b } = pair();
    a.add(b, [], { keepalive: INTERVAL_S });
    network.advance(2 * INTERVAL + 20_000);
    const last = times(network, DATA, a).at(-1)!;
    assert.equal(Math.round((network.clock.now - last) / 1000), 20);
    return { network, a, b, from: network.sent.length };
  }

  it('waits the whole interval after data that we sent', () => {
    const { network, a, from } = quiet();
    a.input(there);
    const start = network.clock.now;
    // b's passive keepalive would be traffic, too.
    network.filter = (datagram) => (datagram.from.port === 2 ? [] : [datagram]);
    network.advance(14_000);
    assert.deepEqual(times(network, DATA, a, from), [start]);
  });

  it('waits the whole interval after data and keepalives that we received', () => {
    const { network, a, b, from } = quiet();
    network.filter = (datagram) => (datagram.from.port === 1 ? [] : [datagram]);
    b.add(a, [], { keepalive: 65535 });
    const start = network.clock.now;
    network.advance(INTERVAL);
    assert.deepEqual(times(network, DATA, a, from), []);
    network.advance(1);
    assert.deepEqual(times(network, DATA, a, from), [start + 1 + INTERVAL]);
  });

  it('waits the whole interval after an initiation that we sent', () => {
    const { network, a, b } = pair();
    network.filter = () => [];
    a.add(b, [], { keepalive: INTERVAL_S });
    network.advance(150_000);
    const at = times(network, INITIATION, a);
    assert.equal(at[ATTEMPTS]! - at[ATTEMPTS - 1]!, INTERVAL);
  });

  it('waits the whole interval after an initiation that we answered', () => {
    const { network, a, b, from } = quiet();
    b.device.setUp(false);
    b.device.setUp(true);
    network.filter = (datagram) => (datagram.bytes[0] === DATA && datagram.from.port === 2 ? [] : [datagram]);
    b.input(back);
    network.advance(10);
    b.device.setUp(false);
    const [start] = times(network, RESPONSE, a, from);
    network.advance(INTERVAL);
    assert.deepEqual(times(network, DATA, a, from), [start! + INTERVAL]);
  });
});
