import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AllowedIps } from '../../src/core/allowed-ips.js';
import { address as parseAddress, randomBytes, seeded } from './values.js';

interface Route {
  readonly bits: string;
  owner: number;
}

function toBits(address: Uint8Array): string {
  return [...address].map((byte) => byte.toString(2).padStart(8, '0')).join('');
}

/** Routing as one would say it: of all prefixes that fit, the longest. */
class Reference {
  readonly routes = new Map<string, Route>();

  set(address: Uint8Array, cidr: number, peer: number): number {
    const bits = toBits(address).slice(0, cidr);
    const previous = this.routes.get(bits)?.owner ?? -1;
    // A prefix that stays with its peer keeps its place in the peer's list.
    if (previous !== peer) this.routes.delete(bits);
    this.routes.set(bits, { bits, owner: peer });
    return previous;
  }

  remove(address: Uint8Array, cidr: number, peer: number): boolean {
    const bits = toBits(address).slice(0, cidr);
    return this.routes.get(bits)?.owner === peer && this.routes.delete(bits);
  }

  removePeer(peer: number): void {
    for (const { bits } of this.ofPeer(peer)) this.routes.delete(bits);
  }

  lookup(address: Uint8Array): number {
    const bits = toBits(address);
    for (let cidr = bits.length; cidr >= 0; cidr--) {
      const route = this.routes.get(bits.slice(0, cidr));
      if (route) return route.owner;
    }
    return -1;
  }

  ofPeer(peer: number): Route[] {
    return [...this.routes.values()].filter(({ owner }) => owner === peer);
  }
}

function listing(table: AllowedIps, peer: number): string[] {
  const found: string[] = [];
  for (const { address, cidr } of table.ofPeer(peer)) {
    assert.match(toBits(address).slice(cidr), /^0*$/, 'host bits are cleared');
    found.push(toBits(address).slice(0, cidr));
  }
  return found;
}

function filled(prefixes: readonly string[]): AllowedIps {
  const table = new AllowedIps(prefixes[0]!.includes(':') ? 128 : 32, randomBytes(seeded(2)));
  for (const [peer, prefix] of prefixes.entries()) {
    const [address, cidr] = prefix.split('/') as [string, string];
    table.set(parseAddress(address), Number(cidr), peer);
  }
  return table;
}

/** Prefixes, whose peers are their places in the list; then addresses with the peer that must be found. */
const TABLES: readonly { prefixes: readonly string[]; finds: readonly (readonly [string, number])[] }[] = [
  {
    prefixes: ['10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32', '10.1.3.0/24', '172.16.0.0/12', '10.1.2.128/25'],
    finds: [
      ['10.1.2.3', 2],
      ['10.1.2.4', 1],
      ['10.1.2.127', 1],
      ['10.1.2.128', 5],
      ['10.1.2.255', 5],
      ['10.1.3.1', 3],
      ['10.1.4.1', 0],
      ['10.1.255.255', 0],
      ['10.2.0.0', -1],
      ['10.0.255.255', -1],
      ['172.31.255.255', 4],
      ['172.32.0.0', -1],
      ['0.0.0.0', -1],
      ['255.255.255.255', -1],
    ],
  },
  {
    prefixes: ['0.0.0.0/0', '128.0.0.0/1', '255.255.255.255/32', '0.0.0.0/32', '127.255.255.255/32'],
    finds: [
      ['0.0.0.0', 3],
      ['0.0.0.1', 0],
      ['127.255.255.254', 0],
      ['127.255.255.255', 4],
      ['128.0.0.0', 1],
      ['255.255.255.254', 1],
      ['255.255.255.255', 2],
    ],
  },
  {
    prefixes: [
      '::/0',
      'fd00::/8',
      'fd00:1::/32',
      'fd00:1:0:0:8000::/65',
      'fd00:1::1/128',
      'fd00:1::/64',
      '2001:db8::/33',
    ],
    finds: [
      ['fd00:1::1', 4],
      ['fd00:1::2', 5],
      ['fd00:1:0:0:8000::1', 3],
      ['fd00:1:0:0:7fff::1', 5],
      ['fd00:1:0:1::1', 2],
      ['fd00:2::1', 1],
      ['fe00::', 0],
      ['2001:db8:7fff::', 6],
      ['2001:db8:8000::', 0],
    ],
  },
];

