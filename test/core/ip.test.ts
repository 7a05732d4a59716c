import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildUnreachable } from '../../src/core/icmp.js';
import {
  checksumAdd,
  checksumFinish,
  destinationOffset,
  ecnDecapsulate,
  ecnEncapsulate,
  innerLength,
  innerTos,
  setInnerTos,
  sourceOffset,
} from '../../src/core/ip-header.js';
import { address, randomBytes, seeded } from './values.js';

const ICMP = 1;
const UDP = 17;
const ICMPV6 = 58;

/** RFC 1071, said plainly. A header or message with a right checksum in it gives 0. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
  return 0xffff - (sum % 0xffff === 0 && sum > 0 ? 0xffff : sum % 0xffff);
}

function packet4(payload: Uint8Array, protocol: number, from = '10.0.0.1', to = '10.9.9.9', options = 0): Uint8Array {
  const header = 20 + options;
  const packet = new Uint8Array(header + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (header / 4);
  view.setUint16(2, packet.length);
  packet[8] = 64;
  packet[9] = protocol;
  packet.set(address(from), 12);
  packet.set(address(to), 16);
  packet.fill(1, 20, header);
  view.setUint16(10, checksum(packet.subarray(0, header)));
  packet.set(payload, header);
  return packet;
}

function packet6(payload: Uint8Array, next: number, from = 'fd00::1', to = 'fd00::9'): Uint8Array {
  const packet = new Uint8Array(40 + payload.length);
  packet[0] = 0x60;
  new DataView(packet.buffer).setUint16(4, payload.length);
  packet[6] = next;
  packet[7] = 64;
  packet.set(address(from), 8);
  packet.set(address(to), 24);
  packet.set(payload, 40);
  return packet;
}

/** The error for a packet that lies somewhere in memory. */
function unreachable(packet: Uint8Array): Uint8Array {
  const memory = new Uint8Array(packet.length + 50).fill(0x45);
  memory.set(packet, 17);
  const out = new Uint8Array(1400).fill(0xee);
  const length = buildUnreachable(out, 33, memory, 17, packet.length);
  assert.ok(out.subarray(0, 33).every((byte) => byte === 0xee));
  assert.ok(
    out.subarray(33 + length).every((byte) => byte === 0xee),
    'nothing after it is touched',
  );
  return out.slice(33, 33 + length);
}

describe('innerLength', () => {
  it('knows what a header says, and what it cannot say', () => {
    // [first byte, length field, bytes there, answer]
    const rows: readonly (readonly [number, number, number, number])[] = [
      [0x45, 20, 20, 20],
      [0x45, 20, 36, 20],
      [0x45, 1000, 1000, 1000],
      [0x45, 1001, 1000, -1],
      [0x45, 65_535, 65_535, 65_535],
      [0x45, 19, 100, -1],
      [0x45, 0, 100, -1],
      [0x44, 60, 60, -1],
      [0x40, 60, 60, -1],
      [0x4f, 60, 60, 60],
      [0x4f, 59, 60, -1],
      [0x45, 20, 19, -1],
      [0x45, 20, 0, -1],
      [0x60, 0, 40, 40],
      [0x60, 0, 39, -1],
      [0x6f, 24, 64, 64],
      [0x60, 25, 64, -1],
      [0x60, 65_495, 65_535, 65_535],
      [0x60, 65_535, 65_535, -1],
      [0x05, 20, 100, -1],
      [0x55, 20, 100, -1],
      [0x75, 20, 100, -1],
      [0xf5, 20, 100, -1],
    ];
    for (const [number, [first, field, available, expected]] of rows.entries()) {
      const bytes = new Uint8Array(70_000);
      bytes[9] = first;
      new DataView(bytes.buffer).setUint16(9 + (first >>> 4 === 6 ? 4 : 2), field);
      assert.equal(innerLength(bytes, 9, available), expected, `row ${number + 1}`);
    }
  });

  it('never answers more than is there', () => {
    const random = seeded(21);
    const bytes = new Uint8Array(100);
    for (let i = 0; i < 50_000; i++) {
      randomBytes(random)(bytes);
      if (random() < 0.8) bytes[0] = random() < 0.5 ? 0x45 : 0x60;
      if (random() < 0.5) bytes[2] = bytes[4] = 0;
      const available = Math.floor(random() * 101);
      const length = innerLength(bytes, 0, available);
      assert.ok(length === -1 || (length >= 20 && length <= available));
    }
  });

  it('addresses are where RFC 791 and RFC 8200 put them', () => {
    const four = packet4(new Uint8Array(0), UDP);
    const six = packet6(new Uint8Array(0), UDP);
    assert.deepEqual(four.slice(sourceOffset(four, 0), sourceOffset(four, 0) + 4), address('10.0.0.1'));
    assert.deepEqual(four.slice(destinationOffset(four, 0), 20), address('10.9.9.9'));
    assert.deepEqual(six.slice(sourceOffset(six, 0), 24), address('fd00::1'));
    assert.deepEqual(six.slice(destinationOffset(six, 0), 40), address('fd00::9'));
  });
});

