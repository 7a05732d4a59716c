/** The offload layer alone, with checksums in WebAssembly and in JavaScript: nanoseconds a packet of 1400 B of payload. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Arena, plainArena, wasmArena } from '../src/offload/arena.js';
import { Coalescer } from '../src/offload/coalesce.js';
import { Groups, IOVEC_SIZE } from '../src/offload/groups.js';
import { Splitter } from '../src/offload/split.js';
import { VIRTIO_HEADER_SIZE } from '../src/offload/virtio.js';
import { build, buildUnfinished, buildVirtio, type Packet, segments, virtioFor } from '../test/offload/reference.js';
import { bestNs } from './clock.js';
import { type Effort, type Group, Table } from './results.js';

const SIZE = 8 << 20;
const PAYLOAD = 1400;
const SEGMENTS = 45;
const ROWS = 256;
const STRIDE = 2048;
const SLOTS_AT = 1 << 20;
const REPEATS = 20;
const QUICK_REPEATS = 8;

const WASM = readFileSync(join(import.meta.dirname, '../src/offload/checksum.wasm'));
const TIMESTAMP = [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4];

function tcp(version: 4 | 6, port: number, payload: Uint8Array): Packet {
  const address = (host: number): number[] =>
    version === 4 ? [10, 0, 0, host] : [0xfd, ...Array<number>(14).fill(0), host];
  return {
    ...{ version, source: address(1), destination: address(2), tos: 0, ttl: 64, flowLabel: 0, id: 7, fragment: 0x4000 },
    ...{ extra: [], extension: 0, protocol: 6, ports: [port, 5201], sequence: 1, acknowledgment: 2, flags: 16 },
    ...{ window: 500, urgent: 0, options: TIMESTAMP, payload },
  };
}

let repeats = REPEATS;

/** In nanoseconds per packet. `run` does `packets` of them. */
function measure(packets: number, run: () => void): number {
  return bestNs(run, Math.ceil(20_000 / packets), repeats) / packets;
}

/** Rows of a batch: as many packets of each flow as there is room for, in turn, `burst` at a time. */
function lay(
  arena: Arena,
  flows: readonly Packet[],
  burst: number,
): { count: number; offset: Int32Array; length: Int32Array } {
  const rows = { count: 0, offset: new Int32Array(ROWS), length: new Int32Array(ROWS) };
  const cut = flows.map((flow) => segments(flow, PAYLOAD).map(build));
  for (let at = 0; rows.count < ROWS; at += burst) {
    for (const packets of cut) {
      for (let i = at; i < at + burst && rows.count < ROWS; i++) {
        const packet = packets[i % packets.length]!;
        rows.offset[rows.count] = SLOTS_AT + rows.count * STRIDE + 16;
        rows.length[rows.count] = packet.length;
        arena.bytes.set(packet, rows.offset[rows.count++]);
      }
    }
  }
  return rows;
}

/** Gathers again and again: afterwards the groups are taken apart, and what that costs is subtracted. */
function coalescing(arena: Arena, flows: readonly Packet[], burst: number, gather: boolean): number {
  const rows = lay(arena, flows, burst);
  const groups = new Groups(ROWS, new Uint8Array(ROWS * IOVEC_SIZE), 0x4000_0000);
  const coalescer = new Coalescer(arena, ROWS, gather, gather);
  const headers: Uint8Array[] = [];
  coalescer.run(rows, groups);
  // Only first packets change: their headers are put back by copies of 64 bytes.
  const heads = Array.from(
    groups.first.subarray(0, groups.count),
    (first) => groups.offset[first]! + VIRTIO_HEADER_SIZE,
  );
  for (let group = groups.count - 1; group >= 0; group--) coalescer.takeApart(groups, group);
  for (const head of heads) headers.push(arena.bytes.slice(head, head + 64));
  const restore = (): void => {
    for (let i = 0; i < heads.length; i++) arena.bytes.set(headers[i]!, heads[i]!);
  };
  const both = measure(ROWS, () => {
    coalescer.run(rows, groups);
    restore();
  });
  return both - measure(ROWS, restore);
}

