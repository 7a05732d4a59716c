/** Changes and peers on their way between the threads. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type {
  AllowedIpChange,
  DeviceChange,
  PeerChange,
  PeerStatus,
  StreamedPeerChange,
} from '../../src/core/change.js';
import { Device, type DeviceEvent } from '../../src/core/device.js';
import { createNobleSuite } from '../../src/crypto/noble.js';
import { decodeChange, decodeStatus, encodeChange, StatusEncoder } from '../../src/engine/codec.js';
import { randomBytes, seeded } from '../core/values.js';

const random = seeded(2026);
const fill = randomBytes(random);
const below = (limit: number): number => Math.floor(random() * limit);
const maybe = (): boolean => random() < 0.5;

function bytes(length: number): Uint8Array {
  const out = new Uint8Array(length);
  fill(out);
  return out;
}

function somePrefix(): AllowedIpChange {
  const address = bytes(maybe() ? 4 : 16);
  const cidr = below(address.length * 8 + 1);
  for (let bit = cidr; bit < address.length * 8; bit++) address[bit >> 3]! &= ~(0x80 >> (bit & 7));
  return random() < 0.2 ? { address, cidr, remove: true } : { address, cidr };
}

function somePeer(): PeerChange {
  return {
    publicKey: bytes(32),
    ...(random() < 0.1 && { remove: true }),
    ...(random() < 0.1 && { updateOnly: true }),
    ...(maybe() && { presharedKey: bytes(32) }),
    ...(maybe() && { endpoint: { address: bytes(maybe() ? 4 : 16), port: below(65536), scopeId: below(2 ** 32) } }),
    ...(maybe() && { persistentKeepaliveInterval: below(65536) }),
    ...(maybe() && { replaceAllowedIps: true }),
    allowedIps: Array.from({ length: below(5) }, somePrefix),
  };
}

function someChange(peers: number): DeviceChange {
  return {
    ...(maybe() && { privateKey: bytes(32) }),
    ...(maybe() && { listenPort: below(65536) }),
    ...(maybe() && { fwmark: below(2 ** 32) }),
    ...(maybe() && { replacePeers: true }),
    peers: Array.from({ length: peers }, somePeer),
  };
}

/** What is absent and what is false are the same; views become copies. */
function plain(peer: StreamedPeerChange): object {
  const { remove = false, updateOnly = false, replaceAllowedIps = false, ...rest } = peer;
  const allowedIps = [...(peer.allowedIps ?? [])].map((ip) => ({ ...ip, address: ip.address.slice() }));
  return structuredClone({ ...rest, remove, updateOnly, replaceAllowedIps, allowedIps });
}

function device(): Device {
  const arena = new Uint8Array(4096);
  return new Device({ suite: createNobleSuite(arena).suite, arena, wallTimeMs: () => 0 });
}

function drain(of: Device): DeviceEvent[] {
  const events: DeviceEvent[] = [];
  for (let event = of.pollEvent(); event; event = of.pollEvent()) events.push(event);
  return events;
}

