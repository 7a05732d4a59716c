/** What `wg show` tells of a peer: bytes in both directions, handshake messages included, and the latest handshake. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerStatus } from '../../src/core/change.js';
import { ipPacket, type Network, type Node, pair } from './simulator.js';

const INITIATION_SIZE = 148;
const RESPONSE_SIZE = 92;
/** 70 bytes, padded to 80, with header and tag. */
const DATA_SIZE = 112;
const KEEPALIVE_SIZE = 32;

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

function status(node: Node): PeerStatus {
  return node.device.peers()[0]!;
}

function bytes(node: Node): { rx: number; tx: number } {
  const { rxBytes, txBytes } = status(node);
  return { rx: rxBytes, tx: txBytes };
}

function sent(network: Network, node: Node): number {
  return network.sent
    .filter(({ datagram }) => datagram.from.port === node.address.port)
    .reduce((sum, { datagram }) => sum + datagram.bytes.length, 0);
}

describe('bytes of a peer', () => {
  it('count initiation, response, data and keepalives, as they are on the wire', () => {
    const { network, a, b } = pair();
    assert.deepEqual(
      [bytes(a), bytes(b)],
      [
        { rx: 0, tx: 0 },
        { rx: 0, tx: 0 },
      ],
    );
    a.input(there);
    assert.deepEqual(bytes(a), { rx: 0, tx: INITIATION_SIZE });
    network.advance(1);
    assert.deepEqual(bytes(b), { rx: INITIATION_SIZE, tx: RESPONSE_SIZE });
    network.advance(1);
    assert.deepEqual(bytes(a), { rx: RESPONSE_SIZE, tx: INITIATION_SIZE + DATA_SIZE });
    network.advance(1);
    assert.deepEqual(bytes(b), { rx: INITIATION_SIZE + DATA_SIZE, tx: RESPONSE_SIZE });
    network.advance(11_000);
    assert.deepEqual(bytes(a), { rx: RESPONSE_SIZE + KEEPALIVE_SIZE, tx: INITIATION_SIZE + DATA_SIZE });
    assert.deepEqual(bytes(b), { rx: INITIATION_SIZE + DATA_SIZE, tx: RESPONSE_SIZE + KEEPALIVE_SIZE });
  });

  it('are the sum of all datagrams over many sessions, of which one’s sent are the other’s received', () => {
    const { network, a, b } = pair();
    for (let i = 0; i < 100; i++) {
      a.input(there, there);
      b.input(back);
      network.advance(30_000);
    }
    assert.ok(network.count(1) > 10);
    assert.deepEqual(bytes(a), { rx: sent(network, b), tx: sent(network, a) });
    assert.deepEqual(bytes(b), { rx: sent(network, a), tx: sent(network, b) });
  });

  it('do not count what was not authentic', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    const before = bytes(b);
    for (const { datagram } of network.sent.filter((each) => each.datagram.from.port === 1)) {
      b.receive(datagram);
      const forged = datagram.bytes.slice();
      forged[forged.length - 1]! ^= 1;
      b.receive({ ...datagram, bytes: forged });
    }
    assert.deepEqual(bytes(b), before);
  });
});

describe('the latest handshake of a peer', () => {
  it('is told by the initiator from the response on, by the responder from the first data on', () => {
    const { network, a, b } = pair();
    const times = (): number[] => [status(a).lastHandshakeTimeMs, status(b).lastHandshakeTimeMs];
    network.delayMs = 10;
    const start = network.clock.wall;
    a.input(there);
    network.advance(10);
    assert.deepEqual(times(), [0, 0]);
    network.advance(10);
    assert.deepEqual(times(), [start + 20, 0]);
    network.advance(10);
    assert.deepEqual(times(), [start + 20, start + 30]);
    network.advance(121_000);
    assert.deepEqual(times(), [start + 20, start + 30]);
    const again = network.clock.wall;
    a.input(there);
    network.advance(100);
    assert.deepEqual(times(), [again + 20, again + 30]);
  });
});
