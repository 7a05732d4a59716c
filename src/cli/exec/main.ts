/** `typetun exec`: a command whose only network is a tunnel, and ways into it for programs outside. */
import { writeSync } from 'node:fs';
import type { WgQuickConfig } from '../../config/index.js';
import { detach } from '../../linux/descriptors.js';
import { Capability, forbidDumps, keepCapabilities } from '../../linux/process.js';
import { scopeName } from '../../linux/scopes.js';
import { isForeground, takeForeground } from '../../linux/terminal.js';
import { findProgram, withSystemPath } from '../../rootless/programs.js';
import { hasPrivileges } from '../../rootless/refusal.js';
import { openTunnel, type RootlessTunnel } from '../../rootless/tunnel.js';
import { inferMtu } from '../wg-quick/mtu.js';
import { EXEC_USAGE, type ExecLine, parseExec } from './arguments.js';
import { type Caller, isGarbled, leaveDeletedDirectory, readCaller } from './caller.js';
import { readConfig } from './config-file.js';
import { readCredentials, startServices, tellReady, tellStopping } from './services.js';
import { Signals } from './signals.js';

/** As env(1) and timeout(1) have them: the command's own status may be any other. */
const FAILED = 125;
const NOT_RUN = { EACCES: 126, ENOENT: 127 } as const;

/** Not by `process.stderr`, which would make the command's standard error one that does not block. */
function say(message: string): void {
  try {
    writeSync(2, `typetun: ${message}\n`);
  } catch {
    // Nobody is there to read it.
  }
}

/** Ends the process with the exit status. */
export async function runExec(args: readonly string[]): Promise<never> {
  let status = FAILED;
  try {
    status = await execute(parseExec(args), readCaller(args));
    // Node.js would put the terminal's settings back to what they were before the command.
    detach(2);
  } catch (error) {
    say((error as Error).message);
  }
  // Connections through forwards would keep this process.
  process.exit(status);
}

async function execute(line: ExecLine, caller: Caller): Promise<number> {
  if (line.help) {
    writeSync(1, EXEC_USAGE);
    return 0;
  }
  const [command] = line.command;
  // Where its name is no text, unshare(1) looks for it.
  if (command !== undefined && !isGarbled(command)) {
    const found = findProgram(command, process.env['PATH'] ?? '', '.');
    if (typeof found !== 'string') {
      say(
        `${command}: ${found.code === 'ENOENT' ? 'there is no such command' : 'this command cannot be run (EACCES)'}`,
      );
      return NOT_RUN[found.code];
    }
  }
  forbidDumps();
  const credentials = readCredentials(line.proxyAuth);
  const config = readConfig(line.config, say);
  const signals = new Signals(caller.ignored);
  const hadTerminal = isForeground();
  const directory = leaveDeletedDirectory();
  await completeMtu(config);
  const tunnel = await openTunnel(config, {
    ...(directory !== undefined && { directory }),
    log: (level, message) => {
      if (level === 'error' || line.verbose) say(message);
    },
    warn: say,
    onNamespace: dropPrivileges,
  });
  try {
    const lines = await startServices(tunnel.namespace, line, credentials, say);
    if (command !== undefined) return await run(tunnel, line.command.length, caller, signals);
    tellReady(lines);
    return await serve(tunnel, signals);
  } finally {
    await tunnel.close();
    if (hadTerminal && !isForeground()) takeForeground();
  }
}

/** As wg-quick(8) has it, by the ways to the endpoints. Where ip(8) is missing, the tunnel will say so. */
async function completeMtu({ quick, peers }: WgQuickConfig): Promise<void> {
  const ip = findProgram('ip', withSystemPath(process.env['PATH']), '/');
  if (quick.mtu !== undefined || typeof ip !== 'string') return;
  const endpoints = peers.flatMap(({ endpoint }) => endpoint?.resolved ?? []);
  quick.mtu = await inferMtu(endpoints.map(({ address, scopeId = 0 }) => ({ address, scope: scopeName(scopeId) })));
}

/** What is left needs no rights but to mark a socket, and to bind a low port. */
function dropPrivileges(): void {
  if (hasPrivileges()) keepCapabilities(Capability.netAdmin, Capability.netBindService);
}

/** @param count of the caller's words: the last ones are the command */
async function run(tunnel: RootlessTunnel, count: number, caller: Caller, signals: Signals): Promise<number> {
  signals.hold();
  const { args, ...options } = caller;
  const running = await tunnel.namespace.run(args.slice(-count), options);
  signals.follow(running);
  // Whoever waits for the end of these waits for the command, and not for this process.
  detach(0, 1);
  return untilEnd(
    tunnel,
    running.exited.then(({ code, signal }) => code ?? 128 + (signal ?? 0)),
  );
}

/** Until a signal to end. */
async function serve(tunnel: RootlessTunnel, signals: Signals): Promise<number> {
  const status = await untilEnd(
    tunnel,
    signals.whenEnding().then(() => 0),
  );
  tellStopping();
  return status;
}

/** @returns `status`, or what is the status of a tunnel that went before */
async function untilEnd({ namespace, engine }: RootlessTunnel, status: Promise<number>): Promise<number> {
  let isOver = false;
  const failed = (error: Error | undefined): number => {
    if (!isOver) say(`the tunnel ended: ${error?.message ?? 'its interface was deleted'}`);
    return FAILED;
  };
  const first = await Promise.race([status, namespace.ended.then(failed), engine.ended.then(failed)]);
  isOver = true;
  return first;
}
