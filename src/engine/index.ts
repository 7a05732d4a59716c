/**
 * The main thread's hold on the data worker.
 */
import { Worker } from 'node:worker_threads';
import type { DeviceChange, PeerStatus } from '../core/change.js';
import { close } from '../linux/libc.js';
import { EventFd } from '../linux/poll.js';
import { atExit } from './at-exit.js';
import { decodeStatus, encodeChange } from './codec.js';
import type { DeviceReport, Engine, EngineOptions } from './handle.js';
import { HeldDescriptors, TUN } from './held.js';
import { OFFLOAD_VARIABLE, type Offloads, parseOffloads } from './offloads.js';
import type { Reply, Request, WorkerSettings } from './protocol.js';

export type { Engine, EngineOptions } from './handle.js';

/** The device could not be made: `code` is an errno's name, or one of CryptoError's. */
export class EngineError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'EngineError';
    this.code = code;
  }
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

class WorkerEngine implements Engine {
  interfaceName = '';
  readonly ended: Promise<Error | undefined>;
  readonly #worker: Worker;
  readonly #wake: EventFd;
  readonly #options: EngineOptions;
  readonly #waiting = new Map<number, (reply: Reply | undefined) => void>();
  #nextId = 0;
  #nextReader = 0;
  #configuring: Promise<unknown> = Promise.resolve();
  #isEnded = false;

  constructor(options: EngineOptions, offloads: Offloads, worker: URL) {
    this.#options = options;
    const held = new HeldDescriptors();
    if (options.tunFd !== undefined) held.hold(TUN, options.tunFd);
    this.#wake = new EventFd();
    const aead = process.env['TYPETUN_AEAD'];
    const settings: WorkerSettings = {
      name: options.name,
      wakeFd: this.#wake.fd,
      held: held.memory,
      offloads: [...offloads],
      events: options.onEvent !== undefined,
      ...(options.tunFd !== undefined && { tunFd: options.tunFd }),
      ...(options.tunMtu !== undefined && { tunMtu: options.tunMtu }),
      ...(aead !== undefined && { aead }),
    };
    this.#worker = new Worker(worker, {
      workerData: settings,
      // Packets make no garbage: a large space for new objects would only be filled by changes, and kept.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
      // The program's own are not meant for it: loaders, and --input-type, which is refused with a file.
      execArgv: [],
    });
    // A thread that waits in poll(2) would keep the process from ending: Node.js waits for it in turn.
    const forget = atExit(() => this.#tellToClose());
    this.ended = new Promise((resolve) => {
      let crash: Error | undefined;
      this.#worker.on('error', (error) => {
        crash = error instanceof Error ? error : new Error(String(error));
      });
      this.#worker.on('exit', (code) => {
        this.#isEnded = true;
        forget();
        this.#wake.close();
        held.closeAll();
        for (const settle of this.#waiting.values()) settle(undefined);
        this.#waiting.clear();
        resolve(crash ?? (code === 0 ? undefined : new Error(`data worker exited with ${code}`)));
      });
    });
  }

  start(): Promise<Engine> {
    return new Promise((resolve, reject) => {
      this.#worker.on('message', (reply: Reply) => {
        if (reply.type === 'log') this.#options.log(reply.level, reply.message);
        else if (reply.type === 'event') this.#options.onEvent?.(reply.event);
        else if (reply.type === 'started') {
          this.interfaceName = reply.name;
          resolve(this);
        } else if (reply.type === 'failed') reject(new EngineError(reply.code, reply.message));
        else {
          this.#waiting.get(reply.id)?.(reply);
          this.#waiting.delete(reply.id);
        }
      });
      void this.ended.then((error) => reject(error ?? new EngineError('ERR_ENGINE', 'the data worker ended')));
    });
  }

  configure(change: DeviceChange): Promise<number> {
    const done = this.#configuring.then(() => this.#configure(change));
    this.#configuring = done.catch(() => {});
    return done;
  }

  async #configure(change: DeviceChange): Promise<number> {
    const reply = await this.#ask({ type: 'configure', change: encodeChange(change) });
    if (reply.type !== 'configured') throw new Error('the data worker answered out of turn');
    return reply.errno;
  }

  async report(): Promise<DeviceReport> {
    const reply = await this.#ask({ type: 'report' });
    if (reply.type !== 'report') throw new Error('the data worker answered out of turn');
    return reply.report;
  }

  async *peers(): AsyncIterable<readonly PeerStatus[]> {
    const reader = this.#nextReader++;
    /** Told once it is complete: its prefixes may go on in the next message. */
    let last: PeerStatus[] = [];
    for (;;) {
      const reply = await this.#ask({ type: 'peers', reader });
      if (reply.type !== 'peers' || reply.peers === undefined) break;
      const peers = [...last, ...decodeStatus(reply.peers, last[0])];
      last = peers.splice(-1);
      if (peers.length > 0) yield peers;
    }
    if (last.length > 0) yield last;
  }

  async close(): Promise<void> {
    if (!this.#isEnded) this.#tellToClose();
    await this.ended;
  }

  #tellToClose(): void {
    this.#worker.postMessage({ type: 'close', id: this.#nextId++ } satisfies Request);
    this.#wake.signal();
  }

  #ask(request: WithoutId<Request>): Promise<Reply> {
    if (this.#isEnded) return Promise.reject(new EngineError('ERR_CLOSED', 'the device is closed'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (reply) => {
        if (reply) resolve(reply);
        else reject(new EngineError('ERR_CLOSED', 'the device is closed'));
      });
      this.#worker.postMessage({ ...request, id }, request.type === 'configure' ? [request.change] : []);
      this.#wake.signal();
    });
  }
}

/**
 * Makes the device and starts its data worker.
 * @param worker its entry: bench/ alone has another one, with the same data plane around a cipher of its own
 * @throws EngineError, with an errno's name as its code where the system refused; OffloadError for names of none
 */
export async function startEngine(
  options: EngineOptions,
  worker: URL = new URL('./worker.js', import.meta.url),
): Promise<Engine> {
  return new WorkerEngine(options, offloadsOf(options), worker).start();
}

function offloadsOf({ offloads, tunFd }: EngineOptions): Offloads {
  try {
    return parseOffloads(offloads ?? process.env[OFFLOAD_VARIABLE] ?? '');
  } catch (error) {
    if (tunFd !== undefined) close(tunFd);
    throw error;
  }
}
