/**
 * The ordinary tools of the system, run without a shell. Those that change something are told on standard
 * error first, as `[#] command`.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { withSystemPath } from '../../rootless/programs.js';
import { CommandError, QuickError } from './errors.js';

/** What a tool may answer: the routes of a million prefixes. */
const MAX_OUTPUT_BYTES = 256 << 20;

export function echo(command: string): void {
  process.stderr.write(`[#] ${command}\n`);
}

/** Tells of a command and runs it. @throws CommandError */
export async function run(words: readonly string[], input?: string): Promise<void> {
  const command = words.join(' ');
  echo(command);
  // A group of its own: Ctrl-C is for us, who end after this step and take it back, and not for the step.
  const child = spawn(words[0]!, words.slice(1), {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'inherit', 'inherit'],
    detached: true,
  });
  feed(child.stdin, input);
  await ended(child, command);
}

/** Runs a command that only asks. @returns its standard output @throws CommandError; what it complains of is not shown */
export async function read(words: readonly string[]): Promise<string> {
  // An ordinary user may ask as well, whose PATH often lacks the places of such tools.
  const env = { ...process.env, PATH: withSystemPath(process.env['PATH']) };
  const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'ignore'], detached: true, env });
  const parts: Buffer[] = [];
  let length = 0;
  child.stdout.on('data', (part: Buffer) => {
    length += part.length;
    if (length <= MAX_OUTPUT_BYTES) parts.push(part);
  });
  await ended(child, words.join(' '));
  if (length > MAX_OUTPUT_BYTES) throw new QuickError(`\`${words.join(' ')}' says more than ${MAX_OUTPUT_BYTES} bytes`);
  return Buffer.concat(parts).toString();
}

/** As {@link read}, and nothing where the command fails. */
export async function readOr(words: readonly string[], otherwise: string): Promise<string> {
  try {
    return await read(words);
  } catch (error) {
    if (error instanceof CommandError) return otherwise;
    throw error;
  }
}

/** Runs a program of the user's: its input, output and terminal are ours. @throws CommandError */
export async function runInForeground(
  words: readonly string[],
  command: string,
  more: { readonly fd3?: string } = {},
): Promise<void> {
  const stdio: StdioOptions = ['inherit', 'inherit', 'inherit', ...(more.fd3 === undefined ? [] : ['pipe' as const])];
  const child = spawn(words[0]!, words.slice(1), { stdio });
  feed(child.stdio[3] as Writable | undefined, more.fd3);
  await ended(child, command);
}

function feed(stream: Writable | null | undefined, text: string | undefined): void {
  // It may end without reading all of it: its exit code counts.
  stream?.on('error', () => {});
  stream?.end(text);
}

/** @throws CommandError */
async function ended(child: ChildProcess, command: string): Promise<void> {
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' && error.code !== 'EACCES') reject(error);
      process.stderr.write(
        `wg-quick: ${child.spawnfile}: ${error.code === 'ENOENT' ? 'not installed' : 'cannot be run'}\n`,
      );
      resolve(error.code === 'ENOENT' ? 127 : 126);
    });
    child.on('close', (status, signal) => resolve(status ?? 128 + os.signals[signal ?? 'SIGKILL']));
  });
  if (code !== 0) throw new CommandError(command, code);
}

/** Whether there is a command of this name in PATH. */
export function isInstalled(command: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
