/**
 * The daemon: a device, its UAPI socket, signals, and how it ends.
 */
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { type Engine, EngineError, startEngine } from '../engine/index.js';
import { disableCoreDumps } from '../linux/process.js';
import { checkSocketFree, listenUapi, type UapiServer } from '../uapi/server.js';
import { createLog, type Log, logLevel } from './log.js';
import { startFailure } from './messages.js';

/** In the child's environment: the descriptor it reports on, "ready" or what went wrong. */
const REPORT_FD = 'TYPETUN_REPORT_FD';

/**
 * Starts the daemon in the background.
 * @returns the exit code, once TUN and socket are there, or the start failed
 */
export function startInBackground(name: string): Promise<number> {
  const main = process.argv[1] ?? '';
  // As wireguard-go: the terminal is kept only for logs that were asked for.
  const output = process.env['LOG_LEVEL'] === undefined ? 'ignore' : 'inherit';
  const stdio: ('ignore' | 'inherit' | 'pipe' | number)[] = ['ignore', output, output, 'pipe'];
  const report = stdio.length - 1;
  const env: NodeJS.ProcessEnv = { ...process.env, WG_PROCESS_FOREGROUND: '1', [REPORT_FD]: String(report) };
  for (const key of ['WG_TUN_FD', 'WG_UAPI_FD']) {
    const fd = descriptor(key);
    if (fd === undefined) continue;
    env[key] = String(stdio.length);
    stdio.push(fd);
  }
  const child = spawn(process.execPath, [...process.execArgv, main, '-f', name], { env, stdio, detached: true });
  return new Promise((resolve) => {
    let said = '';
    const pipe = child.stdio[report] as NodeJS.ReadableStream;
    pipe.setEncoding('utf8');
    pipe.on('data', (text: string) => {
      said += text;
    });
    pipe.on('close', () => {
      if (said === 'ready') {
        child.unref();
        resolve(0);
      } else {
        process.stderr.write(said || 'typetun: the daemon ended before it was ready\n');
        resolve(1);
      }
    });
  });
}

/** Runs the device in this process. @returns the exit code when it ended */
export async function runDaemon(name: string): Promise<number> {
  disableCoreDumps();
  const log = createLog(logLevel(process.env['LOG_LEVEL']), name);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  process.on('SIGHUP', () => {});
  const reportFd = descriptor(REPORT_FD);
  delete process.env[REPORT_FD];
  const report = (text: string): void => {
    if (reportFd === undefined) {
      if (text !== 'ready') process.stderr.write(text);
      return;
    }
    writeSync(reportFd, text);
    closeSync(reportFd);
  };
  let engine: Engine | undefined;
  try {
    const tunFd = descriptor('WG_TUN_FD');
    const uapiFd = descriptor('WG_UAPI_FD');
    if (uapiFd === undefined) await checkSocketFree(name);
    engine = await startEngine({ name, log, ...(tunFd !== undefined && { tunFd }) });
    const uapi = await listenUapi({
      name: engine.interfaceName,
      target: engine,
      log,
      ...(uapiFd !== undefined && { fd: uapiFd }),
    });
    report('ready');
    return await serve(engine, uapi, log);
  } catch (error) {
    await engine?.close();
    const { code = '', message } = error as Error & { code?: string };
    const text = error instanceof EngineError ? startFailure(name, code, message) : message;
    report(`typetun: ${text}\n`);
    return 1;
  }
}

/** Until a signal, the removal of the socket, or the end of the device. */
async function serve(engine: Engine, uapi: UapiServer, log: Log): Promise<number> {
  log('debug', 'UAPI listener started');
  process.on('SIGUSR2', () => {
    void describe(engine).then((text) => createLog('debug', engine.interfaceName)('debug', text));
  });
  const signalled = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve());
  });
  const crashed = await Promise.race([signalled, uapi.removed, engine.ended]);
  await uapi.close();
  await engine.close();
  if (crashed instanceof Error) {
    process.stderr.write(`typetun: the data worker failed: ${crashed.stack ?? crashed.message}\n`);
    return 1;
  }
  log('debug', 'Shutting down');
  return 0;
}

async function describe(engine: Engine): Promise<string> {
  const { listenPort, drops } = await engine.report();
  const counts = Object.entries(drops).map(([reason, count]) => `${reason}=${count}`);
  return `listening on port ${listenPort}; drops: ${counts.join(' ') || 'none'}`;
}

function descriptor(key: string): number | undefined {
  const value = process.env[key];
  if (value === undefined || value === '') return undefined;
  if (!/^\d{1,6}$/.test(value)) throw new Error(`${key}=${value}: expected a file descriptor's number`);
  return Number(value);
}
