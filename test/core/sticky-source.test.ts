/** The local address that datagrams to a peer leave from: that the peer last wrote to, until a timer doubts it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GONE } from '../../src/core/batch.js';
import { ENDPOINT_SIZE } from '../../src/core/endpoint.js';
import { ipPacket, type Network, type Node, pair, parseAddress } from './simulator.js';

const INITIATION = 1;
const DATA = 4;
const FLAGS = 1;
const SOURCE_SET = 1;
const SOURCE = 24;
const SOURCE_INTERFACE = 40;
const GENERATION = 44;
const LOCAL = [...parseAddress('192.0.2.1')];
const NONE = [0, 0, 0, 0];

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);

interface Left {
  readonly type: number;
  readonly source: readonly number[];
  readonly interface: number;
  readonly flags: number;
}

/** As the socket layer does it: what arrives at `node` has a source; and from which each datagram leaves. */
function watch(node: Node): Left[] {
  const left: Left[] = [];
  const { device, arena } = node;
  const row = (number: number): Uint8Array =>
    device.endpoints.bytes.subarray(number * ENDPOINT_SIZE, (number + 1) * ENDPOINT_SIZE);
  const { planInbound, finishOutbound } = device;
  device.planInbound = (batch, now) => {
    const from = row(batch.endpoint[0]!);
    from[FLAGS] = SOURCE_SET;
    from.set(LOCAL, SOURCE);
    from[SOURCE_INTERFACE] = 7;
    planInbound.call(device, batch, now);
  };
  device.finishOutbound = (batch, now) => {
    finishOutbound.call(device, batch, now);
    for (let i = 0; i < batch.count; i++) {
      if (batch.length[i] === GONE) continue;
      const to = row(batch.endpoint[i]!);
      left.push({
        type: arena[batch.offset[i]!]!,
        source: [...to.subarray(SOURCE, SOURCE + 4)],
        interface: to[SOURCE_INTERFACE]!,
        flags: to[FLAGS]!,
      });
      // The socket layer's mark, which must not outlive the source.
      to[GENERATION] = 1;
    }
  };
  return left;
}

/** A session of `a`, whose datagrams leave from the local address that `b` writes to. */
function settled(): { network: Network; a: Node; left: Left[] } {
  const { network, a } = pair();
  const left = watch(a);
  a.input(there);
  network.advance(20_000);
  assert.deepEqual(left.shift(), { type: INITIATION, source: NONE, interface: 0, flags: 0 });
  a.input(there);
  network.advance(20_000);
  assert.deepEqual(left.at(-1), { type: DATA, source: LOCAL, interface: 7, flags: SOURCE_SET });
  return { network, a, left };
}

describe('the sticky source', () => {
  it('is forgotten with the new handshake that unanswered data leads to', () => {
    const { network, a, left } = settled();
    network.filter = () => [];
    left.length = 0;
    a.input(there);
    network.advance(16_000);
    assert.deepEqual(left, [
      { type: DATA, source: LOCAL, interface: 7, flags: SOURCE_SET },
      { type: INITIATION, source: NONE, interface: 0, flags: 0 },
    ]);
  });

  it('is kept for a first initiation, forgotten with its retransmission, and learnt again from the answer', () => {
    const { network, a, left } = settled();
    network.advance(90_000);
    network.filter = () => [];
    left.length = 0;
    a.input(there);
    network.advance(6000);
    assert.deepEqual(left, [
      { type: DATA, source: LOCAL, interface: 7, flags: SOURCE_SET },
      { type: INITIATION, source: LOCAL, interface: 7, flags: SOURCE_SET },
      { type: INITIATION, source: NONE, interface: 0, flags: 0 },
    ]);
    network.filter = (datagram) => [datagram];
    network.advance(6000);
    a.input(there);
    assert.deepEqual(left.at(-1), { type: DATA, source: LOCAL, interface: 7, flags: SOURCE_SET });
    assert.ok(network.sent.every(({ datagram }) => datagram.from.port !== 1 || datagram.to.port === 2));
  });
});
