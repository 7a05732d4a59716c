/** `wg genkey`, `genpsk` and `pubkey`, and key files. */
import { randomFillSync } from 'node:crypto';
import { ConfigError, HIDDEN } from '../../config/errors.js';
import { decodeKey, KEY_BYTES, KEY_TEXT_BYTES } from '../../config/key.js';
import { ByteText } from '../../config/text.js';
import { isSpace } from '../../config/values.js';
import { publicKeyOf } from '../../crypto/public-key.js';
import { usageOf } from './commands.js';
import { type Io, readFile } from './io.js';

/** A key, and as much white space behind it as anybody would want. */
const MAX_KEY_FILE_BYTES = 65536;
const WARNING = 'Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying again.\n';

export const genkey = (args: readonly string[], io: Io): number =>
  generate('genkey', args, io, (key) => {
    // RFC 7748, section 5.
    key[0]! &= 248;
    key[31] = (key[31]! & 127) | 64;
  });

export const genpsk = (args: readonly string[], io: Io): number => generate('genpsk', args, io, () => {});

function generate(name: string, args: readonly string[], io: Io, shape: (key: Uint8Array) => void): number {
  if (args.length > 0) return fail(io, usageOf(name));
  if (io.outputIsOpenToOthers()) io.err(WARNING);
  const key = randomFillSync(new Uint8Array(KEY_BYTES));
  shape(key);
  printKey(io, key);
  key.fill(0);
  return 0;
}

export function pubkey(args: readonly string[], io: Io): number {
  if (args.length > 0) return fail(io, usageOf('pubkey'));
  const input = io.readInput(MAX_KEY_FILE_BYTES);
  const key = new Uint8Array(KEY_BYTES);
  try {
    if (trailing(input) >= 0) return fail(io, 'wg: Trailing characters found after key\n');
    if (!decodeKey(input, 0, Math.min(input.length, KEY_TEXT_BYTES), key)) {
      return fail(io, 'wg: Key is not the correct length or format\n');
    }
    printKey(io, publicKeyOf(key));
    return 0;
  } finally {
    key.fill(0);
    input.fill(0);
  }
}

function printKey(io: Io, key: Uint8Array): void {
  const text = new ByteText().addKey(key).add('\n');
  try {
    io.out(text.bytes());
  } finally {
    text.wipe();
  }
}

function fail(io: Io, text: string): number {
  io.err(text);
  return 1;
}

/** @returns where something other than white space stands behind the key, or -1 */
function trailing(text: Uint8Array): number {
  for (let i = KEY_TEXT_BYTES; i < text.length; i++) if (!isSpace(text[i]!)) return i;
  return -1;
}

/**
 * Reads a file with one key.
 * @param out receives 32 bytes: zeros from an empty file, as `/dev/null` is one
 * @throws ConfigError, or what fs throws when it cannot be opened
 */
export function readKeyFile(path: string, out: Uint8Array): void {
  const text = readKeyText(path);
  try {
    out.fill(0);
    if (text.length === 0) return;
    if (text.length < KEY_TEXT_BYTES) throw invalidLength();
    const at = trailing(text);
    if (at >= 0) {
      throw new ConfigError('ERR_CONFIG_KEY', 'Found trailing character in key file', text.slice(at, at + 1));
    }
    if (!decodeKey(text, 0, KEY_TEXT_BYTES, out)) {
      throw new ConfigError('ERR_CONFIG_KEY', 'Key is not the correct length or format', HIDDEN);
    }
  } finally {
    text.fill(0);
  }
}

const invalidLength = (): ConfigError => new ConfigError('ERR_CONFIG_KEY', 'Invalid length key in key file');

/** @throws as fs.openSync; what can be opened but not read, a directory, is a file with too little in it */
function readKeyText(path: string): Uint8Array {
  try {
    return readFile(path, MAX_KEY_FILE_BYTES);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === 'read') throw invalidLength();
    throw error;
  }
}
