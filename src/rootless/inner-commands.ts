/** In the helper: the commands it runs, and every process that is left to it as the first of its PID namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { reapOrphans, stoppedBy } from '../linux/children.js';
import { findProgram, SYSTEM_PATH } from './programs.js';
import type { CommandSetup, News } from './protocol.js';

const own = new Set<number>();
const commands = new Map<number, ChildProcess>();
/** Not looked for in the command's PATH. */
const found = findProgram('unshare', SYSTEM_PATH, '/');
const UNSHARE = typeof found === 'string' ? found : 'unshare';

/** Starts to look after children. @param tell hears of commands that stop and end */
export function watchChildren(tell: (news: News) => void): void {
  const look = (): void => {
    for (const [command, { pid }] of commands) {
      const signal = pid === undefined ? undefined : stoppedBy(pid);
      if (signal !== undefined) tell({ type: 'stopped', command, signal });
    }
    if (!reapOrphans((pid) => own.has(pid))) setImmediate(look);
  };
  process.on('SIGCHLD', look);
}

/** As spawn, for a child that {@link watchChildren} leaves to Node.js. */
export function spawnOwn(...[command, args, options]: Parameters<typeof spawn>): ChildProcess {
  const child = spawn(command, args, options);
  const { pid } = child;
  if (pid !== undefined) {
    own.add(pid);
    child.once('exit', () => own.delete(pid));
  }
  return child;
}

/**
 * Starts a command.
 * @param streams its descriptors 0, 1 and 2
 * @returns settles when it runs @throws what spawn says
 */
export function runInside(
  id: number,
  { command, args, env, cwd, identity }: CommandSetup,
  streams: readonly number[],
  tell: (news: News) => void,
): Promise<void> {
  // Back from the root of our user namespace to the caller, with no power over this network namespace.
  const words = identity
    ? [UNSHARE, '--user', `--map-user=${identity.uid}`, `--map-group=${identity.gid}`, '--', command, ...args]
    : [command, ...args];
  const child = spawnOwn(words[0]!, words.slice(1), { env: { ...env }, cwd, stdio: [...streams] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      commands.set(id, child);
      resolve();
    });
    child.once('exit', (code, signal) => {
      commands.delete(id);
      tell({ type: 'exited', command: id, code, signal });
    });
  });
}

export function signalCommand(id: number, signal: NodeJS.Signals): void {
  commands.get(id)?.kill(signal);
}
