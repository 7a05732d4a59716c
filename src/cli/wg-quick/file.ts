/** The configuration file: where it is, what may be read of it, and whose commands are in it. */
import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { MAX_CONFIG_BYTES } from '../../config/index.js';
import { isInterfaceName } from '../../engine/messages.js';
import { QuickError } from './errors.js';

const DIRECTORY = '/etc/wireguard';
const FILE_NAME = /(?:^|\/)([^/]*)\.conf$/;
const GROUP_OR_OTHERS_WRITE = 0o022;
const OTHERS = 0o007;

export interface ConfigFile {
  /** Of the interface. */
  readonly name: string;
  /** Without symbolic links. */
  readonly path: string;
  /** It holds the private key: wipe it after use. */
  readonly bytes: Uint8Array;
  /** Why commands in it are not run, or undefined where they may be. */
  readonly distrust: string | undefined;
}

/**
 * Reads a configuration; says on standard error when others may read it as well.
 * @param argument an interface's name, for a file of `/etc/wireguard`, or the path of a file NAME.conf
 * @throws QuickError
 */
export function readConfigFile(argument: string): ConfigFile {
  const path = isInterfaceName(argument) ? `${DIRECTORY}/${argument}.conf` : argument;
  let file: number;
  try {
    // Not to be held up by a FIFO that nobody writes to.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const missing = code === 'ENOENT' || code === 'ENOTDIR' || code === 'ERR_INVALID_ARG_VALUE';
    throw new QuickError(missing ? `\`${path}' does not exist` : `\`${path}' cannot be read (${code})`);
  }
  try {
    const name = FILE_NAME.exec(path)?.[1] ?? '';
    if (!isInterfaceName(name)) {
      throw new QuickError('The config file must be a valid interface name, followed by .conf');
    }
    // All that follows is about the file that was opened, whatever its path leads to meanwhile.
    const status = fstatSync(file);
    if (!status.isFile()) throw new QuickError(`\`${path}' is not a regular file`);
    const realPath = realpathSync(path);
    if ((status.mode & statSync(dirname(realPath)).mode & OTHERS) !== 0) {
      process.stderr.write(`Warning: \`${realPath}' is world accessible\n`);
    }
    return { name, path: realPath, bytes: readWhole(file, status, path), distrust: distrust(status, callers()) };
  } finally {
    closeSync(file);
  }
}

function readWhole(file: number, { size }: Stats, path: string): Uint8Array {
  if (size > MAX_CONFIG_BYTES) throw new QuickError(`\`${path}' is larger than ${MAX_CONFIG_BYTES} bytes`);
  const bytes = new Uint8Array(size);
  let length = 0;
  while (length < size) {
    const count = readSync(file, bytes, length, size - length, length);
    if (count === 0) break;
    length += count;
  }
  return bytes.subarray(0, length);
}

/** Whose files are believed: root's, one's own, and after sudo those of whoever called it. */
function callers(): readonly number[] {
  const own = process.getuid?.() ?? -1;
  const sudo = process.env['SUDO_UID'] ?? '';
  return own === 0 && /^\d{1,10}$/.test(sudo) ? [0, Number(sudo)] : [0, own];
}

/**
 * Commands of a file are its owner's, and of everybody's who can write to it.
 * @param trusted user ids
 * @returns why they are not to be run, or undefined
 */
export function distrust({ uid, mode }: Pick<Stats, 'uid' | 'mode'>, trusted: readonly number[]): string | undefined {
  if (!trusted.includes(uid)) return `it belongs to user ${uid}, who is neither root nor the user that calls`;
  if ((mode & GROUP_OR_OTHERS_WRITE) !== 0) return 'its group or others may write to it (chmod go-w)';
  return undefined;
}
