/**
 * The data worker: a thread that does nothing but run the data plane. The cipher is handed in by the
 * worker's entry, of which the product has one (worker.ts).
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { Keystream } from '../crypto/aead.js';
import type { Crypto } from '../crypto/index.js';
import { giveMemoryBack } from '../linux/memory.js';
import { EventFd } from '../linux/poll.js';
import { shortenTimeSlices } from '../linux/process.js';
import { decodeChange, StatusEncoder } from './codec.js';
import { DataPlane } from './data-plane.js';
import { HeldDescriptors } from './held.js';
import type { Reply, Request, WorkerSettings } from './protocol.js';

/** Peers told in one message, and its size: less than a millisecond's work. */
const PEERS_A_CHUNK = 64;
const CHUNK_BYTES = 16_384;
/** Walks through the peers under way at once; the oldest makes way. */
const MAX_READERS = 64;
/** How long a change is worked on before packets have their turn, and steps between two looks at the clock. */
const CHANGE_TIME_MS = 1;
const STEPS_A_LOOK = 64;
/** A change of so many steps leaves much behind, which V8 would keep until packets make garbage: they make none. */
const LARGE_STEPS = 8192;
/** Of this thread, on kernels that have it (docs/adr/0021): the least that they take. */
const TIME_SLICE_NS = 100_000;

const port = parentPort as MessagePort;
const say = (reply: Reply, ...handedOver: ArrayBuffer[]): void => port.postMessage(reply, handedOver);
const readers = new Map<number, StatusEncoder>();

/** A change under way. The main thread sends the next one when this one is done. */
interface Changing {
  readonly id: number;
  readonly message: ArrayBuffer;
  readonly steps: Generator<void, void>;
  done: number;
}
let changing: Changing | undefined;

function readPeers(plane: DataPlane, request: Extract<Request, { type: 'peers' }>): void {
  const reader = readers.get(request.reader) ?? new StatusEncoder(plane.device);
  readers.delete(request.reader);
  const message = reader.next(PEERS_A_CHUNK, CHUNK_BYTES);
  if (!message) return say({ type: 'peers', id: request.id });
  readers.set(request.reader, reader);
  for (const oldest of readers.keys()) {
    if (readers.size <= MAX_READERS) break;
    readers.delete(oldest);
  }
  say({ type: 'peers', id: request.id, peers: message }, message);
}

function report(plane: DataPlane, id: number): void {
  const told = plane.report();
  say({ type: 'report', id, report: told }, ...(told.privateKey ? [told.privateKey.buffer as ArrayBuffer] : []));
}

function startChange(plane: DataPlane, { id, change: message }: Extract<Request, { type: 'configure' }>): void {
  const { change, peers, prefixes } = decodeChange(message);
  const steps = plane.configure(change, peers, prefixes);
  if (typeof steps !== 'number') changing = { id, message, steps, done: 0 };
  else endChange(id, message, steps);
}

function endChange(id: number, message: ArrayBuffer, errno: number): void {
  new Uint8Array(message).fill(0);
  say({ type: 'configured', id, errno });
}

/** @returns whether there is more to do */
function goOnChanging(plane: DataPlane): boolean {
  const until = performance.now() + CHANGE_TIME_MS;
  while (changing && performance.now() < until) {
    for (let i = 0; i < STEPS_A_LOOK && changing; i++) {
      changing.done++;
      if (!changing.steps.next().done) continue;
      const { id, message, done } = changing;
      changing = undefined;
      endChange(id, message, 0);
      if (done >= LARGE_STEPS) giveMemoryBack();
    }
  }
  plane.settle();
  return changing !== undefined;
}

function handle(plane: DataPlane, request: Request): void {
  switch (request.type) {
    case 'configure':
      startChange(plane, request);
      break;
    case 'report':
      report(plane, request.id);
      break;
    case 'peers':
      readPeers(plane, request);
      break;
    case 'close':
      plane.end();
      break;
  }
}

/** Makes the cipher, for packets in this memory; a keystream may be put where it says. */
export type MakeCrypto = (arena: Uint8Array, settings: WorkerSettings, keystream: Keystream) => Crypto;

function start(makeCrypto: MakeCrypto): DataPlane | undefined {
  const settings = workerData as WorkerSettings;
  const held = new HeldDescriptors(settings.held);
  try {
    return new DataPlane(
      settings,
      held,
      (arena, keystream) => makeCrypto(arena, settings, keystream),
      (level, message) => say({ type: 'log', level, message }),
      settings.events ? (event) => say({ type: 'event', event }) : () => {},
    );
  } catch (error) {
    // The interface is gone when the caller hears of it, not when the process ends.
    held.closeAll();
    const { code = 'ERR_ENGINE', message } = error as Error & { code?: string };
    say({ type: 'failed', code, message });
    return undefined;
  }
}

/** Runs a data plane in this worker until it ends. */
export function serve(makeCrypto: MakeCrypto): void {
  const plane = start(makeCrypto);
  if (!plane) return;
  shortenTimeSlices(TIME_SLICE_NS);
  say({ type: 'log', level: 'debug', message: `AEAD back end: ${plane.crypto.backend}` });
  say({ type: 'started', name: plane.name });
  const wake = new EventFd((workerData as WorkerSettings).wakeFd);
  try {
    plane.run(() => {
      for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
        handle(plane, got.message as Request);
      }
      if (changing && goOnChanging(plane)) wake.signal();
    });
  } finally {
    plane.close();
  }
}
