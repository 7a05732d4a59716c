/** The traps of the protocol, one by one; the numbers are those of docs and paper. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Datagram, ipPacket, Network, pair, parseAddress, parsePrefix, seeded } from './simulator.js';
import { LOW_ORDER_POINTS } from './values.js';

const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const back = ipPacket('10.0.0.2', '10.0.0.1', 50);

/** The last datagram that `node` sent of a type. */
function last(network: Network, type: number): Datagram {
  return network.sent.filter(({ datagram }) => datagram.bytes[0] === type).at(-1)!.datagram;
}

function altered(datagram: Datagram, change: (bytes: Uint8Array) => void): Datagram {
  const bytes = datagram.bytes.slice();
  change(bytes);
  return { ...datagram, bytes };
}

describe('traps', () => {
  it('1: a counter is marked only after the tag was found right, and counts once', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    network.filter = () => [];
    a.input(there);
    const data = last(network, 4);
    b.receive(altered(data, (bytes) => (bytes[bytes.length - 1]! ^= 1)));
    assert.equal(b.device.drops()['badTag'], 1);
    b.receive(data);
    b.receive(data);
    assert.equal(b.delivered.length, 2);
    assert.equal(b.device.drops()['replayed'], 1);
  });

  it('2: nothing unauthentic changes the endpoint or the handshake in flight', () => {
    const { network, a, b } = pair();
    const elsewhere = { address: parseAddress('203.0.113.9'), port: 9 };
    let held: Datagram | undefined;
    network.filter = (datagram) => {
      if (datagram.bytes[0] !== 2) return [datagram];
      held = datagram;
      return [];
    };
    a.input(there);
    network.advance(10);
    const response = held!;
    a.receive({ ...altered(response, (bytes) => (bytes[20]! ^= 1)), from: elsewhere });
    network.filter = (datagram) => [datagram];
    a.receive(response);
    network.advance(100);
    assert.deepEqual(b.delivered, [there]);
    const data = last(network, 4);
    b.receive({ ...altered(data, (bytes) => (bytes[30]! ^= 1)), from: elsewhere });
    b.input(back);
    network.advance(100);
    assert.deepEqual(a.delivered, [back]);
  });

  it('3: an authentic packet roams, also when its inner source is refused', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    a.address = { address: parseAddress('198.51.100.7'), port: 77 };
    a.input(ipPacket('10.9.9.9', '10.0.0.2', 5));
    network.advance(100);
    assert.equal(b.device.drops()['badSource'], 1);
    b.input(back);
    network.advance(100);
    assert.deepEqual(a.delivered, [back]);
    assert.ok(b.events.some((event) => event.type === 'endpoint-changed'));
  });

  it('4: the responder sends with the new keypair only after data confirmed it', () => {
    const { network, a, b } = pair();
    b.add(a, []);
    network.filter = (datagram) => (datagram.bytes[0] === 4 ? [] : [datagram]);
    a.input(there);
    network.advance(100);
    const from = network.sent.length;
    b.input(back);
    network.advance(1);
    assert.deepEqual(
      network.sent.slice(from).filter(({ datagram }) => datagram.bytes[0] === 4),
      [],
    );
  });

  it('8: garbage and a bad mac1 get silence', () => {
    const { network, a, b } = pair();
    a.input(there);
    const initiation = last(network, 1);
    const from = network.sent.length;
    b.receive(altered(initiation, (bytes) => (bytes[116]! ^= 1)));
    const random = seeded(5);
    for (let length = 0; length < 300; length++) {
      b.receive({ ...initiation, bytes: Uint8Array.from({ length }, () => random() * 256) });
    }
    assert.equal(network.sent.length, from);
    assert.equal(b.device.drops()['badMac1'], 1);
    const drops = Object.values(b.device.drops()).reduce((sum, count) => sum + count, 0);
    assert.equal(drops, 301);
  });

  it('9: an initiation counts once, and a clock set back locks nobody out', () => {
    const { network, a, b } = pair();
    a.input(there);
    const initiation = last(network, 1);
    network.advance(100);
    b.receive(initiation);
    assert.equal(b.device.drops()['replayedHandshake'], 1);
    network.clock.wall -= 3_600_000;
    network.advance(200_000);
    a.input(there);
    network.advance(100);
    assert.equal(b.delivered.length, 2);
  });

  it('11: indices of replaced handshakes are freed: 10,000 initiations later others still work', () => {
    const { network, a, b } = pair();
    for (let i = 0; i < 200; i++) {
      network.advance(6000);
      a.input(there);
      a.device.configure({ privateKey: a.privateKey.map((byte, at) => (at === 5 ? i : byte)) }, network.clock.now);
    }
    a.device.configure({ privateKey: a.privateKey }, network.clock.now);
    network.advance(10_000);
    b.delivered.length = 0;
    a.input(there);
    network.advance(100);
    assert.ok(b.delivered.length >= 1);
  });

  it('12: low-order public keys can be configured, and nothing is sent to them', () => {
    const network = new Network();
    const a = network.add('192.0.2.1', 1);
    for (const [i, point] of LOW_ORDER_POINTS.entries()) {
      const publicKey = Uint8Array.from(Buffer.from(point, 'hex'));
      const allowedIps = [parsePrefix(`10.1.0.${i}/32`)];
      const endpoint = { address: parseAddress('192.0.2.9'), port: 9 };
      a.device.configure({ peers: [{ publicKey, endpoint, allowedIps }] }, network.clock.now);
      a.input(ipPacket('10.0.0.1', `10.1.0.${i}`, 1));
    }
    network.advance(200_000);
    assert.equal(a.device.peerCount, LOW_ORDER_POINTS.length);
    assert.equal(network.sent.length, 0);
  });

  it('13: a preshared key is mixed in; a wrong one admits nobody', () => {
    const good = pair({ psk: new Uint8Array(32).fill(7) });
    good.a.input(there);
    good.network.advance(100);
    assert.deepEqual(good.b.delivered, [there]);
    const bad = pair({ psk: new Uint8Array(32).fill(7) });
    bad.b.add(bad.a, [], { psk: new Uint8Array(32).fill(8), endpoint: false });
    bad.a.input(there);
    bad.network.advance(100);
    assert.deepEqual(bad.b.delivered, []);
    assert.equal(bad.a.device.drops()['badHandshake'], 1);
  });

  it('14: a prefix given to a second peer moves to it, and the event says so', () => {
    const { network, a, b } = pair();
    const c = network.add('192.0.2.3', 3);
    a.add(c, ['10.0.0.2/32']);
    assert.deepEqual(
      a.events.map((event) => event.type),
      ['prefix-moved'],
    );
    a.input(there);
    network.advance(100);
    assert.equal(b.delivered.length, 0);
  });

  it('15: the inner packet is trimmed by its own length', () => {
    const { network, a, b } = pair();
    for (const payload of [0, 1, 11, 12, 13, 27, 28]) {
      const packet = ipPacket('10.0.0.1', '10.0.0.2', payload);
      a.input(packet);
      network.advance(20);
      assert.deepEqual(b.delivered.at(-1), packet);
    }
    const lengths = network.sent.filter(({ datagram }) => datagram.bytes[0] === 4);
    assert.ok(lengths.every(({ datagram }) => datagram.bytes.length % 16 === 0));
  });

  it('16: our own public key is silently no peer, in either order', () => {
    const { network, a, b } = pair();
    a.add(a, ['10.5.0.0/16']);
    assert.equal(a.device.peerCount, 1);
    b.device.configure({ peers: [{ publicKey: a.publicKey }] }, network.clock.now);
    b.device.configure({ privateKey: a.privateKey }, network.clock.now);
    assert.equal(b.device.peerCount, 0);
  });

  it('17: a private key is clamped when set, zeros clear it', () => {
    const { network, a } = pair();
    a.device.configure({ privateKey: new Uint8Array(32).fill(255) }, network.clock.now);
    const shown = a.device.status().privateKey!;
    assert.equal(shown[0], 248);
    assert.equal(shown[31], 127);
    a.device.configure({ privateKey: new Uint8Array(32) }, network.clock.now);
    assert.equal(a.device.status().privateKey, undefined);
  });

  it('19: ECN is copied, nothing else of the TOS; handshakes carry 0x88', () => {
    const { network, a, b } = pair();
    const packet = ipPacket('10.0.0.1', '10.0.0.2', 10, 0xba);
    a.input(packet);
    network.advance(100);
    assert.equal(last(network, 1).tos, 0x88);
    assert.equal(last(network, 2).tos, 0x88);
    const data = network.sent.filter(({ datagram }) => datagram.bytes[0] === 4 && datagram.bytes.length > 32);
    assert.equal(data[0]!.datagram.tos, 2);
    network.filter = (datagram) => [{ ...datagram, tos: 3 }];
    a.input(packet);
    network.advance(100);
    const marked = b.delivered.at(-1)!;
    assert.equal(marked[1], 0xbb);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += (marked[i]! << 8) | marked[i + 1]!;
    assert.equal((sum & 0xffff) + (sum >>> 16), 0xffff, 'the header checksum followed');
    a.input(there);
    network.advance(100);
    assert.equal(b.device.drops()['ecn'], 1);
  });

  it('20: no peer or no endpoint is told to the sender by ICMP, rate-limited', () => {
    const { a, b } = pair();
    a.input(ipPacket('10.0.0.1', '10.77.0.1', 30));
    const error = a.delivered[0]!;
    assert.deepEqual([error[9], error[20], error[21]], [1, 3, 1]);
    assert.deepEqual([...error.subarray(12, 20)], [10, 77, 0, 1, 10, 0, 0, 1]);
    a.input(ipPacket('fd00::1', 'fd00::77', 30));
    assert.deepEqual([a.delivered[1]![6], a.delivered[1]![40], a.delivered[1]![41]], [58, 1, 3]);
    b.input(back);
    assert.equal(b.delivered.length, 1);
    assert.equal(b.device.drops()['noEndpoint'], 1);
    for (let i = 0; i < 200; i++) a.input(ipPacket('10.0.0.1', '10.77.0.1', 30));
    assert.ok(a.delivered.length < 30);
    assert.ok(a.device.drops()['icmpLimited']! > 150);
    const count = a.delivered.length;
    a.input(ipPacket('10.0.0.1', '224.0.0.1', 30));
    assert.equal(a.delivered.length, count);
  });

  it('21: under load a cookie is asked for, answered, and lets the handshake through', () => {
    const { network, a, b } = pair();
    const flood = network.add('198.51.100.1', 66);
    flood.add(b, ['10.0.0.2/32']);
    flood.input(there);
    const initiation = last(network, 1);
    const load = (): void => {
      const batch = 200;
      for (let i = 0; i < batch; i++) b.enqueue(initiation);
      b.device.processHandshakes(batch, network.clock.now);
    };
    load();
    assert.ok(b.device.isUnderLoad(network.clock.now));
    a.input(there);
    network.advance(10);
    assert.ok(network.count(3) >= 1, 'a cookie reply');
    for (let t = 0; t < 12; t++) {
      load();
      b.flush();
      network.advance(500);
    }
    assert.deepEqual(b.delivered, [there]);
  });

  it('24: keys do not survive down', () => {
    const { network, a } = pair();
    a.input(there);
    network.advance(100);
    a.device.setUp(false);
    assert.equal(a.device.nextTimeout(), Number.POSITIVE_INFINITY);
    a.device.setUp(true);
    a.input(there);
    network.advance(100);
    assert.equal(network.count(1), 2);
  });

  it('25: any MTU is survived, and padding stays within it', () => {
    for (const mtu of [0, 1, 68, 576, 1280, 1420, 65535]) {
      const { network, a, b } = pair();
      a.device.setMtu(mtu);
      const from = network.sent.length;
      for (let payload = 0; payload < 60; payload++) a.input(ipPacket('10.0.0.1', '10.0.0.2', payload));
      network.advance(100);
      assert.equal(b.delivered.length, 60, `mtu ${mtu}`);
      for (const { datagram } of network.sent.slice(from)) {
        if (datagram.bytes[0] === 4 && datagram.from.port === 1) {
          assert.ok(datagram.bytes.length - 32 <= Math.max(mtu, 80));
        }
      }
    }
  });

  it('128 packets are staged for a peer, the oldest make way', () => {
    const { network, a, b } = pair();
    network.filter = () => [];
    for (let i = 0; i < 200; i++) a.input(ipPacket('10.0.0.1', '10.0.0.2', i));
    assert.equal(a.device.drops()['stagedFull'], 72);
    network.filter = (datagram) => [datagram];
    network.advance(6000);
    assert.deepEqual(
      b.delivered.map((packet) => packet.length - 20),
      Array.from({ length: 128 }, (_, i) => i + 72),
    );
  });

  it('a wire that loses, reorders, repeats and corrupts costs packets, never the tunnel', () => {
    const { network, a, b } = pair();
    const random = seeded(42);
    network.filter = (datagram) => {
      const roll = random();
      if (roll < 0.1) return [];
      if (roll < 0.2) return [datagram, datagram];
      if (roll < 0.3)
        return [altered(datagram, (bytes) => (bytes[Math.floor(random() * bytes.length)]! ^= 1 + random() * 255))];
      if (roll < 0.4) {
        network.post(datagram, 50 * random());
        return [];
      }
      return [datagram];
    };
    for (let i = 0; i < 3000; i++) {
      a.input(ipPacket('10.0.0.1', '10.0.0.2', i % 1000));
      b.input(ipPacket('10.0.0.2', '10.0.0.1', i % 1000));
      network.advance(200);
    }
    assert.ok(a.delivered.length > 2000 && b.delivered.length > 2000, `${a.delivered.length} ${b.delivered.length}`);
    assert.ok(new Set(b.delivered.map((packet) => packet.length)).size > 900);
    network.filter = (datagram) => [datagram];
    network.advance(30_000);
    const before = b.delivered.length;
    a.input(there);
    network.advance(6000);
    assert.equal(b.delivered.length, before + 1);
  });
});
