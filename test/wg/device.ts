/** A typetun device of a test's own, by its daemon. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { socketPath } from '../../src/uapi/paths.js';
import { commandOf } from '../netns/environment.js';

const STEP_MS = 50;
const STEPS = 400;

/** @returns how to end it */
export async function startDevice(name: string): Promise<() => Promise<void>> {
  const [command, ...words] = commandOf('typetun')!;
  const daemon: ChildProcess = spawn(command!, [...words, '-f', name], { stdio: ['ignore', 'inherit', 'inherit'] });
  for (let i = 0; i < STEPS && !existsSync(socketPath(name)); i++) {
    if (daemon.exitCode !== null) throw new Error(`the daemon of ${name} ended with ${daemon.exitCode}`);
    await new Promise((done) => setTimeout(done, STEP_MS));
  }
  return async () => {
    daemon.kill();
    await once(daemon, 'exit');
  };
}
