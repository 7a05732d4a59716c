/**
 * An ordinary user for tests that run as root: a number that is nobody's, a home of its own, and, in a
 * private mount namespace, a /dev/net/tun open to it and this checkout at a place that it can reach.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { it } from 'node:test';
import { CI, FULL, which } from '../netns/environment.js';

export const ROOT: string = resolve(import.meta.dirname, '../../..');
/** Below 65,536, so that it exists in containers as well. */
export const UID: number = 20_000 + (process.pid % 20_000);
const PLACE = '/mnt/typetun';
const TOOLS = ['setpriv', 'unshare', 'mount', 'ip', 'mknod'];
const FILE_TIMEOUT_MS = (FULL ? 60 : 5) * 60_000;

/** Inside: the checkout and Node.js are here, whatever directories they are in. */
export const INSIDE: { readonly [what in 'typetun' | 'node' | 'home']: string } = {
  typetun: `${PLACE}/root/bin/typetun`,
  node: `${PLACE}/node`,
  home: `${PLACE}/home`,
};

const PREPARE = `
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p ${PLACE}/root ${INSIDE.home}
chown ${UID}:${UID} ${INSIDE.home}
mount --rbind "$1" ${PLACE}/root
touch ${INSIDE.node}
mount --bind "$2" ${INSIDE.node}
mknod -m 0666 ${PLACE}/tun c 10 200
mount -o remount,dev /mnt
mount --bind ${PLACE}/tun /dev/net/tun
cd ${INSIDE.home}
shift 2
export HOME=${INSIDE.home} PATH=${PLACE}:$PATH
`;

export interface UserOptions {
  /** A network namespace by name. */
  readonly netns?: string;
  /** More shell lines, as root, in the private mount namespace. */
  readonly prepare?: string;
  /** Stay root, in the same surroundings. */
  readonly root?: boolean;
}

/** The words before a command that is to run as the user (with {@link INSIDE} for paths). */
export function asUser({ netns, prepare = '', root = false }: UserOptions = {}): string[] {
  const become = root ? '' : `setpriv --reuid=${UID} --regid=${UID} --clear-groups`;
  const script = `set -e\n${PREPARE}\n${prepare}\nexec ${become} "$@"`;
  const enter = netns === undefined ? ['unshare', '--mount'] : ['ip', 'netns', 'exec', netns, 'unshare', '--mount'];
  return [...enter, 'sh', '-c', script, 'sh', ROOT, process.execPath];
}

/** Why nothing can be tested as a user here, or false. @throws Error in CI */
export function noUser(tools: readonly string[] = []): string | false {
  const absent = [...TOOLS, ...tools].filter((tool) => which(tool) === undefined);
  let reason: string | false = false;
  if (process.getuid?.() !== 0) reason = 'needs root, to become an ordinary user';
  else if (absent.length > 0) reason = `not installed: ${absent.join(', ')}`;
  else if (!existsSync('/dev/net/tun')) reason = 'there is no /dev/net/tun';
  else {
    try {
      const [command = '', ...args] = [...asUser(), 'unshare', '--user', '--map-root-user', '--net', 'true'];
      execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000 });
    } catch (error) {
      reason = `an ordinary user gets no namespace here: ${(error as { stderr?: Buffer }).stderr ?? error}`;
    }
  }
  if (reason !== false && CI) throw new Error(`in CI, and ${reason}`);
  return reason;
}

/**
 * Registers a file's tests where they can run: for root, in the same file started again as the user.
 * @param file `import.meta.filename`
 */
export function asOrdinaryUser(file: string, register: () => void): void {
  if (process.getuid?.() !== 0) {
    register();
    return;
  }
  it('as an ordinary user', { skip: noUser(), timeout: FILE_TIMEOUT_MS }, async () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const path = `${PLACE}/root/${relative(ROOT, file)}`;
    const [command = '', ...args] = [...asUser(), INSIDE.node, '--test-reporter=spec', path];
    const child = spawn(command, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    if (code !== 0) throw new Error(`as user ${UID}, ${file} ended with ${code ?? signal}: see its output`);
  });
}
