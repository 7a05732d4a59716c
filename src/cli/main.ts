/** `typetun`: the first word decides what is loaded. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isInterfaceName, unsupported, USAGE } from './messages.js';

function fail(message: string): never {
  process.stderr.write(`typetun: ${message}\n`);
  process.exit(1);
}

function parse(): { foreground: boolean; help: boolean; version: boolean; words: string[] } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        foreground: { type: 'boolean', short: 'f', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    });
    return { ...values, words: positionals };
  } catch (error) {
    return fail(`${(error as Error).message.split('.')[0]}. See typetun --help`);
  }
}

async function version(): Promise<string> {
  const file = new URL('../../../package.json', import.meta.url);
  const { version: number } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  const { createCrypto } = await import('../crypto/index.js');
  const { allocate } = await import('../linux/ffi.js');
  const { backend } = createCrypto(allocate(4096), process.env['TYPETUN_AEAD']);
  return `typetun ${number}\nAEAD: ${backend} (OpenSSL ${process.versions['openssl']}), Node.js ${process.version}\n`;
}

async function main(): Promise<void> {
  const { foreground, help, version: wantsVersion, words } = parse();
  if (help) {
    process.stdout.write(USAGE);
    return;
  }
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const problem = unsupported(process.platform, process.arch, report?.header?.glibcVersionRuntime !== undefined);
  if (problem) fail(problem);
  try {
    if (wantsVersion) {
      process.stdout.write(await version());
      return;
    }
    const [name, ...more] = words;
    if (name === undefined || more.length > 0) fail('expected one interface name. See typetun --help');
    if (!isInterfaceName(name)) fail(`${name}: not an interface name: up to 15 of a-z A-Z 0-9 _ = + . -`);
    const { runDaemon, startInBackground } = await import('./daemon.js');
    const inForeground = foreground || process.env['WG_PROCESS_FOREGROUND'] === '1';
    process.exitCode = inForeground ? await runDaemon(name) : await startInBackground(name);
  } catch (error) {
    fail((error as Error).message);
  }
}

await main();