describe('AllowedIps', () => {
  for (const [number, { prefixes, finds }] of TABLES.entries()) {
    it(`table ${number + 1}: finds the longest prefix`, () => {
      for (const order of [prefixes, [...prefixes].reverse()]) {
        const table = filled(order);
        for (const [address, place] of finds) {
          const expected = place < 0 ? -1 : order.indexOf(prefixes[place]!);
          const bytes = new Uint8Array(20);
          bytes.set(parseAddress(address), 3);
          assert.equal(table.lookup(bytes, 3), expected, address);
        }
      }
    });
  }

  it('host bits do not count', () => {
    const table = filled(['192.0.2.77/24']);
    assert.equal(table.lookup(parseAddress('192.0.2.1'), 0), 0);
    assert.equal(table.set(parseAddress('192.0.2.99'), 24, 3), 0);
    assert.equal(table.size, 1);
    assert.ok(table.remove(parseAddress('192.0.2.250'), 24, 3));
    assert.equal(table.size, 0);
  });

  it('a prefix that is given to a second peer moves to it', () => {
    const table = filled(['10.0.0.0/24', '10.0.0.0/8']);
    assert.equal(table.set(parseAddress('10.0.0.0'), 24, 1), 0);
    assert.deepEqual([table.peerHas(0), table.peerHas(1), table.size], [false, true, 2]);
    assert.equal(table.lookup(parseAddress('10.0.0.9'), 0), 1);
    assert.equal(table.set(parseAddress('10.0.0.0'), 24, 1), 1, 'its own already');
    assert.ok(!table.remove(parseAddress('10.0.0.0'), 24, 0), 'not the first peer’s any more');
    assert.equal(listing(table, 1).length, 2);
  });

  for (const bits of [32, 128] as const) {
    it(`agrees with the slow reference, ${bits} bits`, () => {
      const random = seeded(bits);
      const below = (limit: number): number => Math.floor(random() * limit);
      for (let run = 0; run < 12; run++) {
        const table = new AllowedIps(bits, randomBytes(seeded(9)));
        const reference = new Reference();
        // Few distinct bits, so that prefixes nest and meet; or any.
        const address = (): Uint8Array => {
          const bytes = new Uint8Array(bits / 8);
          if (run % 3 === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = below(256);
          else for (let i = 0; i < 6; i++) bytes[below(bytes.length)]! |= 1 << below(8);
          return bytes;
        };
        for (let step = 0; step < 1500; step++) {
          const known = [...reference.routes.values()];
          let target = address();
          let cidr = below(bits + 1);
          if (known.length > 0 && random() < 0.4) {
            const { bits: text } = known[below(known.length)]!;
            target = Uint8Array.from(text.padEnd(bits, random() < 0.5 ? '0' : '1').match(/.{8}/g)!, (byte) =>
              Number.parseInt(byte, 2),
            );
            cidr = text.length;
          }
          const peer = below(9);
          const action = random();
          // Grows for a while, then shrinks.
          const keep = step < 900 ? 0.7 : 0.25;
          if (action < keep) assert.equal(table.set(target, cidr, peer), reference.set(target, cidr, peer));
          else if (action < 0.985) assert.equal(table.remove(target, cidr, peer), reference.remove(target, cidr, peer));
          else {
            while (table.removeFirst(peer));
            reference.removePeer(peer);
          }
          assert.equal(table.size, reference.routes.size);
          for (const probe of [target, address()]) assert.equal(table.lookup(probe, 0), reference.lookup(probe));
          if (step % 100 === 0) {
            for (let of = 0; of < 9; of++) {
              const expected = reference.ofPeer(of).map((route) => route.bits);
              assert.deepEqual(listing(table, of), expected);
              assert.equal(table.peerHas(of), expected.length > 0);
            }
          }
        }
      }
    });

    it(`gives memory back, ${bits} bits`, () => {
      const table = new AllowedIps(bits, randomBytes(seeded(9)));
      const empty = table.memoryBytes;
      const address = new Uint8Array(bits / 8);
      const view = new DataView(address.buffer);
      for (let i = 0; i < 50_000; i++) {
        view.setUint32(bits / 8 - 4, Math.imul(i, 0x9e3779b1));
        table.set(address, bits, i % 500);
      }
      assert.equal(table.size, 50_000);
      const full = table.memoryBytes;
      assert.ok(full < 50_000 * (bits === 32 ? 150 : 220), `${full} bytes`);
      for (let peer = 0; peer < 490; peer++) while (table.removeFirst(peer));
      assert.equal(table.size, 1000);
      assert.ok(table.memoryBytes < full / 8, `${table.memoryBytes} of ${full}`);
      view.setUint32(bits / 8 - 4, Math.imul(499, 0x9e3779b1));
      assert.equal(table.lookup(address, 0), 499);
      for (let peer = 490; peer < 500; peer++) while (table.removeFirst(peer));
      assert.ok(table.memoryBytes <= empty + 8 * 500, `${table.memoryBytes}`);
    });

    it(`setting and removing again and again needs no more memory, ${bits} bits`, () => {
      const table = new AllowedIps(bits, randomBytes(seeded(9)));
      const address = new Uint8Array(bits / 8);
      let after = 0;
      for (let round = 0; round < 200; round++) {
        for (let i = 0; i < 100; i++) {
          address[0] = i;
          table.set(address, 8, i);
        }
        for (let i = 0; i < 100; i++) while (table.removeFirst(i));
        if (round === 0) after = table.memoryBytes;
      }
      assert.equal(table.memoryBytes, after);
      assert.equal(table.size, 0);
    });
  }
});
