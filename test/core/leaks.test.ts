/** What a session holds in tables of the whole device, receiver indices and transport keys, is given back. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ipPacket, type Network, type Node, pair } from './simulator.js';

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

/** The indices that `node` has told its peer so far. */
function told(network: Network, node: Node): Uint8Array[] {
  return network.sent
    .filter(({ datagram: { bytes, from } }) => (bytes[0] === 1 || bytes[0] === 2) && from === node.address)
    .map(({ datagram }) => datagram.bytes.subarray(4, 8));
}

/**
 * How many of them still stand for something. A cookie reply finds out: for an index in use it is a bad
 * cookie, else an unknown index. The node must have a session, for without one none is known.
 */
function liveIndices(network: Network, node: Node): number {
  const before = node.device.drops()['badCookie'] ?? 0;
  for (const index of told(network, node)) {
    const bytes = new Uint8Array(64);
    bytes[0] = 3;
    bytes.set(index, 4);
    node.receive({ bytes, from: node.address, to: node.address, tos: 0 });
  }
  return (node.device.drops()['badCookie'] ?? 0) - before;
}

describe('receiver indices and transport keys', () => {
  it('of a handshake that nobody answers: one index, after each of many initiations', () => {
    const { network, a } = pair();
    network.filter = () => [];
    for (let i = 0; i < 150; i++) {
      a.input(there);
      network.advance(6000);
    }
    assert.ok(told(network, a).length >= 150);
    assert.equal(liveIndices(network, a), 1);
    assert.equal(a.keys.length, 0);
  });

  it('of a handshake that gives way to the peer’s initiation, or to a new private key', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    for (let i = 0; i < 20; i++) {
      // Both begin; b's initiation arrives when a's is in flight, and replaces it.
      network.advance(181_000);
      network.filter = ({ bytes, from, ...more }) =>
        bytes[0] === 1 && from === a.address ? [] : [{ bytes, from, ...more }];
      a.input(there);
      b.input(back);
      network.advance(50);
      network.filter = (datagram) => [datagram];
      network.advance(50);
    }
    assert.ok(liveIndices(network, a) <= 3 && liveIndices(network, b) <= 3);
    network.filter = () => [];
    for (let i = 0; i < 20; i++) {
      a.device.configure({ privateKey: a.privateKey.map((byte, at) => (at === 5 ? byte ^ 1 : byte)) }, a.clock.now);
      a.device.configure({ privateKey: a.privateKey }, a.clock.now);
      a.input(there);
    }
    network.advance(700_000);
    assert.equal(liveIndices(network, a), 0, 'it gave up, and the last handshake went with the keys');
    a.input(there);
    assert.equal(liveIndices(network, a), 1);
    assert.equal(a.liveKeys.size, 0);
  });

  it('of many rekeys, begun by either side: those of three keypairs and a handshake at most', () => {
    const { network, a, b } = pair();
    for (let i = 0; i < 60; i++) {
      const [from, packet] = i % 3 === 0 ? [b, back] : [a, there];
      if (i > 0 || from === a) from.input(packet);
      else a.input(there);
      network.advance(i % 5 === 0 ? 185_000 : 121_000);
      for (const node of [a, b]) {
        assert.ok(node.liveKeys.size <= 6, `${node.liveKeys.size} keys`);
        assert.ok(liveIndices(network, node) <= 4);
      }
    }
    assert.ok(a.keys.length > 80 && b.keys.length > 80, `${a.keys.length} ${b.keys.length}`);
  });

  it('of a responder whose responses are lost: one keypair, which no data confirmed', () => {
    const { network, a, b } = pair();
    network.filter = (datagram) => (datagram.bytes[0] === 2 ? [] : [datagram]);
    for (let i = 0; i < 40; i++) {
      a.input(there);
      network.advance(6000);
    }
    assert.ok(b.keys.length >= 80);
    assert.equal(b.liveKeys.size, 2);
    assert.equal(liveIndices(network, b), 1);
  });

  it('of a keypair in use, when the peer’s own handshake comes after one that it never confirmed', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(125_000);
    network.filter = (datagram) => (datagram.bytes[0] === 2 ? [] : [datagram]);
    a.input(there);
    network.advance(10);
    assert.equal(b.liveKeys.size, 4);
    network.advance(5000);
    // From now on a does not initiate, and b does, for its data is not answered.
    network.filter = (datagram) => (datagram.bytes[0] === 1 && datagram.from === a.address ? [] : [datagram]);
    network.advance(60_000);
    b.input(back);
    network.advance(100);
    assert.equal(b.liveKeys.size, 4, 'the new one, and the one not confirmed');
    assert.equal(liveIndices(network, b), 2);
  });

  const ends: Readonly<Record<string, (node: Node, other: Node, network: Network) => void>> = {
    'when the keys are wiped after 540 s': (_node, _other, network) => network.advance(541_000),
    'when the interface goes down': (node) => {
      node.device.setUp(false);
      node.device.setUp(true);
    },
    'when the peer is removed': (node, other) => {
      node.device.configure({ peers: [{ publicKey: other.publicKey, remove: true }] }, node.clock.now);
      node.add(other, ['10.0.0.0/24']);
    },
  };
  for (const [when, end] of Object.entries(ends)) {
    it(`all of them ${when}`, () => {
      const { network, a, b } = pair();
      for (let i = 0; i < 3; i++) {
        a.input(there);
        network.advance(i === 2 ? 10 : 121_000);
        b.input(back);
        network.advance(10);
      }
      assert.ok(a.liveKeys.size >= 4 && b.liveKeys.size >= 4);
      // b has a keypair besides that no data confirmed, and a has a handshake in flight.
      network.filter = (datagram) => (datagram.bytes[0] === 1 ? [datagram] : []);
      network.advance(120_000);
      a.input(there);
      network.advance(10);
      assert.equal(b.liveKeys.size, 4);
      network.filter = () => [];
      for (const [node, other, packet] of [
        [a, b, there],
        [b, a, back],
      ] as const) {
        end(node, other, network);
        assert.equal(node.liveKeys.size, 0);
        // A session again, so that an index left behind would be seen: its handshake's is the only one.
        node.input(packet);
        assert.equal(liveIndices(network, node), 1);
      }
    });
  }

  it('close leaves no key', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    for (const node of [a, b]) {
      assert.equal(node.liveKeys.size, 2);
      node.device.close();
      assert.equal(node.liveKeys.size, 0);
    }
  });
});
