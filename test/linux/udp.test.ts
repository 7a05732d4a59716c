import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { SystemError } from '../../src/linux/errno.js';
import { addressOf, allocate } from '../../src/linux/ffi.js';
import {
  AF_INET,
  AF_INET6,
  bind,
  check,
  close,
  recv,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  socket,
} from '../../src/linux/libc.js';
import { bindBoth } from '../../src/linux/udp.js';
import { replace, SO_NO_CHECK, SOL_SOCKET, SOL_UDP, setOption } from './descriptors.js';
import { type Datagram, Side } from './side.js';
import { Cable, Netns, NO_NETNS, until } from './world.js';

const ON = { gro: true, gso: true };
/** That nothing else here is bound to. */
const PORT = 4242;
const V6_A = 'fd09:0000:0000:0000:0000:0000:0000:0001';
const V6_B = 'fd09:0000:0000:0000:0000:0000:0000:0002';
const FAMILIES = [
  { name: 'IPv4', family: 4, a: '10.9.0.1', b: '10.9.0.2', largest: 65507 },
  { name: 'IPv6', family: 6, a: V6_A, b: V6_B, largest: 65527 },
] as const;

const SO_SNDBUF = 7;
const UDP_NO_CHECK6_TX = 101;
const UDP_NO_CHECK6_RX = 102;
const IPPROTO_UDPLITE = 136;
const MSG_PEEK = 2;

/** A socket of UDP-Lite (RFC 3828), which the kernel segments nothing for; -1 where it has none any more. */
function udpLite(netns: Netns, family: 4 | 6): number {
  return netns.enter(() => socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDPLITE));
}

function payloads(...lengths: number[]): Buffer[] {
  return lengths.map((length) => randomBytes(length));
}

describe('bindBoth', { skip: NO_NETNS }, () => {
  let netns: Netns;
  before(() => {
    netns = new Netns();
  });
  after(() => netns.close());

  it('gives both families one port', () => {
    const sockets = netns.enter(() => bindBoth(0, 0, ON));
    assert.deepEqual(
      sockets.map(({ family }) => family),
      [4, 6],
    );
    assert.equal(sockets[0]!.port, sockets[1]!.port);
    assert.ok(sockets[0]!.port > 0);
    for (const each of sockets) each.close();
  });

  it('chooses again when the port is taken in the other family alone', () => {
    const [only] = netns.enter(() => {
      const both = bindBoth(0, 0, ON);
      both[0]!.close();
      return [both[1]!];
    });
    // Two ports to choose from, of which IPv6 has one left.
    const low = only!.port & ~1;
    netns.run(`echo ${low} ${low + 1} > /proc/sys/net/ipv4/ip_local_port_range`);
    for (let i = 0; i < 20; i++) {
      const sockets = netns.enter(() => bindBoth(0, 0, ON));
      assert.equal(sockets[0]!.port, only!.port ^ 1);
      for (const each of sockets) each.close();
    }
    only!.close();
    netns.run('echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range');
  });

  it('says EADDRINUSE and leaves nothing open', () => {
    const sockets = netns.enter(() => bindBoth(0, 0, ON));
    const { port } = sockets[0]!;
    const open = readdirSync('/proc/self/fd').length;
    const inUse = (error: unknown): boolean => error instanceof SystemError && error.code === 'EADDRINUSE';
    assert.throws(() => netns.enter(() => bindBoth(port, 0, ON)), inUse);
    sockets[0]!.close();
    assert.throws(() => netns.enter(() => bindBoth(port, 0, ON)), inUse, 'IPv6 alone');
    assert.equal(readdirSync('/proc/self/fd').length, open - 1);
    sockets[1]!.close();
  });

  it('leaks no descriptor over 1,000 times', () => {
    const open = readdirSync('/proc/self/fd').length;
    netns.enter(() => {
      for (let i = 0; i < 1000; i++) for (const each of bindBoth(0, 0, ON)) each.close();
    });
    assert.equal(readdirSync('/proc/self/fd').length, open);
  });
});

