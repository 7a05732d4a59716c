/** A device under a flood of handshakes: its cookies, its limit for each source, and the caps of its queues. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CookieJar } from '../../src/core/cookie.js';
import type { Endpoint } from '../../src/core/endpoint.js';
import { createNobleSuite } from '../../src/crypto/noble.js';
import { type Datagram, ipPacket, Network, type Node, pair, parseAddress, parsePrefix } from './simulator.js';

const INITIATION = 1;
const RESPONSE = 2;
const COOKIE_REPLY = 3;
const DATA = 4;
// The numbers of the protocol and of constants.ts, again.
const QUEUE_SIZE = 1024;
const UNDER_LOAD_FROM = 128;
const MAX_REPLIES = 8;
const MAX_EVENTS = 1024;

const { suite } = createNobleSuite(new Uint8Array(64));
const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const elsewhere: Endpoint = { address: parseAddress('203.0.113.9'), port: 9 };

function last(network: Network, type: number): Datagram {
  return network.sent.filter(({ datagram }) => datagram.bytes[0] === type).at(-1)!.datagram;
}

function dropped(node: Node, reason: string): number {
  return node.device.drops()[reason] ?? 0;
}

/** An initiation without a valid mac1. */
function garbage(to: Node, from = elsewhere): Datagram {
  const bytes = new Uint8Array(148).fill(7);
  bytes.set([INITIATION, 0, 0, 0]);
  return { bytes, from, to: to.address, tos: 0 };
}

/** The same with one: without load it takes a place in the queue, and leads to nothing. */
function withMac1(to: Node, from = elsewhere): Datagram {
  const datagram = garbage(to, from);
  const jar = new CookieJar(suite, to.publicKey);
  jar.addMacs(datagram.bytes, 0);
  jar.destroy();
  return datagram;
}

function flood(node: Node, count = UNDER_LOAD_FROM): void {
  const initiation = withMac1(node);
  for (let i = 0; i < count; i++) node.enqueue(initiation);
  node.device.processHandshakes(count, node.clock.now);
  node.flush();
}

/** Somebody who knows a node's public key: its initiations get as far as the first decryption, `badHandshake`. */
class Stranger {
  readonly #jar: CookieJar;
  readonly #initiation: Datagram;
  readonly #network: Network;
  readonly #target: Node;

  constructor(network: Network, target: Node, address: string, port: number) {
    this.#network = network;
    this.#target = target;
    this.#jar = new CookieJar(suite, target.publicKey);
    this.#initiation = garbage(target, { address: parseAddress(address), port });
  }