describe('codec', () => {
  it('gives a change back as it was', () => {
    for (let run = 0; run < 200; run++) {
      const change = someChange(below(8));
      const decoded = decodeChange(encodeChange(change));
      const { peers = [], ...rest } = decoded.change;
      const { peers: _, ...expected } = change;
      assert.deepEqual(rest, { ...expected, replacePeers: change.replacePeers ?? false });
      assert.equal(decoded.peers, change.peers!.length);
      assert.equal(
        decoded.prefixes,
        change.peers!.reduce((sum, peer) => sum + peer.allowedIps!.length, 0),
      );
      // Every other run nobody looks at the prefixes of some peers.
      const found = [...peers].length;
      assert.equal(found, change.peers!.length, 'peers whose prefixes were not read');
      const read: object[] = [];
      for (const peer of decodeChange(encodeChange(change)).change.peers ?? []) read.push(plain(peer));
      assert.deepEqual(read, change.peers!.map(plain));
    }
  });

  it('an empty change is one', () => {
    const { change, peers, prefixes } = decodeChange(encodeChange({}));
    assert.deepEqual(
      [peers, prefixes, change.privateKey, change.listenPort, change.fwmark],
      [0, 0, undefined, undefined, undefined],
    );
    assert.deepEqual([...change.peers!], []);
  });

  it('a change that came as bytes does what it does as objects', () => {
    const one = device();
    const other = device();
    const known: PeerChange[] = [];
    let moves = 0;
    for (let run = 0; run < 60; run++) {
      const change = someChange(6);
      const peers = change.peers!.map((peer) =>
        known.length > 3 && maybe()
          ? {
              ...peer,
              publicKey: known[below(known.length)]!.publicKey,
              // Whoever has them loses them.
              allowedIps: known.flatMap(({ allowedIps = [] }) => allowedIps).slice(-8),
            }
          : peer,
      );
      known.push(...peers);
      one.configure({ ...change, peers }, run);
      const message = encodeChange({ ...change, peers });
      const decoded = decodeChange(message);
      assert.ok(other.hasRoom(decoded.peers, decoded.prefixes, decoded.change.replacePeers));
      const steps = other.configuring(decoded.change, run);
      while (!steps.next().done);
      // What is told of a change outlives the message that it came in.
      new Uint8Array(message).fill(0);
      const told = drain(other);
      moves += told.length;
      assert.deepEqual(told, drain(one));
      assert.deepEqual(other.peers(), one.peers());
      assert.deepEqual(other.status(), one.status());
    }
    assert.ok(moves > 20);
  });

  it('reads peers in chunks, however many prefixes they have', () => {
    const subject = device();
    const prefixes = Array.from({ length: 5000 }, (_, i) => ({
      address: Uint8Array.of(10, 0, i >> 8, i & 255),
      cidr: 32,
    }));
    subject.configure(
      { peers: [...Array.from({ length: 300 }, somePeer), { publicKey: bytes(32), allowedIps: prefixes }, somePeer()] },
      0,
    );
    const expected = subject.peers();
    for (const [peers, size] of [
      [1, 1024],
      [256, 32_768],
      [1000, 2 ** 20],
    ] as const) {
      const found: PeerStatus[] = [];
      const encoder = new StatusEncoder(subject);
      for (let message = encoder.next(peers, size); message; message = encoder.next(peers, size)) {
        assert.equal(message.byteLength, size, 'no message grows, whatever a peer has');
        const chunk = decodeStatus(message, found.at(-1));
        assert.ok(chunk.length <= peers);
        found.push(...chunk);
      }
      assert.equal(found.length, expected.length);
      for (const [i, peer] of found.entries()) {
        const scoped = expected[i]!.endpoint;
        assert.deepEqual(structuredClone(peer), {
          ...expected[i]!,
          ...(scoped && { endpoint: { scopeId: 0, ...scoped } }),
        });
      }
    }
  });

  it('a peer that changes or goes while its prefixes are read: no prefix of another peer, and the others whole', () => {
    for (const change of ['remove', 'replace', 'take away', 'replace all'] as const) {
      const subject = device();
      const [first, last] = [bytes(32), bytes(32)];
      const prefixesOf = (net: number, count: number): AllowedIpChange[] =>
        Array.from({ length: count }, (_, i) => ({ address: Uint8Array.of(net, 0, i >> 8, i & 255), cidr: 32 }));
      const peers = [
        { publicKey: first, allowedIps: prefixesOf(10, 2000) },
        { publicKey: last, allowedIps: prefixesOf(11, 300) },
      ];
      subject.configure({ peers }, 0);
      const encoder = new StatusEncoder(subject);
      const found = decodeStatus(encoder.next(256, 4096)!);
      assert.ok(found.length === 1 && found[0]!.allowedIps.length < 2000);
      if (change === 'remove') subject.configure({ peers: [{ publicKey: first, remove: true }] }, 0);
      if (change === 'replace') subject.configure({ peers: [{ publicKey: first, replaceAllowedIps: true }] }, 0);
      if (change === 'take away') {
        const allowedIps = prefixesOf(10, 1000).map((prefix) => ({ ...prefix, remove: true }));
        subject.configure({ peers: [{ publicKey: first, allowedIps }] }, 0);
      }
      if (change === 'replace all') {
        // The newcomer takes the first one's place in every table.
        subject.configure(
          { replacePeers: true, peers: [{ publicKey: bytes(32), allowedIps: prefixesOf(12, 900) }] },
          0,
        );
      }
      for (let message = encoder.next(256, 4096); message; message = encoder.next(256, 4096)) {
        found.push(...decodeStatus(message, found.at(-1)));
      }
      assert.ok(found[0]!.allowedIps.every(({ address }) => address[0] === 10));
      assert.ok(found[0]!.allowedIps.length <= 2000);
      if (change === 'replace all') continue;
      assert.deepEqual(found.map(({ publicKey }) => Buffer.from(publicKey).toString('hex')).slice(1), [
        Buffer.from(last).toString('hex'),
      ]);
      assert.equal(found[1]!.allowedIps.length, 300);
    }
  });

  it('keys in what was read are views: who wipes them wipes the message', () => {
    const subject = device();
    subject.configure({ peers: [{ publicKey: bytes(32), presharedKey: new Uint8Array(32).fill(0xaa) }] }, 0);
    const message = new StatusEncoder(subject).next(1, 1024)!;
    decodeStatus(message)[0]!.presharedKey.fill(0);
    assert.ok(!new Uint8Array(message).includes(0xaa));
  });

  it('what a growing message leaves behind is wiped', (t) => {
    const seen: Uint8Array[] = [];
    const original = Uint8Array;
    const spy = new Proxy(original, {
      construct(target, args) {
        const made = Reflect.construct(target, args) as Uint8Array;
        if (args[0] === 4096 || args[0] === 8192) seen.push(made);
        return made;
      },
    });
    globalThis.Uint8Array = spy;
    t.after(() => {
      globalThis.Uint8Array = original;
    });
    const secret = new original(32).fill(0xbb);
    const message = encodeChange({
      privateKey: secret,
      peers: Array.from({ length: 300 }, () => ({ publicKey: new original(32), presharedKey: secret })),
    });
    globalThis.Uint8Array = original;
    assert.ok(message.byteLength > 16_384 && seen.length >= 2);
    for (const left of seen) assert.ok(!left.includes(0xbb));
  });
});

