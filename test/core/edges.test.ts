/** Edges of the protocol that a changed core would slip over: each of these failed for such a change. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Datagram, ipPacket, type Network, pair, parseAddress } from './simulator.js';

const INITIATION = 1;
const DATA = 4;
const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

function sent(network: Network, type: number, port: number): Datagram[] {
  return network.sent
    .map(({ datagram }) => datagram)
    .filter(({ bytes, from }) => bytes[0] === type && from.port === port);
}

describe('edges', () => {
  it('an initiator that was silent asks for a new session when it receives from 165 s on, once', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(164_000);
    b.input(back);
    network.advance(500);
    assert.equal(network.count(INITIATION), 1);
    network.filter = (datagram) => (datagram.bytes[0] === INITIATION ? [] : [datagram]);
    network.advance(1500);
    b.input(back);
    network.advance(100);
    assert.equal(network.count(INITIATION), 2);
    network.advance(4910);
    b.input(back);
    network.advance(2);
    assert.equal(network.count(INITIATION), 2, 'the next one is the retransmission, with its jitter');
    network.advance(400);
    assert.equal(network.count(INITIATION), 3);
  });

  it('a responder that receives from 165 s on does not', () => {
    const { network, a, b } = pair();
    b.add(a, []);
    a.input(there);
    network.advance(166_000);
    network.filter = (datagram) => (datagram.bytes[0] === INITIATION ? [] : [datagram]);
    a.input(there);
    network.advance(1000);
    assert.equal(b.delivered.length, 2);
    assert.equal(sent(network, INITIATION, 2).length, 0);
  });

  it('a source that is another peer’s is refused, and counted', () => {
    const { network, a, b } = pair();
    const c = network.add('192.0.2.3', 3);
    b.add(c, ['10.0.0.3/32']);
    a.input(ipPacket('10.0.0.3', '10.0.0.2', 9));
    network.advance(100);
    assert.deepEqual(b.delivered, []);
    assert.equal(b.device.drops()['badSource'], 1);
  });

  it('padding is zeros, whatever lay behind the packet, and stays within the MTU', () => {
    const { network, a, b } = pair();
    a.arena.fill(0xff);
    a.input(there);
    network.advance(100);
    // The simulator's place for what arrives: the message's header of 16 bytes, then the packet, opened in place.
    const at = 64 * 2048 + 64 + 16;
    assert.deepEqual(
      b.arena.subarray(at, at + 80),
      Uint8Array.from({ length: 80 }, (_, i) => there[i] ?? 0),
    );
    for (const mtu of [1280, 1283, 1420]) {
      a.device.setMtu(mtu);
      a.input(ipPacket('10.0.0.1', '10.0.0.2', mtu - 20 - 3));
      network.advance(10);
      const { bytes } = sent(network, DATA, 1).at(-1)!;
      assert.ok(bytes.length - 32 <= mtu && bytes.length - 32 >= mtu - 3, `${bytes.length} bytes at MTU ${mtu}`);
      assert.equal(b.delivered.at(-1)!.length, mtu - 3);
    }
  });

  it('our own datagram does not go back into the tunnel it came from, nor around a circle of two', () => {
    const { network, a } = pair();
    const c = network.add('192.0.2.3', 3);
    a.add(c, ['10.0.0.3/32']);
    c.add(a, ['10.0.0.1/32'], { endpoint: false });
    a.input(there, ipPacket('10.0.0.1', '10.0.0.3', 50));
    network.advance(100);
    const [toB, toC] = [2, 3].map((port) => sent(network, DATA, 1).filter(({ to }) => to.port === port)[0]!);
    /** The datagram as the kernel would route it into the tunnel to `host`. */
    const inside = (datagram: Datagram, host: string): Uint8Array => {
      const packet = ipPacket('10.0.0.1', host, 8 + datagram.bytes.length);
      packet[9] = 17;
      packet.set([0, 1, 0, 2, 0, 0, 0, 0], 20);
      packet.set(datagram.bytes, 28);
      return packet;
    };
    const loops = (): number => a.device.drops()['loop'] ?? 0;
    a.input(inside(toB!, '10.0.0.2'));
    assert.equal(loops(), 1);
    a.input(inside(toB!, '10.0.0.3'));
    assert.equal(loops(), 1, 'a tunnel in another one is fine');
    a.input(inside(toC!, '10.0.0.2'));
    assert.equal(loops(), 2, 'and that one in the first is a circle');
    network.advance(1500);
    a.input(inside(toC!, '10.0.0.2'));
    assert.equal(loops(), 2, 'unless it was a while ago');
  });

  it('an endpoint moves by address alone, and by port alone', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    for (const address of [
      { address: parseAddress('192.0.2.1'), port: 9 },
      { address: parseAddress('192.0.2.77'), port: 9 },
    ]) {
      a.address = address;
      a.input(there);
      network.advance(10);
      b.input(back);
      assert.deepEqual({ ...network.sent.at(-1)!.datagram.to, scopeId: undefined }, { ...address, scopeId: undefined });
      network.advance(10);
    }
  });
});
