/** Days on a bad wire, behind a NAT that forgets: data still flows, and nothing was left behind. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { IndexTable } from '../../src/core/index-table.js';
import { MessageType, readU32 } from '../../src/core/messages.js';
import type { Peer, Session } from '../../src/core/peer.js';
import { Sessions } from '../../src/core/sessions.js';
import { ipPacket, type Network, type Node, pair, seeded } from './simulator.js';

const MINUTES = 3 * 24 * 60;
const SENDER = 4;
/** Two transport keys of each of three keypairs. */
const MAX_KEYS = 6;

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

interface Inside {
  readonly tables: Set<IndexTable>;
  readonly owners: Set<Sessions>;
  readonly sessions: Set<Session>;
  readonly peers: Set<Peer>;
}

/** What the devices made from now on hold: nothing outside tells how much that is. */
function lookInside(t: TestContext): Inside {
  const inside: Inside = { tables: new Set(), owners: new Set(), sessions: new Set(), peers: new Set() };
  const { allocate } = IndexTable.prototype;
  t.mock.method(IndexTable.prototype, 'allocate', function (this: IndexTable, value: number) {
    inside.tables.add(this);
    return allocate.call(this, value);
  });
  const { of } = Sessions.prototype;
  t.mock.method(Sessions.prototype, 'of', function (this: Sessions, peer: Peer) {
    const session = of.call(this, peer);
    inside.owners.add(this);
    inside.peers.add(peer);
    inside.sessions.add(session);
    return session;
  });
  return inside;
}

/** Of ten datagrams one is lost, one comes twice, and one up to two seconds late. */
function badWire(network: Network, random: () => number): void {
  network.filter = (datagram) => {
    const roll = random();
    if (roll < 0.1) return [];
    if (roll < 0.2) return [datagram, datagram];
    if (roll < 0.3) {
      network.post(datagram, 2000 * random());
      return [];
    }
    return [datagram];
  };
}

/** Everything that was made for sessions is given back: indices, sessions, staged packets, keys. */
function assertNothingLeft(inside: Inside, nodes: readonly Node[], remoteIndices: ReadonlySet<number>): void {
  for (const node of nodes) assert.equal(node.device.nextTimeout(), Number.POSITIVE_INFINITY);
  assert.deepEqual(
    [...inside.tables].map(({ size }) => size),
    nodes.map(() => 0),
  );
  assert.equal(inside.sessions.size, nodes.length, 'each peer came back to its own session');
  for (const { session } of inside.peers) assert.equal(session, undefined);
  for (const { staged, keypairs, heapIndex } of inside.sessions) {
    assert.deepEqual([staged.count, heapIndex], [0, -1]);
    assert.ok(keypairs.every(({ inUse }) => !inUse));
  }
  for (const sessions of inside.owners) {
    for (const index of remoteIndices) assert.equal(sessions.byRemoteIndex(index), undefined);
  }
}

describe('a long run', () => {
  it('of days with loss, repetition, reordering and NAT rebinding ends as it began', (t) => {
    const inside = lookInside(t);
    const { network, a, b } = pair();
    const random = seeded(7);
    badWire(network, random);
    const indices = new Set<number>();
    let handshakes = 0;
    let rebindings = 0;
    for (let minute = 0; minute < MINUTES; minute++) {
      if (random() < 1 / 120) {
        // What is under way to the old port is lost, and b learns the new one from what a sends.
        a.address = { ...a.address, port: 1024 + Math.floor(random() * 60_000) };
        rebindings++;
      }
      const send = [() => a.input(there), () => b.input(back)];
      // Silent now and then, for long enough that keys are wiped.
      if (minute % 300 < 285) for (const each of random() < 0.5 ? send : send.reverse()) each();
      network.advance(60_000 * (0.5 + random()));
      for (const { datagram } of network.sent.splice(0)) {
        const type = datagram.bytes[0]!;
        if (type !== MessageType.initiation && type !== MessageType.response) continue;
        indices.add(readU32(datagram.bytes, SENDER));
        if (type === MessageType.response) handshakes++;
      }
      assert.ok(
        [...inside.tables].every(({ size }) => size <= 4),
        'three keypairs and a handshake',
      );
    }
    assert.ok(rebindings > 20 && handshakes > MINUTES / 4, `${rebindings} rebindings, ${handshakes} handshakes`);
    for (const { delivered, keys } of [a, b]) {
      assert.ok(delivered.length > MINUTES * 0.8, `${delivered.length} of ${MINUTES} minutes`);
      assert.ok(Math.max(...keys) < Math.min(...keys) + MAX_KEYS, 'keys take the places of those that ended');
    }

    // On a good wire nothing is lost at all.
    network.filter = (datagram) => [datagram];
    network.advance(30_000);
    const before = [a.delivered.length, b.delivered.length] as const;
    for (let i = 0; i < 10; i++) {
      a.input(there);
      network.advance(10_000);
      b.input(back);
      network.advance(10_000);
    }
    assert.deepEqual([a.delivered.length, b.delivered.length], [before[0] + 10, before[1] + 10]);

    network.advance(20 * 60_000);
    assertNothingLeft(inside, [a, b], indices);
  });
});
