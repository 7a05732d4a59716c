/** In the helper: the commands it runs, and every process that is left to it as the first of its PID namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { reapOthers, stoppedBy } from '../linux/children.js';
import { spawnProcess } from '../linux/spawn.js';
import { findProgram, SYSTEM_PATH } from './programs.js';
import { type CommandSetup, type News, PASSED_ON } from './protocol.js';

/** For a signal that the kernel is still handing out to a group, one process after the other. */
const GROUP_MS = 20;
const own = new Set<number>();
/** Of each command its pid. */
const commands = new Map<number, number>();
/** Signals that came here and have not come from the owner yet. */
const heard = new Set<NodeJS.Signals>();
/** Not looked for in the command's PATH. */
const found = findProgram('unshare', SYSTEM_PATH, '/');
const UNSHARE = typeof found === 'string' ? found : 'unshare';

/** Starts to look after children, and to hear signals. @param tell hears of commands that stop and end */
export function watchChildren(tell: (news: News) => void): void {
  const look = (): void => {
    for (const [command, pid] of commands) {
      const signal = stoppedBy(pid);
      if (signal !== undefined) tell({ type: 'stopped', command, signal });
    }
    const isDone = reapOthers(
      (pid) => own.has(pid),
      (ended, exit) => {
        const [command] = [...commands].find(([, pid]) => pid === ended) ?? [];
        if (command === undefined) return;
        commands.delete(command);
        tell({ type: 'exited', command, exit });
      },
    );
    if (!isDone) setImmediate(look);
  };
  process.on('SIGCHLD', look);
  for (const signal of PASSED_ON) process.on(signal, () => heard.add(signal));
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
 * Starts a command, found in the PATH of its own environment.
 * @param streams its descriptors 0, 1 and 2
 * @throws SystemError
 */
export function runInside(id: number, setup: CommandSetup, streams: readonly number[]): void {
  const { words, env, identity, ...rest } = setup;
  // Back from the root of our user namespace to the caller, with no power over this network namespace.
  const back = identity ? ['--user', `--map-user=${identity.uid}`, `--map-group=${identity.gid}`] : [];
  const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
  heard.clear();
  const all = [UNSHARE, ...back, '--', ...words].map(bytes);
  commands.set(id, spawnProcess({ path: UNSHARE, words: all, env: env.map(bytes), streams, ...rest }));
}

/**
 * The owner got a signal. What the terminal or kill(2) sends to a process group comes to this process, too: it is
 * of the owner's group, as the command is unless it chose another.
 */
export function signalCommand(id: number, signal: NodeJS.Signals): void {
  // Once what has come is read: a process that the system let wait has timers that are due before.
  setTimeout(() => setImmediate(() => passOn(id, signal)), GROUP_MS);
}

function passOn(id: number, signal: NodeJS.Signals): void {
  if (heard.delete(signal)) return;
  const pid = commands.get(id);
  try {
    if (pid !== undefined) process.kill(pid, signal);
  } catch {
    // It may not be sent to what the command has become.
  }
}