function splitting(arena: Arena, packet: Packet, gsoSize: number): number {
  const rows = { offset: new Int32Array(ROWS), length: new Int32Array(ROWS) };
  const splitter = new Splitter(arena);
  const bytes = buildUnfinished(packet);
  const header = buildVirtio(virtioFor(packet, gsoSize));
  const at = VIRTIO_HEADER_SIZE + 6;
  arena.bytes.set(header, at - VIRTIO_HEADER_SIZE);
  arena.bytes.set(bytes, at);
  return measure(gsoSize === 0 ? 1 : SEGMENTS, () => {
    const count = splitter.begin(at - VIRTIO_HEADER_SIZE, at, bytes.length);
    splitter.write(rows, 0, count, SLOTS_AT, STRIDE);
  });
}

function figures(arena: Arena): Record<string, number> {
  let sink = 0;
  const payload = new Uint8Array(PAYLOAD * SEGMENTS).map((_, i) => i * 7);
  const walk = { at: 0 };
  const step = (): number => {
    walk.at = (walk.at + 1) % ROWS;
    return SLOTS_AT + walk.at * STRIDE;
  };
  const flows = [1, 2, 3, 4].map((port) => tcp(4, port, payload));
  const figures = {
    checksum: measure(1, () => {
      sink ^= arena.sum(step(), PAYLOAD, 0);
    }),
    'copy and checksum': measure(1, () => {
      sink ^= arena.copySum(step(), 4096, PAYLOAD, 0);
    }),
    'split, TCP over IPv4': splitting(arena, tcp(4, 1, payload), PAYLOAD),
    'split, TCP over IPv6': splitting(arena, tcp(6, 1, payload), PAYLOAD),
    'split, UDP': splitting(arena, { ...tcp(4, 1, payload), protocol: 17, options: [] }, PAYLOAD),
    'checksum in place': splitting(arena, tcp(4, 1, payload.subarray(0, PAYLOAD)), 0),
    'coalesce, one flow': coalescing(arena, flows.slice(0, 1), SEGMENTS, true),
    'coalesce, TCP over IPv6': coalescing(arena, [tcp(6, 1, payload)], SEGMENTS, true),
    'coalesce, UDP': coalescing(arena, [{ ...tcp(4, 1, payload), protocol: 17, options: [] }], SEGMENTS, true),
    'coalesce, four flows packet by packet': coalescing(arena, flows, 1, true),
    'coalesce, 64 flows packet by packet': coalescing(
      arena,
      Array.from({ length: 64 }, (_, port) => tcp(4, port, payload.subarray(0, 4 * PAYLOAD))),
      1,
      true,
    ),
    'coalesce, switched off': coalescing(arena, flows.slice(0, 1), SEGMENTS, false),
  };
  if (sink === -1) console.log(sink);
  return figures;
}

export function measureOffload({ rounds, quick }: Effort): Group[] {
  repeats = quick ? QUICK_REPEATS : REPEATS;
  const table = new Table(rounds);
  const arenas = { wasm: wasmArena(WASM, SIZE), javascript: plainArena(new Uint8Array(SIZE)) };
  for (let round = 0; round < rounds; round++) {
    for (const [column, arena] of Object.entries(arenas)) {
      for (const [name, took] of Object.entries(figures(arena))) {
        table.figure('offload', name, name, 'ns', 'less');
        table.put(name, column, round, took);
      }
    }
  }
  const columns = [
    { id: 'wasm', title: 'WebAssembly' },
    { id: 'javascript', title: 'JavaScript' },
  ];
  const title = `Offload layer, a packet of ${PAYLOAD} B of payload`;
  return [{ id: 'offload', title, columns, baseline: 'javascript', figures: table.figures() }];
}
