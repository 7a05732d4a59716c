/**
 * A Diffie-Hellman result of zeros is no secret: whoever sends a low-order point knows it in advance. Each message
 * here is right in all else, as a cheat with this very implementation writes it, and must change nothing.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CookieJar } from '../../src/core/cookie.js';
import { Handshake, Noise } from '../../src/core/noise.js';
import type { PrivateKey, Suite } from '../../src/core/suite.js';
import { createNobleSuite } from '../../src/crypto/noble.js';
import { type Datagram, ipPacket, type Network, type Node, pair, parseAddress, parsePrefix } from './simulator.js';
import { LOW_ORDER_POINTS } from './values.js';

const POINTS = LOW_ORDER_POINTS.map((point) => Uint8Array.from(Buffer.from(point, 'hex')));

const { suite } = createNobleSuite(new Uint8Array(64));
const there = ipPacket('10.0.0.1', '10.0.0.2', 50);
const elsewhere = { address: parseAddress('203.0.113.9'), port: 9 };
/** A TAI64N timestamp of long after the simulator's time. */
const LATER = Uint8Array.of(0x40, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0);

/** As a low-order point makes it: the result is zeros whatever the other key, and the cheat goes on. */
function lowOrder(publicKey: Uint8Array): PrivateKey {
  const dh = (_: Uint8Array, out: Uint8Array): boolean => {
    out.fill(0);
    return true;
  };
  return { publicKey, dh, destroy: () => {} };
}

/** A Noise whose ephemeral keys are `point`, or whose identity is, when it has no private key. */
function cheat(point: Uint8Array, privateKey?: Uint8Array): Noise {
  let keys = 0;
  const cheating: Suite = {
    ...suite,
    importPrivateKey: (key) => ((keys++ === 0) === !privateKey ? lowOrder(point) : suite.importPrivateKey(key)),
  };
  const noise = new Noise(cheating);
  noise.setIdentity(privateKey ?? new Uint8Array(32));
  return noise;
}

function initiation(noise: Noise, to: Node): Datagram {
  const bytes = new Uint8Array(148);
  assert.ok(noise.writeInitiation(new Handshake(), to.publicKey, bytes, LATER));
  bytes[0] = 1;
  new CookieJar(suite, to.publicKey).addMacs(bytes, 0);
  return { bytes, from: elsewhere, to: to.address, tos: 0 };
}

/** The response to `request` of the node `to`. */
function response(noise: Noise, request: Datagram, to: Node): Datagram {
  const handshake = new Handshake();
  assert.ok(noise.openStatic(request.bytes));
  assert.ok(noise.prepareStaticStatic(handshake, to.publicKey));
  assert.ok(noise.openTimestamp(request.bytes, handshake.staticStatic));
  noise.acceptInitiation(handshake, request.bytes, 0);
  const bytes = new Uint8Array(92);
  assert.ok(noise.writeResponse(handshake, to.publicKey, new Uint8Array(32), bytes));
  bytes[0] = 2;
  bytes.set(request.bytes.subarray(4, 8), 8);
  new CookieJar(suite, to.publicKey).addMacs(bytes, 0);
  return { bytes, from: elsewhere, to: to.address, tos: 0 };
}

/** The node drops the datagram as a bad handshake, and nothing else comes of it. */
function refuses(network: Network, node: Node, datagram: Datagram): void {
  const seen = (): unknown => ({
    peers: node.device.peers(),
    events: node.events.length,
    keys: node.keys.length,
    timeout: node.device.nextTimeout(),
    sent: network.sent.length,
    drops: { ...node.device.drops(), badHandshake: undefined },
  });
  const before = seen();
  const count = node.device.drops()['badHandshake'] ?? 0;
  node.receive(datagram);
  assert.deepEqual(seen(), before);
  assert.equal(node.device.drops()['badHandshake'], count + 1);
}

for (const backend of ['primitives', 'noble'] as const) {
  describe(`low-order points (${backend})`, () => {
    it('the cheat’s messages are right but for the point', () => {
      const { network, a, b } = pair({ backend });
      const honest = new Noise(suite);
      honest.setIdentity(a.privateKey);
      b.receive(initiation(honest, b));
      assert.equal(network.count(2), 1);
      network.filter = () => [];
      a.input(there);
      honest.setIdentity(b.privateKey);
      a.receive(response(honest, network.sent.at(-1)!.datagram, a));
      assert.ok(a.events.some(({ type }) => type === 'handshake-complete'));
    });

    it('as an initiation’s ephemeral key, of a known peer or of a stranger', () => {
      const { network, a, b } = pair({ backend });
      for (const point of POINTS) {
        refuses(network, b, initiation(cheat(point, a.privateKey), b));
        refuses(network, b, initiation(cheat(point, new Uint8Array(32).fill(72)), b));
      }
      a.input(there);
      network.advance(100);
      assert.deepEqual(b.delivered, [there], 'the timestamp of the refused ones was not kept');
    });

    it('as a response’s ephemeral key: the handshake in flight goes on', () => {
      const { network, a, b } = pair({ backend });
      network.filter = () => [];
      a.input(there);
      const request = network.sent.at(-1)!.datagram;
      for (const point of POINTS) refuses(network, a, response(cheat(point, b.privateKey), request, a));
      network.filter = (datagram) => [datagram];
      b.receive(request);
      network.advance(100);
      assert.deepEqual(b.delivered, [there]);
    });

    it('as the static key of a peer that is configured: anybody could speak for it', () => {
      const { network, b } = pair({ backend });
      for (const [i, publicKey] of POINTS.entries()) {
        const allowedIps = [parsePrefix(`10.1.0.${i}/32`)];
        const endpoint = { address: parseAddress('192.0.2.9'), port: 9 };
        b.device.configure({ peers: [{ publicKey, endpoint, allowedIps }] }, network.clock.now);
        refuses(network, b, initiation(cheat(publicKey), b));
      }
    });
  });
}
