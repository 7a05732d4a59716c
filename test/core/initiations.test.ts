/** What handshake messages may do, and what nobody else's may. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CookieJar } from '../../src/core/cookie.js';
import { createNobleSuite } from '../../src/crypto/noble.js';
import { type Datagram, ipPacket, type Network, pair, parseAddress } from './simulator.js';

const { suite } = createNobleSuite(new Uint8Array(64));
const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

function last(network: Network, type: number): Datagram {
  return network.sent.filter(({ datagram }) => datagram.bytes[0] === type).at(-1)!.datagram;
}

describe('handshake messages', () => {
  it('a response moves the endpoint; a forged one leaves the handshake as it was', () => {
    const { network, a } = pair();
    network.filter = (datagram) => (datagram.bytes[0] === 2 ? [] : [datagram]);
    a.input(there);
    network.advance(10);
    const response = last(network, 2);
    for (const at of [12, 44, 59]) {
      const bytes = response.bytes.slice();
      bytes[at]! ^= 1;
      // With a mac1 that is right: anybody can make one.
      new CookieJar(suite, a.publicKey).addMacs(bytes, 0);
      a.receive({ ...response, bytes, from: { address: parseAddress('203.0.113.6'), port: 66 } });
    }
    assert.equal(a.device.drops()['badHandshake'], 3);
    assert.equal(a.events.length, 0);
    const elsewhere = { address: parseAddress('203.0.113.5'), port: 55 };
    network.filter = (datagram) => [datagram];
    a.receive({ ...response, from: elsewhere });
    assert.ok(a.events.some((event) => event.type === 'endpoint-changed'));
    assert.equal(last(network, 4).to.port, 55);
  });

  it('of one peer at most one initiation in 20 ms is taken, and each only once', () => {
    const { network, a, b } = pair();
    const initiations: Datagram[] = [];
    network.filter = (datagram) => {
      if (datagram.bytes[0] === 1) initiations.push(datagram);
      return [];
    };
    for (let i = 0; i < 4; i++) {
      a.input(there);
      network.advance(6000);
    }
    network.filter = (datagram) => [datagram];
    const [one, two, three] = initiations as [Datagram, Datagram, Datagram];
    b.receive(one);
    b.receive(two);
    assert.equal(b.device.drops()['floodedHandshake'], 1);
    network.clock.advance(21);
    b.receive(two);
    assert.equal(b.device.drops()['replayedHandshake'], undefined, 'what was refused for its haste may come again');
    network.clock.advance(21);
    b.receive(one);
    b.receive(two);
    assert.equal(b.device.drops()['replayedHandshake'], 2);
    network.clock.advance(21);
    b.receive(three);
    assert.equal(b.device.drops()['replayedHandshake'], 2);
    assert.equal(network.sent.filter(({ datagram }) => datagram.bytes[0] === 2).length, 3);
  });

  it('a second packet within the interval, and a third, are answered by one keepalive more', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    b.input(back);
    network.advance(15_000);
    const keepalives = network.sent.filter(({ datagram }) => datagram.bytes[0] === 4 && datagram.bytes.length === 32);
    assert.equal(keepalives.filter(({ datagram }) => datagram.from.port === 2).length, 0, 'b answered with data');
    assert.equal(keepalives.filter(({ datagram }) => datagram.from.port === 1).length, 1);
  });

  it('a peer that is removed is gone with its session, and one that comes back begins anew', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    b.device.configure({ peers: [{ publicKey: a.publicKey, remove: true }] }, network.clock.now);
    a.input(there);
    network.advance(100);
    assert.equal(b.delivered.length, 1);
    assert.equal(b.device.drops()['unknownIndex'], 1);
    b.add(a, ['10.0.0.1/32'], { endpoint: false });
    network.advance(20_000);
    a.input(there);
    network.advance(6000);
    assert.ok(b.delivered.length >= 2);
  });

  it('a private key that changes ends the sending of the session it belonged to', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    const from = network.sent.length;
    a.device.configure({ privateKey: new Uint8Array(32).fill(0x55) }, network.clock.now);
    a.input(there);
    network.advance(100);
    const kinds = network.sent.slice(from).map(({ datagram }) => datagram.bytes[0]);
    assert.ok(kinds.includes(1) && !kinds.includes(4), `${kinds}`);
    assert.equal(b.delivered.length, 1);
  });

  it('the previous session still receives what was under way when a new one began', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(121_000);
    const held: Datagram[] = [];
    network.filter = (datagram) => {
      if (datagram.bytes[0] !== 4 || datagram.from.port !== 1) return [datagram];
      held.push(datagram);
      return [];
    };
    a.input(there);
    network.advance(100);
    network.filter = (datagram) => [datagram];
    a.input(there);
    network.advance(100);
    assert.equal(network.sent.filter(({ datagram }) => datagram.bytes[0] === 1).length, 2);
    b.receive(held[0]!);
    assert.equal(b.delivered.length, 3);
  });
});
