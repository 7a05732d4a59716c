/** `typetun`: the first word decides what is loaded, and nothing else is. */
import { parseArgs } from 'node:util';
import { invalidName, isInterfaceName, isMusl, NO_NAME, USAGE, unsupported } from './messages.js';

/**
 * Commands by their first word, each loaded only when it is called. An interface that has such a name
 * is brought up by `typetun -- NAME`.
 */
const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  demo: () => import('./demo/main.js'),
};

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

async function main(args: string[]): Promise<number | undefined> {
  const command = Object.hasOwn(COMMANDS, args[0] ?? '') ? COMMANDS[args[0]!] : undefined;
  const line = parse(command === undefined ? args : []);
  if (line.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const problem = unsupported(process.platform, process.arch, isMusl());
  if (problem !== undefined) return fail(problem);
  if (command !== undefined) {
    // A command reads the words behind its name, and sets the exit code itself.
    process.argv.splice(2, 1);
    await command();
    return undefined;
  }
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
  process.exitCode = (await main(process.argv.slice(2))) ?? process.exitCode;
} catch (error) {
  process.exitCode = fail(error instanceof Error ? error.message : String(error));
}
