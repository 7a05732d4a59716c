/** Starting the daemon in the background: this process waits until its child is ready, and ends. */
import { type StdioOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { descriptor, READY, REPORT_FD, TUN_FD, UAPI_FD } from './environment.js';
import { logLevel } from './log.js';

/**
 * @param name of the interface
 * @returns the exit code: 0 once TUN and socket are there, 1 when the start failed (and why was said)
 */
export async function startInBackground(name: string): Promise<number> {
  // Whoever waits for the end of our output, as a shell's $(...), must not wait for the daemon's end:
  // it keeps the output only for logs that were asked for.
  const wanted = process.env['LOG_LEVEL'];
  const output = wanted === undefined || wanted === '' || logLevel(wanted) === 'silent' ? 'ignore' : 'inherit';
  const stdio: Extract<StdioOptions, unknown[]> = ['ignore', output, output, 'pipe'];
  const env: NodeJS.ProcessEnv = { ...process.env, WG_PROCESS_FOREGROUND: '1', [REPORT_FD]: '3' };
  for (const key of [TUN_FD, UAPI_FD]) {
    const fd = descriptor(key);
    if (fd === undefined) continue;
    env[key] = String(stdio.length);
    stdio.push(fd);
  }
  // Not by the name that this process was called by: that may be a symbolic link which means a command.
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const args = [...process.execArgv, main, '-f', '--', name];
  const child = spawn(process.execPath, args, { env, stdio, detached: true });
  const failed = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(`cannot start ${process.execPath}: ${error.message}`));
  });
  const said = await Promise.race([failed, readAll(child.stdio[3] as Readable)]);
  child.unref();
  if (said === READY) return 0;
  process.stderr.write(`typetun: ${said || 'the daemon ended before it was ready'}\n`);
  return 1;
}

function readAll(stream: Readable): Promise<string> {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    text += chunk;
  });
  return new Promise((resolve) => stream.on('close', () => resolve(text)));
}
