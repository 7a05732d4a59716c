/** What comes of packets that were gathered: cut again by the reference, and compared with what came in. */
import assert from 'node:assert/strict';
import { build, buildUnfinished, onesSum, parse, parseVirtio, segments, virtioFor } from './reference.js';

/** What a network would carry of a write to the TUN. */
export function carried(write: Uint8Array): Uint8Array[] {
  const virtio = parseVirtio(write);
  const bytes = write.slice(10);
  if (virtio.gsoType === 0) {
    assert.deepEqual(write.slice(0, 10), new Uint8Array(10));
    return [bytes];
  }
  const packet = parse(bytes);
  assert.deepEqual(virtio, virtioFor(packet, virtio.gsoSize));
  assert.deepEqual(bytes, buildUnfinished(packet));
  const cut = segments(packet, virtio.gsoSize);
  assert.ok(cut.length >= 2 && cut.length <= 64);
  return cut.map(build);
}

/** The packet without its identification if that means nothing: DF is set (RFC 6864, section 4.1). */
export function comparable(packet: Uint8Array): string {
  const header = packet.slice(0, 20);
  if (header[0] !== 0x45 || packet.length < 20 || (header[6]! & 0x40) === 0 || onesSum(header) !== 0xffff)
    return Buffer.from(packet).toString('hex');
  header.fill(0, 4, 6).fill(0, 10, 12);
  return Buffer.from([...header, ...packet.slice(20)]).toString('hex');
}

/** Addresses, protocol and ports, or undefined for what could belong anywhere. */
function flowOf(packet: Uint8Array): string | undefined {
  const hex = (from: number, to: number): string => Buffer.from(packet.subarray(from, to)).toString('hex');
  const [first = 0, tcpOrUdp] = [packet[0], (protocol = 0): boolean => protocol === 6 || protocol === 17];
  if (first === 0x45 && packet.length >= 28 && (packet[6]! & 0x3f) === 0 && packet[7] === 0)
    return tcpOrUdp(packet[9]) ? `${packet[9]} ${hex(12, 24)}` : undefined;
  if (first >> 4 === 6 && packet.length >= 48) return tcpOrUdp(packet[6]) ? `${packet[6]} ${hex(8, 44)}` : undefined;
  return undefined;
}

/** Content, and order within each flow; what belongs to no flow is a flow of its own here. */
export function byFlow(packets: readonly Uint8Array[]): Map<string, string[]> {
  const flows = new Map<string, string[]>();
  for (const packet of packets) {
    const flow = flowOf(packet) ?? 'none';
    flows.set(flow, [...(flows.get(flow) ?? []), comparable(packet)]);
  }
  return flows;
}
