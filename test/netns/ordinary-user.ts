/** Commands as an ordinary user, started by root: what this user needs and a machine may not have, he gets. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { which } from './environment.js';

const ROOT = resolve(import.meta.dirname, '../../..');
const NOBODY = 65_534;
const SETPRIV: readonly string[] = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--'];
/** Whether the machine's /dev/net/tun is open to everybody, as on most, says nothing about the command. */
const OWN_TUN = 'mount -t tmpfs tmpfs /dev/net && mknod -m 0666 /dev/net/tun c 10 200 && exec "$@"';

/** The words that start a command as the user "nobody", with a /dev/net/tun that he may open. */
export function asOrdinaryUser(words: readonly string[]): string[] {
  return ['unshare', '--mount', 'sh', '-ec', OWN_TUN, 'sh', ...SETPRIV, ...words];
}

/** Why root cannot become a user who makes namespaces, or false. */
export function noOrdinaryUser(): string | false {
  if (process.getuid?.() !== 0) return 'not root';
  const absent = ['unshare', 'setpriv'].filter((tool) => which(tool) === undefined);
  if (absent.length > 0) return `not installed: ${absent.join(', ')}`;
  const [command = '', ...words] = asOrdinaryUser(['unshare', '--user', '--map-root-user', '--net', 'true']);
  try {
    execFileSync(command, words, { stdio: 'ignore' });
    return false;
  } catch {
    return 'an ordinary user can make no user namespace here';
  }
}

/**
 * A copy of the built package, and of more of the checkout, that any user can read: the checkout may be in a place
 * that is private to root.
 * @returns its directory, to be removed by the caller
 */
export function publicCopy(...more: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-user-'));
  chmodSync(directory, 0o755);
  const modules = ['koffi', '@koromix', '@noble'].map((name) => `node_modules/${name}`);
  for (const path of ['bin', 'package.json', 'dist/src', ...modules, ...more]) {
    cpSync(join(ROOT, path), join(directory, path), { recursive: true, dereference: true });
  }
  return directory;
}
