/** `typetun wg-quick`, as wg-quick(8): tunnels from configuration files, by the ordinary tools. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ConfigError, parseQuickLines, stripQuickLines } from '../../config/index.js';
import { down, save } from './down.js';
import { CommandError, QuickError } from './errors.js';
import { type ConfigFile, readConfigFile } from './file.js';
import { up } from './up.js';

const USAGE = `Usage: wg-quick up|down|save|strip CONFIG_FILE|INTERFACE

  up      make the interface, with its addresses, DNS servers, routes and rules
  down    take all of that back, and the interface with it
  save    write the interface's present state into the file
  strip   print the file without the lines below, for wg(8)'s setconf and syncconf

CONFIG_FILE is a path that ends in INTERFACE.conf. A name alone is /etc/wireguard/INTERFACE.conf.
It has the form that wg(8) reads, and in [Interface] also these:

  Address      IP addresses, with prefix lengths: each may be a list, and be given again
  DNS          IP addresses of name servers, and search domains, for resolvconf(8)
  MTU          bytes; without it, found from the ways to the endpoints
  Table        a routing table's number, \`off\` for no routes, or \`auto\` (as without it)
  PreUp, PostUp, PreDown, PostDown
               commands for bash(1), %i being the interface
  SaveConfig   \`true\`: \`down\` does what \`save\` does first

The whole story: typetun-wg-quick(8)
`;

const COMMANDS: Readonly<Record<string, (file: ConfigFile) => Promise<void>>> = { up, down, save, strip };

async function strip({ bytes }: ConfigFile): Promise<void> {
  parseQuickLines(bytes);
  const rest = stripQuickLines(bytes);
  await new Promise((resolve) => process.stdout.write(rest, resolve));
  rest.fill(0);
  process.stdout.write('\n');
}

/** @param args the words behind `wg-quick` @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const [verb = '', argument, ...more] = args;
  if (args.length === 1 && ['help', '--help', '-h'].includes(verb)) {
    process.stdout.write(USAGE);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, verb) ? COMMANDS[verb] : undefined;
  if (command === undefined || argument === undefined || more.length > 0) {
    process.stderr.write(USAGE);
    return 1;
  }
  if (process.getuid?.() !== 0) return asRoot(args);
  let file: ConfigFile | undefined;
  try {
    file = readConfigFile(argument);
    await command(file);
    return 0;
  } catch (error) {
    return report(error, verb, file);
  } finally {
    file?.bytes.fill(0);
  }
}

/** Runs the same once more, through sudo(8). */
function asRoot(args: readonly string[]): number {
  const typetun = fileURLToPath(new URL('../../../../bin/typetun', import.meta.url));
  const prompt = 'wg-quick must be run as root. Please enter the password for %u to continue: ';
  const words = ['-p', prompt, '--', process.execPath, typetun, 'wg-quick', ...args];
  const { error, status } = spawnSync('sudo', words, { stdio: 'inherit' });
  if (error === undefined) return status ?? 1;
  process.stderr.write('wg-quick must be run as root\n');
  return 1;
}

function report(error: unknown, verb: string, file: ConfigFile | undefined): number {
  const known = error instanceof QuickError || error instanceof CommandError;
  const place = error instanceof ConfigError && file !== undefined ? `${file.path}: ` : '';
  const undone = verb === 'up' && error instanceof CommandError ? '; what was done before is undone' : '';
  process.stderr.write(`wg-quick: ${place}${error instanceof Error ? error.message : String(error)}${undone}\n`);
  return known ? error.exitCode : 1;
}
