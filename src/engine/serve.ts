/**
 * The data worker: a thread that does nothing but run the data plane. The cipher is handed in by the
 * worker's entry, of which the product has one (worker.ts).
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { PeerCursor } from '../core/device.js';
import type { Keystream } from '../crypto/aead.js';
import type { Crypto } from '../crypto/index.js';
import { DataPlane } from './data-plane.js';
import type { Reply, Request, WorkerSettings } from './protocol.js';

/** Peers told in one message: about a millisecond's work. */
const PEERS_A_CHUNK = 256;
/** Walks through the peers under way at once; the oldest makes way. */
const MAX_READERS = 64;

const port = parentPort as MessagePort;
const say = (reply: Reply): void => port.postMessage(reply);
const readers = new Map<number, PeerCursor>();

function readPeers(plane: DataPlane, request: Extract<Request, { type: 'peers' }>): void {
  const { peers, cursor } = plane.device.peers(PEERS_A_CHUNK, readers.get(request.reader));
  readers.delete(request.reader);
  if (peers.length > 0) readers.set(request.reader, cursor);
  for (const oldest of readers.keys()) {
    if (readers.size <= MAX_READERS) break;
    readers.delete(oldest);
  }
  say({ type: 'peers', id: request.id, peers });
}

function handle(plane: DataPlane, request: Request): void {
  switch (request.type) {
    case 'configure':
      say({ type: 'configured', id: request.id, errno: plane.configure(request.change) });
      break;
    case 'report':
      say({ type: 'report', id: request.id, report: plane.report() });
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
  try {
    return new DataPlane(
      settings,
      (arena, keystream) => makeCrypto(arena, settings, keystream),
      (level, message) => say({ type: 'log', level, message }),
      settings.events ? (event) => say({ type: 'event', event }) : () => {},
    );
  } catch (error) {
    const { code = 'ERR_ENGINE', message } = error as Error & { code?: string };
    say({ type: 'failed', code, message });
    return undefined;
  }
}

/** Runs a data plane in this worker until it ends. */
export function serve(makeCrypto: MakeCrypto): void {
  const plane = start(makeCrypto);
  if (!plane) return;
  say({ type: 'log', level: 'debug', message: `AEAD back end: ${plane.crypto.backend}` });
  say({ type: 'started', name: plane.name });
  try {
    plane.run(() => {
      for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
        handle(plane, got.message as Request);
      }
    });
  } finally {
    plane.close();
  }
}