  /** Sends an initiation. @returns whether the target looked at what is in it */
  initiate(): boolean {
    this.#jar.addMacs(this.#initiation.bytes, this.#network.clock.now);
    const before = dropped(this.#target, 'badHandshake');
    this.#target.receive(this.#initiation);
    return dropped(this.#target, 'badHandshake') === before + 1;
  }

  /** Sends an initiation to a target under load, and takes the cookie that it answers with. */
  withCookie(): this {
    const replies = this.#network.count(COOKIE_REPLY);
    assert.equal(this.initiate(), false);
    assert.equal(this.#network.count(COOKIE_REPLY), replies + 1);
    assert.ok(this.#jar.consumeReply(last(this.#network, COOKIE_REPLY).bytes, this.#network.clock.now));
    return this;
  }
}

function target(): { network: Network; node: Node; stranger: (address: string, port?: number) => Stranger } {
  const network = new Network();
  const node = network.add('192.0.2.2', 2);
  return { network, node, stranger: (address, port = 7) => new Stranger(network, node, address, port) };
}

const burst = (stranger: Stranger, count: number): number =>
  Array.from({ length: count }, () => stranger.initiate()).filter(Boolean).length;

describe('cookie replies', () => {
  it('never move an endpoint, neither a good one nor a forged one', () => {
    const { network, a, b } = pair();
    network.filter = () => [];
    flood(b);
    a.input(there);
    b.receive(last(network, INITIATION));
    const reply = last(network, COOKIE_REPLY);
    const forged = reply.bytes.slice();
    forged[63]! ^= 1;
    a.receive({ ...reply, bytes: forged, from: elsewhere });
    assert.equal(dropped(a, 'badCookie'), 1);
    a.receive({ ...reply, from: elsewhere });
    assert.equal(dropped(a, 'badCookie'), 1);
    assert.deepEqual(a.events, []);
    network.advance(6000);
    const again = last(network, INITIATION);
    assert.ok(
      again.bytes.subarray(132).some((byte) => byte !== 0),
      'the cookie was taken',
    );
    assert.deepEqual([again.to.address, again.to.port], [b.address.address, b.address.port]);
    const [status] = a.device.peers();
    assert.deepEqual([status!.endpoint!.port, status!.rxBytes], [b.address.port, 0]);
  });
});

describe('handshakes of one source under load', () => {
  it('5 at once, then 20 a second, however many ports it has', () => {
    const { network, node, stranger } = target();
    flood(node);
    const ports = [7, 8, 9].map((port) => stranger('198.51.100.1', port).withCookie());
    assert.deepEqual(
      ports.map((each) => burst(each, 3)),
      [3, 2, 0],
    );
    assert.equal(dropped(node, 'rateLimited'), 4);
    let looked = 0;
    for (let ms = 0; ms < 3000; ms += 10) {
      if (ms % 500 === 0) flood(node);
      network.advance(10);
      looked += burst(ports[(ms / 10) % 3]!, 1);
    }
    assert.equal(looked, 60);
  });

  it('an IPv4 source is a /32, an IPv6 source a /64, and the families are apart', () => {
    const { node, stranger } = target();
    flood(node);
    const looked = (address: string): number => burst(stranger(address).withCookie(), 6);
    assert.equal(looked('192.0.2.1'), 5);
    assert.equal(looked('192.0.2.3'), 5, 'a neighbour');
    assert.equal(looked('c000:201::'), 5, 'the bytes of 192.0.2.1');
    assert.equal(looked('2001:db8::1'), 5);
    assert.equal(looked('2001:db8::ffff:0:0:2'), 0, 'the same /64');
    assert.equal(looked('2001:db8:0:1::1'), 5, 'the next one');
  });

  it('have no limit, and need no cookie, without load', () => {
    const { network, node, stranger } = target();
    assert.equal(burst(stranger('198.51.100.1'), 50), 50);
    assert.equal(network.count(COOKIE_REPLY), 0);
    flood(node);
    const one = stranger('198.51.100.1').withCookie();
    assert.equal(burst(one, 6), 5, 'what came before was not counted');
    network.advance(1000);
    assert.equal(burst(one, 50), 50);
  });
});

describe('the handshake queue', () => {
  it('holds 1024; what comes then is dropped, counted, and a sign of load', () => {
    const { network, a, b } = pair();
    network.filter = () => [];
    a.input(there);
    b.enqueue(last(network, INITIATION));
    const initiation = withMac1(b);
    for (let i = 1; i < QUEUE_SIZE + 77; i++) {
      b.enqueue(initiation);
      // Nothing is worked off, but what is this old tells of no load.
      network.clock.advance(1000);
    }
    assert.equal(dropped(b, 'handshakeQueueFull'), 77);
    const now = network.clock.now;
    assert.ok(!b.device.isUnderLoad(now));
    b.enqueue(initiation);
    assert.ok(b.device.isUnderLoad(now + 999) && !b.device.isUnderLoad(now + 1000));
    assert.equal(dropped(b, 'handshakeQueueFull'), 78);
    assert.equal(b.device.processHandshakes(24, network.clock.now), QUEUE_SIZE - 24);
    assert.equal(b.device.processHandshakes(5000, network.clock.now), 0);
    assert.equal(dropped(b, 'badHandshake'), QUEUE_SIZE - 1);
    b.flush();
    assert.equal(network.count(RESPONSE), 1, 'the first in was not overwritten');
  });

  it('tells of load from an eighth on, and for a second after', () => {
    const { network, node } = target();
    flood(node, UNDER_LOAD_FROM - 1);
    const { now } = network.clock;
    assert.ok(!node.device.isUnderLoad(now));
    flood(node, UNDER_LOAD_FROM);
    assert.ok(node.device.isUnderLoad(now + 999) && !node.device.isUnderLoad(now + 1000));
  });

  it('goes round: a message and its source stay together across the end', () => {
    const { network, a, b } = pair();
    const c = network.add('192.0.2.3', 3);
    c.add(b, ['10.0.0.2/32']);
    b.add(c, ['10.0.0.3/32'], { endpoint: false });
    network.filter = () => [];
    for (let i = 0; i < QUEUE_SIZE - 1; i++) flood(b, 1);
    for (const node of [a, c]) {
      node.input(there);
      b.enqueue(last(network, INITIATION));
    }
    b.device.processHandshakes(2, network.clock.now);
    b.flush();
    const responses = network.sent.filter(({ datagram }) => datagram.bytes[0] === RESPONSE);
    assert.deepEqual(
      responses.map(({ datagram }) => datagram.to.port),
      [1, 3],
    );
  });
});

describe('a flood of initiations', () => {
  it('without a valid mac1 takes no place in the queue, and is no load', () => {
    const { network, node } = target();
    for (let i = 0; i < 10 * UNDER_LOAD_FROM; i++) node.enqueue(garbage(node));
    assert.equal(node.device.processHandshakes(0, network.clock.now), 0);
    assert.ok(!node.device.isUnderLoad(network.clock.now));
    assert.equal(dropped(node, 'badMac1'), 10 * UNDER_LOAD_FROM);
    assert.equal(network.sent.length, 0);
  });

  it('with one, but without a cookie, takes none under load, and is load as long as it lasts', () => {
    const { network, node, stranger } = target();
    flood(node);
    const one = stranger('203.0.113.9', 9).withCookie();
    const initiation = withMac1(node);
    for (let ms = 0; ms < 5000; ms++) {
      network.clock.advance(1);
      node.enqueue(initiation);
    }
    assert.equal(dropped(node, 'underLoad'), 5001, 'one of them the stranger’s');
    assert.equal(dropped(node, 'badHandshake'), UNDER_LOAD_FROM);
    assert.equal(node.device.processHandshakes(0, network.clock.now), 0);
    assert.ok(one.initiate(), 'who has a cookie is let in, even from where the flood comes from');
    network.clock.advance(1000);
    assert.ok(!node.device.isUnderLoad(network.clock.now));
  });

  it('is load no longer when hardly any of them come', () => {
    const { network, node } = target();
    flood(node);
    const initiation = withMac1(node);
    for (let i = 0; i < UNDER_LOAD_FROM - 1; i++) node.enqueue(initiation);
    assert.equal(dropped(node, 'underLoad'), UNDER_LOAD_FROM - 1);
    network.clock.advance(1000);
    assert.ok(!node.device.isUnderLoad(network.clock.now));
  });

  it('from one place gets one cookie reply at a time, from many at most 8', () => {
    const { network, node } = target();
    flood(node);
    const repliesTo = (datagrams: readonly Datagram[]): Endpoint[] => {
      const before = network.sent.length;
      for (const datagram of datagrams) node.enqueue(datagram);
      node.flush();
      return network.sent.slice(before).map(({ datagram }) => {
        assert.equal(datagram.bytes[0], COOKIE_REPLY);
        return datagram.to;
      });
    };
    const many = Array.from({ length: 200 }, () => withMac1(node));
    const other = { ...elsewhere, port: 10 };
    assert.deepEqual(
      repliesTo([...many, withMac1(node, other), ...many])
        .map(({ port }) => port)
        .sort(),
      [10, 9],
    );
    assert.equal(repliesTo(many).length, 1, 'and again after those were sent');
    assert.equal(repliesTo([garbage(node), ...many]).length, 1, 'but not for a wrong mac1');
    const ports = Array.from({ length: 100 }, (_, i) => 1000 + i);
    const replies = repliesTo(ports.map((port) => withMac1(node, { ...elsewhere, port })));
    assert.deepEqual(replies.map(({ port }) => port).sort(), ports.slice(0, MAX_REPLIES));
    assert.equal(dropped(node, 'underLoad'), 401 + 200 + 200 + 100);
  });
});

describe('events that nobody fetches', () => {
  it('are kept up to 1024, the oldest; those of a configuration come on top', () => {
    const { network, a, b } = pair();
    a.input(there);
    network.advance(100);
    b.events.length = 0;
    const { pollEvent } = b.device;
    b.device.pollEvent = () => undefined;
    network.filter = () => [];
    for (let port = 1; port <= MAX_EVENTS + 50; port++) {
      a.input(there);
      b.receive({ ...last(network, DATA), from: { ...a.address, port: 1000 + port } });
    }
    assert.equal(b.delivered.length, 1 + MAX_EVENTS + 50);
    const publicKey = new Uint8Array(32).fill(9);
    b.device.configure({ peers: [{ publicKey, allowedIps: [parsePrefix('10.0.0.1/32')] }] }, network.clock.now);
    b.device.pollEvent = pollEvent;
    b.flush();
    assert.equal(b.events.length, MAX_EVENTS + 1);
    const ports = b.events.map((event) => (event.type === 'endpoint-changed' ? event.endpoint!.port : event.type));
    assert.deepEqual([ports[0], ports[MAX_EVENTS - 1], ports[MAX_EVENTS]], [1001, 1000 + MAX_EVENTS, 'prefix-moved']);
    a.input(there);
    b.receive(last(network, DATA));
    assert.equal(b.events.length, MAX_EVENTS + 2, 'and there is place again');
  });
});
