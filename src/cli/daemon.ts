/**
 * The daemon: a device, its UAPI socket, signals, and how it ends. The main thread does no more than
 * this; packets are the data worker's.
 */
import { closeSync, writeSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { type Engine, startEngine } from '../engine/index.js';
import { probeSystem, startFailure } from '../engine/messages.js';
import { releaseStartupPages } from '../linux/memory.js';
import { disableCoreDumps } from '../linux/process.js';
import { scopeIndex, scopeName } from '../linux/scopes.js';
import { checkSocketFree, listenUapi, type UapiServer } from '../uapi/server.js';
import { descriptor, READY, REPORT_FD, TUN_FD, UAPI_FD } from './environment.js';
import { Log, logLevel } from './log.js';

/** A worker that does not end, or a log that nobody reads, is not waited for any longer. */
const END_TIME_MS = 5_000;
/** What the main thread's nice value, nice(2), is above the data worker's. */
const MAIN_THREAD_NICE = 5;
const MOST_NICE = 19;
/** After it, what the start alone needed in memory goes. */
const STARTED_AFTER_MS = 1_000;

interface Daemon {
  readonly engine: Engine;
  readonly uapi: UapiServer;
}

/**
 * Runs a device in this process.
 * @param name of the interface
 * @returns the exit code, when it ended
 */
export async function runDaemon(name: string): Promise<number> {
  disableCoreDumps();
  const log = new Log(logLevel(process.env['LOG_LEVEL']), name);
  let daemon: Daemon | undefined;
  // From the beginning on: a signal that nobody handles ends the process.
  process.on('SIGUSR2', () => daemon && void logStatus(daemon.engine, log));
  const signalled = listenToSignals(log);
  process.title = `typetun ${name}`;
  // A working directory would keep its file system from being unmounted; from a deleted one Node.js starts no thread.
  process.chdir('/');
  const report = reporter();
  try {
    daemon = await start(name, log);
  } catch (error) {
    report(startFailure(name, error, probeSystem(name)));
    return 1;
  }
  endOnBugs(daemon, log);
  log.debug('UAPI listener started');
  // Of this thread alone: packets go before what somebody wants to know.
  setPriority(0, Math.min(getPriority(0) + MAIN_THREAD_NICE, MOST_NICE));
  report(READY);
  setTimeout(releaseStartupPages, STARTED_AFTER_MS).unref();
  return serve(daemon, signalled, log);
}

/** @throws whatever keeps the device or its socket from being made; nothing is left behind then */
async function start(name: string, log: Log): Promise<Daemon> {
  const tunFd = descriptor(TUN_FD);
  const fd = descriptor(UAPI_FD);
  if (fd === undefined) await checkSocketFree(name);
  const write = log.write.bind(log);
  const engine = await startEngine({ name, log: write, ...(tunFd !== undefined && { tunFd }) });
  log.name = engine.interfaceName;
  log.debug('Device started');
  try {
    const uapi = await listenUapi({
      name: engine.interfaceName,
      target: engine,
      log: write,
      resolveScope: scopeIndex,
      scopeName,
      ...(fd !== undefined && { fd }),
    });
    return { engine, uapi };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** Until a signal, the removal of the socket, or the end of the device. @returns the exit code */
async function serve({ engine, uapi }: Daemon, signalled: Promise<void>, log: Log): Promise<number> {
  const crash = await Promise.race([signalled, uapi.removed, engine.ended]);
  log.debug('Shutting down');
  setTimeout(() => process.exit(process.exitCode ?? 1), END_TIME_MS).unref();
  await uapi.close();
  await engine.close();
  if (!(crash instanceof Error)) return 0;
  log.error(`The data worker failed: ${crash.stack ?? crash.message}`);
  return 1;
}

/** @returns settles at the first signal to end; a second one ends the process at once */
function listenToSignals(log: Log): Promise<void> {
  // Nobody may be there any more to read the log, and that is no reason to end.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  process.on('SIGHUP', () => {});
  // Left alone, this one makes Node.js open its debugger to every user of the machine.
  process.on('SIGUSR1', () => {});
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.debug(`${signal} received`);
        resolve();
        process.once(signal, () => process.exit(1));
      });
    }
  });
}

/** Says how the start went: to the process that waits for it, or here. */
function reporter(): (text: string) => void {
  const fd = descriptor(REPORT_FD);
  delete process.env[REPORT_FD];
  return (text) => {
    if (fd === undefined) {
      if (text !== READY) process.stderr.write(`typetun: ${text}\n`);
      return;
    }
    try {
      writeSync(fd, text);
      closeSync(fd);
    } catch {
      // It did not wait. The device is there all the same.
    }
  };
}

/** A bug on this thread ends the process, its socket and its device. */
function endOnBugs({ uapi }: Daemon, log: Log): void {
  process.on('uncaughtException', (error) => {
    log.error(`Internal error: ${error.stack ?? error.message}`);
    void uapi.close();
    process.exit(1);
  });
}

async function logStatus(engine: Engine, log: Log): Promise<void> {
  try {
    const { listenPort, fwmark, drops, offloads } = await engine.report();
    const counts = Object.entries(drops).map(([reason, count]) => `${reason}=${count}`);
    const inUse = offloads.join(' ') || 'none';
    log.always(`listen port ${listenPort}, fwmark ${fwmark}, offloads: ${inUse}, drops: ${counts.join(' ') || 'none'}`);
  } catch {
    log.always('the device has ended');
  }
}
