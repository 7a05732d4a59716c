/** `typetun`: the first word decides what is loaded, and nothing else is. */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { invalidName, isInterfaceName, isMusl, unsupported } from '../engine/messages.js';
import { NO_NAME, USAGE } from './messages.js';

/** Runs a command with the words behind its name. @returns the exit code, or undefined where it was set already */
type Run = (args: readonly string[]) => Promise<number | undefined>;

/**
 * Commands by their first word, each loaded only when it is called. An interface that has such a name
 * is brought up by `typetun -- NAME`.
 */
const COMMANDS: Readonly<Record<string, Run>> = {
  demo: async () => {
    process.argv.splice(2, 1);
    await import('./demo/main.js');
    return undefined;
  },
  wg: async (args) => (await import('./wg/main.js')).run(args),
  exec: async (args) => (await import('./exec/main.js')).runExec(args),
  files: async (args) => (await import('./files.js')).main(args),
  'wg-quick': async (args) => (await import('./wg-quick/main.js')).main(args),
};

/** Commands that a symlink of their own name calls, as `wg -> typetun` does. */
const LINK_NAMES: ReadonlySet<string> = new Set(['wg', 'wg-quick']);

/** The command that is meant, and its words: by the name this program was called by, else by the first word. */
function commandOf(calledAs: string, args: readonly string[]): { run: Run; args: readonly string[] } | undefined {
  const name = basename(calledAs);
  if (LINK_NAMES.has(name) && Object.hasOwn(COMMANDS, name)) return { run: COMMANDS[name]!, args };
  const [first = '', ...rest] = args;
  return Object.hasOwn(COMMANDS, first) ? { run: COMMANDS[first]!, args: rest } : undefined;
}

function fail(message: string): number {
  process.stderr.write(`typetun: ${message}\n`);
  return 1;
}

interface Line {
  readonly foreground: boolean;
  readonly help: boolean;
  readonly version: boolean;
  readonly offload?: string | undefined;
  readonly words: readonly string[];
}

/** @throws an Error with a text for people */
function parse(args: string[]): Line {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        foreground: { type: 'boolean', short: 'f', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        offload: { type: 'string' },
        version: { type: 'boolean', default: false },
      },
    });
    return { ...values, words: positionals };
  } catch (error) {
    throw new Error(`${(error as Error).message.split('.')[0]}. See typetun --help`);
  }
}

async function main(calledAs: string, args: string[]): Promise<number | undefined> {
  const command = commandOf(calledAs, args);
  const line = parse(command === undefined ? args : []);
  if (line.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const problem = unsupported(process.platform, process.arch, isMusl());
  if (problem !== undefined) return fail(problem);
  if (command !== undefined) return command.run(command.args);
  // By the environment it reaches the process in the background, and whoever else reads it.
  if (line.offload !== undefined) process.env['TYPETUN_OFFLOAD'] = line.offload;
  if (line.version) {
    const { describeVersion } = await import('./version.js');
    process.stdout.write(describeVersion());
    return 0;
  }
  const [name, ...more] = line.words;
  if (name === undefined || more.length > 0) return fail(NO_NAME);
  if (!isInterfaceName(name)) return fail(invalidName(name));
  if (line.foreground || process.env['WG_PROCESS_FOREGROUND'] === '1') {
    const { runDaemon } = await import('./daemon.js');
    return runDaemon(name);
  }
  const { startInBackground } = await import('./background.js');
  return startInBackground(name);
}

try {
  process.exitCode = (await main(process.argv[1] ?? '', process.argv.slice(2))) ?? process.exitCode;
} catch (error) {
  process.exitCode = fail(error instanceof Error ? error.message : String(error));
}
