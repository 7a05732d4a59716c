/** The file that `exec` takes its tunnel from. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { MAX_CONFIG_BYTES, parseQuickConfig, type WgQuickConfig } from '../../config/index.js';
import { isInterfaceName } from '../../engine/messages.js';

const DIRECTORY = '/etc/wireguard';
const CHUNK = 64 * 1024;

/** A file that exists, else the name of one in /etc/wireguard, as wg-quick(8) has it. */
function configPath(word: string): string {
  return !word.includes('/') && isInterfaceName(word) && !existsSync(word) ? `${DIRECTORY}/${word}.conf` : word;
}

/**
 * Reads a configuration.
 * @param warn told when others can read it
 * @throws Error with a text for people
 */
export function readConfig(word: string, warn: (message: string) => void): WgQuickConfig {
  const path = configPath(word);
  let bytes: Uint8Array;
  try {
    bytes = readWhole(path, warn);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === undefined ? `${path} ${message}` : `${path} cannot be read (${code})`);
  }
  try {
    return parseQuickConfig(bytes);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  } finally {
    bytes.fill(0);
  }
}

/** From pipes too: `exec <(decrypt wg0.conf)`. Every buffer that held keys is zeroed. */
function readWhole(path: string, warn: (message: string) => void): Uint8Array {
  const fd = openSync(path, 'r');
  let bytes = new Uint8Array(CHUNK);
  let length = 0;
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw new Error('is a directory');
    if (stat.isFile() && (stat.mode & 0o007) !== 0) warn(`warning: ${path} is world accessible`);
    for (;;) {
      const got = readSync(fd, bytes, length, bytes.length - length, null);
      length += got;
      if (got === 0) return bytes.subarray(0, length);
      if (length > MAX_CONFIG_BYTES) throw new Error('is too large for a configuration');
      if (length < bytes.length) continue;
      const larger = new Uint8Array(bytes.length * 2);
      larger.set(bytes);
      bytes.fill(0);
      bytes = larger;
    }
  } catch (error) {
    bytes.fill(0);
    throw error;
  } finally {
    closeSync(fd);
  }
}