for (const { name, family, a, b, largest } of FAMILIES) {
  describe(`UDP over ${name}`, { skip: NO_NETNS }, () => {
    let cable: Cable;
    let left: Side;
    let right: Side;
    let plain: Side;
    let to = 0;
    let toPlain = 0;
    before(() => {
      cable = new Cable();
      left = new Side(cable.a);
      right = new Side(cable.b);
      plain = new Side(cable.b, { gro: false, gso: false });
      to = left.to(b, right.port);
      toPlain = left.to(b, plain.port);
    });
    after(() => {
      for (const side of [left, right, plain]) side.close();
      cable.close();
    });

    it('says where a datagram came from, and what address it was sent to', () => {
      left.send([{ bytes: Buffer.from('hello'), endpoint: to, tos: 0x88 }]);
      const [got] = right.take(1);
      assert.equal(got!.bytes.toString(), 'hello');
      assert.deepEqual([got!.family, got!.from, got!.port, got!.tos], [family, a, left.port, 0x88]);
      assert.deepEqual([got!.flags, got!.source], [1, b]);
      const index = Number(cable.b.run('ip -o link show v0').split(':')[0]);
      assert.equal(got!.sourceInterface, index);
    });

    it('carries every length at the limits, with and without GRO', () => {
      for (const [side, endpoint] of [
        [right, to],
        [plain, toPlain],
      ] as const) {
        for (const length of [0, 1, 15, 16, 1451, 1452, 1472, 1473, 9000, largest - 1, largest]) {
          const [bytes] = payloads(length);
          left.send([{ bytes: bytes!, endpoint }]);
          const got = side.take(1);
          assert.equal(got.length, 1, `${length} bytes`);
          assert.ok(got[0]!.bytes.equals(bytes!), `${length} bytes`);
        }
      }
      assert.equal(left.sender.failed + left.sender.full, 0);
    });

    it('refuses one byte too many, and goes on', () => {
      left.send([
        { bytes: Buffer.alloc(largest + 1), endpoint: to },
        { bytes: Buffer.from('next'), endpoint: to },
      ]);
      assert.equal(right.take(1)[0]!.bytes.toString(), 'next');
      assert.equal(left.sender.failed, 1);
      left.sender.failed = 0;
    });

    it('sends a run as one message, its tail shorter, and splits it on arrival', () => {
      for (const lengths of [
        [1200, 1200],
        [1200, 1200, 1200, 1],
        [...Array<number>(44).fill(1400), 700],
      ]) {
        const sent = payloads(...lengths);
        left.send(sent.map((bytes) => ({ bytes, endpoint: to, tos: 2 })));
        const got = right.take(lengths.length);
        assert.deepEqual(right.messages, [1], 'one message carried the run');
        assert.ok(Buffer.concat(got.map(({ bytes }) => bytes)).equals(Buffer.concat(sent)));
        assert.deepEqual(
          got.map(({ bytes }) => bytes.length),
          lengths,
        );
        for (const each of got) {
          // PKTINFO and TOS are there beside the segment size.
          assert.deepEqual([each.flags, each.source, each.from, each.tos], [1, b, a, 2]);
        }
      }
    });

    it('cuts runs at 64 segments and 65,507 bytes', () => {
      for (const lengths of [Array<number>(130).fill(100), Array<number>(100).fill(1420), [40000, 40000, 25507, 1]]) {
        const sent = payloads(...lengths);
        left.send(sent.map((bytes) => ({ bytes, endpoint: to })));
        const got = right.take(lengths.length);
        assert.deepEqual(
          got.map(({ bytes }) => bytes.length),
          lengths,
        );
        assert.ok(Buffer.concat(got.map(({ bytes }) => bytes)).equals(Buffer.concat(sent)));
      }
      assert.ok(left.sockets.every(({ gso }) => gso));
      assert.equal(left.sender.failed + left.sender.full, 0);
    });

    it('keeps every boundary, TOS and order of mixed batches', () => {
      for (let round = 0; round < 40; round++) {
        const lengths = [0, 1, 200, 200, 200, 201, 1400, 1400];
        const sent: Required<Datagram>[] = Array.from({ length: 60 }, () => ({
          bytes: randomBytes(lengths[randomInt(lengths.length)]!),
          endpoint: randomInt(3) === 0 ? toPlain : to,
          tos: [0, 0, 0, 1, 2, 3, 0x88][randomInt(7)]!,
        }));
        left.send(sent);
        for (const [side, endpoint] of [
          [right, to],
          [plain, toPlain],
        ] as const) {
          const expected = sent.filter((each) => each.endpoint === endpoint);
          const describeEach = (each: { bytes: Uint8Array; tos: number }): string =>
            `${each.tos} ${Buffer.from(each.bytes).toString('base64')}`;
          assert.deepEqual(side.take(expected.length).map(describeEach), expected.map(describeEach));
        }
      }
    });

    it('skips rows that have gone', () => {
      const rows = { count: 3, offset: Int32Array.of(8 << 16, 0, 8 << 16), length: Int32Array.of(5, -1, 5) };
      const columns = { endpoint: Int32Array.of(to, to, to), tos: new Uint8Array(3), peer: new Int32Array(3) };
      left.sender.send(left.sockets, { ...rows, ...columns });
      assert.equal(right.take(2).length, 2);
    });

    it('gives GSO up for good where the socket cannot, and loses nothing', () => {
      const mine = new Side(cable.a);
      const endpoint = mine.to(b, right.port);
      const used = mine.sockets.find((each) => each.family === family)!;
      // Without checksums the kernel refuses to segment, with EINVAL.
      if (family === 4) setOption(used.fd, SOL_SOCKET, SO_NO_CHECK, 1);
      else {
        setOption(used.fd, SOL_UDP, UDP_NO_CHECK6_TX, 1);
        for (const each of right.sockets) setOption(each.fd, SOL_UDP, UDP_NO_CHECK6_RX, 1);
      }
      // Of datagrams that some paths are too narrow for, older kernels say the same.
      for (const [size, gso] of [
        [1000, true],
        [500, false],
        [1000, false],
      ] as const) {
        const sent = payloads(size, size, size, 10);
        mine.send(sent.map((bytes) => ({ bytes, endpoint })));
        assert.equal(used.gso, gso);
        assert.ok(Buffer.concat(right.take(4).map(({ bytes }) => bytes)).equals(Buffer.concat(sent)));
        assert.equal(mine.sender.failed, 0);
      }
      mine.close();
    });

    it('gives GSO up for good where the protocol cannot (EIO), and loses nothing', (t) => {
      const mine = new Side(cable.a);
      const used = mine.sockets.find((each) => each.family === family)!;
      const theirs = udpLite(cable.b, family);
      if (theirs < 0) return t.skip('no UDP-Lite');
      replace(used.fd, udpLite(cable.a, family));
      const name = allocate(28);
      name[0] = family === 4 ? AF_INET : AF_INET6;
      name[2] = PORT >> 8;
      name[3] = PORT & 0xff;
      check(bind(theirs, addressOf(name), family === 4 ? 16 : 28), 'bind');
      const sent = payloads(1000, 1000, 1000, 10);
      const endpoint = mine.to(b, PORT);
      for (let round = 0; round < 2; round++) {
        mine.send(sent.map((bytes) => ({ bytes, endpoint })));
        assert.equal(used.gso, false);
        const memory = allocate(2000);
        for (const bytes of sent) {
          until('a datagram', () => recv(theirs, addressOf(memory), 2000, MSG_PEEK) >= 0);
          assert.equal(recv(theirs, addressOf(memory), 2000, 0), bytes.length);
          assert.deepEqual(memory.slice(0, bytes.length), Uint8Array.from(bytes));
        }
      }
      assert.deepEqual([mine.sender.failed, mine.sender.lastError], [0, 0]);
      close(theirs);
      mine.close();
    });

    it('counts what a route or a filter refuses, and goes on', () => {
      const side = new Side(cable.a);
      const dead = family === 4 ? '10.66.0.1' : 'fd66::1';
      cable.a.run(`ip -${family} route add prohibit ${dead}`);
      const refused = side.to(dead, 1);
      const unroutable = side.to(family === 4 ? '203.0.113.1' : '2001:db8::1', 1);
      const good = side.to(b, right.port);
      const bytes = Buffer.from('still here');
      side.send([refused, unroutable, refused, good].map((endpoint) => ({ bytes, endpoint })));
      assert.equal(side.sender.failed, 3);
      assert.equal(right.take(1)[0]!.bytes.toString('latin1'), 'still here');
      side.close();
    });

    it('marks datagrams, also anew while it runs', () => {
      const side = new Side(cable.a, { fwmark: 0xfffffff7 });
      const good = side.to(b, right.port);
      cable.a.run(`ip -${family} rule add fwmark 0xfffffff7 prohibit priority 10`);
      const bytes = Buffer.from('marked');
      side.send([{ bytes, endpoint: good }]);
      assert.equal(side.sender.failed, 1);
      for (const each of side.sockets) assert.ok(each.setMark(5));
      side.send([{ bytes, endpoint: good }]);
      assert.equal(right.take(1).length, 1);
      cable.a.run(`ip -${family} rule del priority 10`);
      side.close();
    });

    it('drops what a full socket does not take, once', () => {
      const side = new Side(cable.a, { gso: false });
      const endpoint = side.to(b, right.port);
      cable.a.run('tc qdisc add dev v0 root tbf rate 8kbit burst 2000 limit 10000000');
      for (const each of side.sockets) setOption(each.fd, SOL_SOCKET, SO_SNDBUF, 4096);
      side.send(payloads(...Array<number>(60).fill(1000)).map((bytes) => ({ bytes, endpoint })));
      assert.ok(side.sender.full > 40, `${side.sender.full}`);
      assert.equal(side.sender.failed, 0);
      cable.a.run('tc qdisc del dev v0 root');
      side.close();
    });

    it('leaves DF and the flow label clear', () => {
      const type = family === 4 ? 0x0800 : 0x86dd;
      const fd = cable.b.enter(() => check(socket(17, 2, ((type & 0xff) << 8) | (type >> 8)), 'socket'));
      const memory = allocate(2048);
      const head = (): DataView => {
        // Something else may be on the cable (neighbour discovery): our datagrams are UDP.
        for (;;) {
          check(recv(fd, addressOf(memory), 2048, 0), 'recv');
          if (memory[family === 4 ? 9 : 6] === 17) return new DataView(memory.buffer);
        }
      };
      left.send([{ bytes: Buffer.from('x'), endpoint: to, tos: 1 }]);
      const view = head();
      if (family === 4) assert.equal(view.getUint16(6), 0);
      else assert.equal(view.getUint32(0), 0x60100000);
      close(fd);
      right.take(1);
    });

    it('reads nothing when there is nothing', () => {
      const rows = { count: 9, capacity: 9, offset: new Int32Array(9), length: new Int32Array(9) };
      const all = { ...rows, endpoint: new Int32Array(9), tos: new Uint8Array(9) };
      assert.equal(right.receiver.receive(right.sockets[0]!, all), -11);
      assert.equal(all.count, 0);
    });
  });
}

describe('UDP over a path narrower than the segments', { skip: NO_NETNS }, () => {
  it('splits that run alone, and keeps GSO', () => {
    const cable = new Cable();
    const left = new Side(cable.a);
    const right = new Side(cable.b);
    for (const side of [cable.a, cable.b]) side.run('ip link set v0 mtu 576');
    const endpoint = left.to('10.9.0.2', right.port);
    const sent = payloads(1400, 1400, 1400, 30);
    left.send(sent.map((bytes) => ({ bytes, endpoint })));
    const got = right.take(4);
    assert.ok(Buffer.concat(got.map(({ bytes }) => bytes)).equals(Buffer.concat(sent)));
    assert.deepEqual(
      got.map(({ bytes }) => bytes.length),
      [1400, 1400, 1400, 30],
    );
    assert.ok(left.sockets[0]!.gso);
    const narrow = payloads(500, 500, 500);
    left.send(narrow.map((bytes) => ({ bytes, endpoint })));
    assert.equal(right.take(3).length, 3);
    assert.deepEqual(right.messages, [1]);
    assert.equal(left.sender.failed + left.sender.full, 0);
    left.close();
    right.close();
    cable.close();
  });
});
