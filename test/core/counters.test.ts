/** Counters have 64 bits, and both limits hold (paper, section 6.1), wherever a number could stop being exact. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Keypair } from '../../src/core/keypair.js';
import { type Datagram, ipPacket, type Network, pair } from './simulator.js';

// The paper's numbers, again.
const REKEY_AFTER_MESSAGES = 2n ** 60n;
const REJECT_AFTER_MESSAGES = 2n ** 64n - 2n ** 13n - 1n;
const SEEDS = [2n ** 31n, 2n ** 32n, 2n ** 53n, REKEY_AFTER_MESSAGES] as const;

const there = ipPacket('10.0.0.1', '10.0.0.2', 60);

/** Every keypair that begins from now on sends with this counter first. */
function seed(t: TestContext, counter: bigint): void {
  const { begin } = Keypair.prototype;
  Keypair.prototype.begin = function (...args) {
    begin.apply(this, args);
    this.sendLo = Number(counter & 0xffffffffn);
    this.sendHi = Number(counter >> 32n);
  };
  t.after(() => {
    Keypair.prototype.begin = begin;
  });
}

function counters(network: Network, from: number): bigint[] {
  return network.sent
    .filter(({ datagram }) => datagram.bytes[0] === 4 && datagram.from.port === from)
    .map(({ datagram: { bytes } }) => new DataView(bytes.buffer).getBigUint64(8, true));
}

describe('counters', () => {
  for (const start of SEEDS) {
    it(`sending goes on past ${start}, each counter once, and all of it arrives`, (t) => {
      seed(t, start - 3n);
      const { network, a, b } = pair();
      for (let i = 0; i < 6; i++) {
        a.input(there);
        network.advance(10);
      }
      assert.equal(b.delivered.length, 6);
      const sent = counters(network, 1);
      assert.deepEqual(
        sent.slice(0, 6),
        Array.from({ length: 6 }, (_, i) => start - 3n + BigInt(i)),
      );
    });
  }

  it('from 2^60 messages on a new handshake is asked for, before that not', (t) => {
    seed(t, REKEY_AFTER_MESSAGES - 10n);
    const { network, a } = pair();
    a.input(there);
    network.advance(6000);
    for (let i = 0; i < 5; i++) a.input(there);
    network.advance(100);
    assert.equal(network.count(1), 1);
    for (let i = 0; i < 6; i++) a.input(there);
    network.advance(100);
    assert.equal(network.count(1), 2);
  });

  it('the last counter is used, and none after it: what follows waits for a new session', (t) => {
    seed(t, REJECT_AFTER_MESSAGES - 3n);
    const { network, a, b } = pair();
    for (let i = 0; i < 6; i++) a.input(there);
    network.advance(100);
    const sent = counters(network, 1);
    assert.deepEqual(
      sent,
      [3n, 2n, 1n].map((less) => REJECT_AFTER_MESSAGES - less),
    );
    assert.equal(b.delivered.length, 3);
    network.advance(6000);
    a.input(there);
    network.advance(100);
    assert.equal(b.delivered.length, 6, 'three of the other four in the next session');
  });

  it('receiving takes every counter below the limit, once, and none from it on', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    const like: Datagram = network.sent.find(({ datagram }) => datagram.bytes[0] === 4)!.datagram;
    const key = a.keys[0]!;
    let expected = b.delivered.length;
    const receive = (counter: bigint, fine: boolean): void => {
      b.receive(a.forge(like, key, counter, there));
      if (fine) expected++;
      assert.equal(b.delivered.length, expected, `${counter}`);
    };
    for (const middle of SEEDS) {
      for (let near = -3n; near <= 3n; near++) receive(middle + near, true);
      for (let near = -3n; near <= 3n; near++) receive(middle + near, false);
      receive(middle - 8000n, true);
      receive(middle - 9000n, false);
    }
    for (let near = -3n; near < 0n; near++) receive(REJECT_AFTER_MESSAGES + near, true);
    for (let near = -3n; near <= 3n; near++) receive(REJECT_AFTER_MESSAGES + near, false);
    receive(2n ** 64n - 1n, false);
    assert.equal(b.device.drops()['badTag'], undefined);
  });

  it('a keypair knows its limits', () => {
    const keypair = new Keypair();
    let slots = 0;
    const suite = { installKey: () => slots++, removeKey: () => {} } as unknown as Parameters<Keypair['begin']>[0];
    keypair.begin(suite, new Uint8Array(32), new Uint8Array(32), true, 1000);
    assert.ok(keypair.canSend(1000) && keypair.canSend(180_999));
    assert.ok(!keypair.canSend(181_000) && keypair.expired(181_000) && !keypair.expired(180_999));
    keypair.sendHi = 2 ** 32 - 1;
    keypair.sendLo = 2 ** 32 - 2 ** 13 - 2;
    assert.ok(keypair.canSend(1000));
    keypair.countSent();
    assert.ok(!keypair.canSend(1000));
  });
});