describe('TOS', () => {
  it('IPv4: the header checksum stays right, and nothing else changes', () => {
    const random = seeded(31);
    for (let run = 0; run < 300; run++) {
      const packet = packet4(new Uint8Array(4), UDP, '10.0.0.1', '10.9.9.9', run % 2 === 0 ? 0 : 40);
      const view = new DataView(packet.buffer);
      view.setUint16(4, Math.floor(random() * 65_536));
      view.setUint16(10, 0);
      const header = packet.subarray(0, (packet[0]! & 15) * 4);
      view.setUint16(10, checksum(header));
      for (let i = 0; i < 20; i++) {
        const before = packet.slice();
        const tos = Math.floor(random() * 256);
        setInnerTos(packet, 0, tos);
        assert.equal(innerTos(packet, 0), tos);
        assert.equal(checksum(header), 0);
        before[1] = tos;
        before.set(packet.subarray(10, 12), 10);
        assert.deepEqual(packet, before);
      }
    }
  });

  it('IPv6: the version and the flow label stay', () => {
    const packet = packet6(new Uint8Array(0), UDP);
    packet.set([0x60, 0x0a, 0xbc, 0xde]);
    for (let tos = 0; tos < 256; tos++) {
      setInnerTos(packet, 0, tos);
      assert.equal(innerTos(packet, 0), tos);
      assert.deepEqual([packet[0]! >>> 4, packet[1]! & 15, packet[2], packet[3]], [6, 0x0a, 0xbc, 0xde]);
    }
  });
});

describe('ECN', () => {
  it('goes out by its field alone (RFC 6040, figure 3, normal mode)', () => {
    for (let tos = 0; tos < 256; tos++) assert.equal(ecnEncapsulate(tos), tos % 4);
  });

  it('comes in by RFC 6040, figure 4, whatever the DSCP', () => {
    const [not, ect1, ect0, ce, drop] = [0, 1, 2, 3, -1];
    // Rows: inner; columns: outer Not-ECT, ECT(1), ECT(0), CE.
    const figure = [
      [not, not, not, drop],
      [ect1, ect1, ect1, ce],
      [ect0, ect1, ect0, ce],
      [ce, ce, ce, ce],
    ];
    for (let outer = 0; outer < 256; outer++) {
      for (let inner = 0; inner < 256; inner++) {
        const field = figure[inner % 4]![outer % 4]!;
        const expected = field === drop ? -1 : inner - (inner % 4) + field;
        assert.equal(ecnDecapsulate(outer, inner), expected, `outer ${outer}, inner ${inner}`);
      }
    }
  });
});

