/** PreUp, PostUp, PreDown and PostDown: commands of the file's owner, run by bash(1). */
import type { QuickConfig, TextValue } from '../../config/index.js';
import { echo, runInForeground } from './commands.js';
import { QuickError } from './errors.js';
import type { ConfigFile } from './file.js';

// The command comes by a descriptor: there may be a key in it, and everybody can read arguments.
const OPTIONS: readonly string[] = ['-e', '-o', 'pipefail', '-O', 'extglob'];
const SCRIPT = 'IFS= read -r -d "" -u 3 HOOK || :; exec 3<&-; INTERFACE=$1; eval "$HOOK"';

/** @throws CommandError with the exit code of the first that fails; those after it are not run */
export async function runHooks(hooks: readonly TextValue[], name: string): Promise<void> {
  for (const { text } of hooks) {
    const command = text.replaceAll('%i', name);
    echo(command);
    await runInForeground(['bash', ...OPTIONS, '-c', SCRIPT, 'wg-quick', name], command, { fd3: command });
  }
}

/** @throws QuickError when a file has commands and is not one whose commands may be run; without commands it is warned about */
export function checkTrust({ path, distrust }: ConfigFile, quick: QuickConfig): void {
  if (distrust === undefined) return;
  if (quick.preUp.length + quick.postUp.length + quick.preDown.length + quick.postDown.length > 0) {
    throw new QuickError(`The commands in \`${path}' are not run: ${distrust}`);
  }
  process.stderr.write(`Warning: \`${path}' is not safe from changes: ${distrust}\n`);
}