describe('a change in steps', () => {
  it('has a step for each peer and prefix at least, so that no step is long', () => {
    const subject = device();
    const allowedIps = Array.from({ length: 2000 }, (_, i) => ({
      address: Uint8Array.of(10, 0, i >> 8, i & 255),
      cidr: 32,
    }));
    const count = (change: DeviceChange): number => {
      let steps = 0;
      for (const it = subject.configuring(change, 0); !it.next().done; ) steps++;
      return steps;
    };
    const publicKey = bytes(32);
    assert.ok(count({ peers: [{ publicKey, allowedIps }, ...Array.from({ length: 500 }, somePeer)] }) >= 2500);
    assert.ok(count({ peers: [{ publicKey, replaceAllowedIps: true }] }) >= 2000);
    count({ peers: [{ publicKey, allowedIps }] });
    assert.ok(count({ peers: [{ publicKey, remove: true }] }) >= 2000);
    assert.ok(count({ replacePeers: true }) >= 450);
    assert.equal(subject.peerCount, 0);
  });

  it('one that asks for too much changes nothing', () => {
    const subject = device();
    const publicKey = bytes(32);
    subject.configure({ listenPort: 7, peers: [{ publicKey, allowedIps: [somePrefix()] }] }, 0);
    assert.ok(!subject.hasRoom(2 ** 20, 0));
    assert.ok(subject.hasRoom(2 ** 20, 0, true));
    assert.ok(!subject.hasRoom(0, 2 ** 22 + 1, true));
    const none: AllowedIpChange[] = new Array<AllowedIpChange>(2 ** 22 + 1).fill({ address: bytes(4), cidr: 32 });
    assert.equal(
      subject.configure({ listenPort: 8, replacePeers: true, peers: [{ publicKey, allowedIps: none }] }, 0),
      false,
    );
    assert.deepEqual([subject.peerCount, subject.status().listenPort], [1, 7]);
  });
});