describe('checksum', () => {
  it('agrees with the plain one over every length, split anywhere even', () => {
    const bytes = new Uint8Array(300);
    randomBytes(seeded(41))(bytes);
    for (let length = 0; length <= 297; length++) {
      const half = Math.floor(length / 4) * 2;
      const sum = checksumAdd(bytes, 3 + half, length - half, checksumAdd(bytes, 3, half, 0));
      assert.equal(checksumFinish(sum), checksum(bytes.subarray(3, 3 + length)));
    }
  });
});

describe('buildUnreachable', () => {
  it('IPv4: host unreachable from the destination, quoting up to 576 bytes', () => {
    for (const size of [0, 8, 9, 500, 528, 529, 1400]) {
      const packet = packet4(new Uint8Array(size).fill(0xab), UDP);
      const error = unreachable(packet);
      const quoted = Math.min(packet.length, 576 - 28);
      assert.equal(error.length, 28 + quoted);
      assert.equal(innerLength(error, 0, error.length), error.length);
      assert.equal(checksum(error.subarray(0, 20)), 0);
      assert.equal(checksum(error.subarray(20)), 0);
      assert.deepEqual([error[9], error[20], error[21]], [ICMP, 3, 1]);
      assert.deepEqual(error.slice(12, 20), new Uint8Array([...address('10.9.9.9'), ...address('10.0.0.1')]));
      assert.deepEqual(error.slice(28), packet.slice(0, quoted));
    }
  });

  it('IPv6: address unreachable from the destination, quoting up to 1280 bytes', () => {
    for (const size of [0, 1, 1191, 1192, 1193, 1360]) {
      const packet = packet6(new Uint8Array(size).fill(0xab), UDP);
      const error = unreachable(packet);
      const quoted = Math.min(packet.length, 1280 - 48);
      assert.equal(error.length, 48 + quoted);
      assert.equal(innerLength(error, 0, error.length), error.length);
      assert.deepEqual([error[6], error[40], error[41]], [ICMPV6, 1, 3]);
      assert.deepEqual(error.slice(8, 40), new Uint8Array([...address('fd00::9'), ...address('fd00::1')]));
      assert.deepEqual(error.slice(48), packet.slice(0, quoted));
      // RFC 8200, section 8.1: addresses, length and next header count as well.
      const body = error.subarray(40);
      const pseudo = new Uint8Array([...error.slice(8, 40), 0, 0, body.length >> 8, body.length & 255, 0, 0, 0, 58]);
      assert.equal(checksum(new Uint8Array([...pseudo, ...body])), 0);
    }
  });

  it('an ICMP error gets no error, other ICMP does', () => {
    for (let type = 0; type < 256; type++) {
      const message = Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0);
      const refused = [3, 4, 5, 11, 12].includes(type);
      assert.equal(unreachable(packet4(message, ICMP)).length === 0, refused, `IPv4 ${type}`);
      assert.equal(unreachable(packet4(message, ICMP, '10.0.0.1', '10.9.9.9', 8)).length === 0, refused);
      assert.equal(unreachable(packet6(message, ICMPV6)).length === 0, type < 128, `IPv6 ${type}`);
    }
    assert.equal(unreachable(packet4(new Uint8Array(0), ICMP)).length, 0, 'no type to look at');
    assert.equal(unreachable(packet6(new Uint8Array(0), ICMPV6)).length, 0);
  });

  it('looks for ICMPv6 errors behind extension headers', () => {
    const echo = [128, 0, 0, 0];
    const error = [1, 3, 0, 0];
    const options = (next: number, units: number): number[] => [next, units, ...Array<number>(6 + 8 * units).fill(0)];
    const fragment = (next: number, offset: number): number[] => [
      next,
      0,
      offset >> 5,
      (offset << 3) & 255,
      0,
      0,
      0,
      1,
    ];
    // AH counts in 4-byte units, less 2.
    const authentication = (next: number): number[] => [next, 4, ...Array<number>(22).fill(0)];
    const rows: readonly (readonly [number, readonly number[], boolean])[] = [
      [0, [...options(ICMPV6, 0), ...echo], true],
      [0, [...options(ICMPV6, 0), ...error], false],
      [0, [...options(43, 2), ...options(60, 1), ...options(ICMPV6, 0), ...error], false],
      [0, [...options(43, 2), ...options(60, 1), ...options(ICMPV6, 0), ...echo], true],
      [44, [...fragment(ICMPV6, 0), ...error], false],
      [44, [...fragment(ICMPV6, 0), ...echo], true],
      [44, [...fragment(UDP, 0), 1, 2, 3], true],
      [44, [...fragment(UDP, 1), 1, 2, 3], false],
      [44, [...fragment(UDP, 8191), 1, 2, 3], false],
      [60, [...options(44, 0), ...fragment(UDP, 3)], false],
      [51, [...authentication(ICMPV6), ...error], false],
      [51, [...authentication(ICMPV6), ...echo], true],
      [0, [ICMPV6, 200, 0, 0, 0, 0, 0, 0, ...echo], false],
      [60, [ICMPV6, 0, 0], false],
      [59, [], true],
    ];
    for (const [number, [next, payload, answered]] of rows.entries()) {
      const length = unreachable(packet6(Uint8Array.from(payload), next)).length;
      assert.equal(length > 0, answered, `row ${number + 1}`);
    }
  });

  it('no error to or about multicast, broadcast, unspecified or later fragments', () => {
    const none = new Uint8Array(8);
    for (const [from, to, answered] of [
      ['10.0.0.1', '10.0.0.2', true],
      ['10.0.0.1', '223.255.255.255', true],
      ['10.0.0.1', '224.0.0.1', false],
      ['10.0.0.1', '239.1.2.3', false],
      ['10.0.0.1', '255.255.255.255', false],
      ['10.0.0.1', '0.0.0.0', false],
      ['0.0.0.0', '10.0.0.2', false],
      ['224.0.0.1', '10.0.0.2', false],
      ['255.255.255.255', '10.0.0.2', false],
    ] as const) {
      assert.equal(unreachable(packet4(none, UDP, from, to)).length > 0, answered, `${from} to ${to}`);
    }
    for (const [from, to, answered] of [
      ['fd00::1', '2001:db8::1', true],
      ['fd00::1', 'ff02::1', false],
      ['fd00::1', 'ff0e::5', false],
      ['fd00::1', '::', false],
      ['::', 'fd00::1', false],
      ['ff02::1', 'fd00::1', false],
    ] as const) {
      assert.equal(unreachable(packet6(none, UDP, from, to)).length > 0, answered, `${from} to ${to}`);
    }
    for (const [flags, answered] of [
      [0x0000, true],
      [0x4000, true],
      [0x2000, true],
      [0x2001, false],
      [0x0001, false],
      [0x1fff, false],
      [0x0100, false],
    ] as const) {
      const packet = packet4(none, UDP);
      new DataView(packet.buffer).setUint16(6, flags);
      assert.equal(unreachable(packet).length > 0, answered, flags.toString(16));
    }
  });

  it('survives any packet that innerLength accepts', () => {
    const random = seeded(51);
    let answered = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = new Uint8Array(20 + Math.floor(random() * 100));
      randomBytes(random)(bytes);
      bytes[0] = random() < 0.3 ? 0x40 | (5 + Math.floor(random() * 3)) : 0x60;
      if (bytes[0] === 0x60) new DataView(bytes.buffer).setUint16(4, Math.max(0, bytes.length - 40));
      else new DataView(bytes.buffer).setUint16(2, bytes.length);
      if (random() < 0.7) bytes[6] = [0, 43, 44, 51, 58, 60][Math.floor(random() * 6)]!;
      const length = innerLength(bytes, 0, bytes.length);
      if (length >= 0 && unreachable(bytes.slice(0, length)).length > 0) answered++;
    }
    assert.ok(answered > 1000, `${answered}`);
  });
});
