/** `typetun wg`: wg(8) for userspace devices. */
import { usage } from './commands.js';
import { type Io, OutputClosed, processIo } from './io.js';

/** What a shell sees of a program that SIGPIPE ended. */
const CLOSED_PIPE = 141;

/** @returns the exit code */
type Subcommand = (args: readonly string[], io: Io) => number | Promise<number>;

/** Each loaded only when it is called. */
const SUBCOMMANDS: Readonly<Record<string, () => Promise<Subcommand>>> = {
  show: async () => (await import('./show.js')).show,
  showconf: async () => (await import('./conf.js')).showconf,
  set: async () => (await import('./set.js')).set,
  setconf: async () => (await import('./conf.js')).setconf,
  addconf: async () => (await import('./conf.js')).addconf,
  syncconf: async () => (await import('./conf.js')).syncconf,
  genkey: async () => (await import('./keys.js')).genkey,
  genpsk: async () => (await import('./keys.js')).genpsk,
  pubkey: async () => (await import('./keys.js')).pubkey,
};

/** @param args the words behind `wg`. @returns the exit code */
export async function runWg(args: readonly string[], io: Io): Promise<number> {
  const [name = 'show', ...rest] = args;
  if (args.length === 1) {
    if (name === 'help' || name === '--help' || name === '-h') {
      io.out(usage());
      return 0;
    }
    if (name === 'version' || name === '--version' || name === '-v') {
      const { packageVersion } = await import('../package-version.js');
      io.out(`typetun v${packageVersion()}\n`);
      return 0;
    }
  }
  const load = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
  if (load === undefined) {
    io.err(`Invalid subcommand: \`${name}'\n${usage()}`);
    return 1;
  }
  return (await load())(rest, io);
}

/** The same with this process's streams. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    return await runWg(args, processIo());
  } catch (error) {
    if (error instanceof OutputClosed) return CLOSED_PIPE;
    throw error;
  }
}
