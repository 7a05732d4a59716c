/** The file that `exec` takes its tunnel from. */
import { existsSync, statSync } from 'node:fs';
import { MAX_CONFIG_BYTES, parseQuickConfig, type WgQuickConfig } from '../../config/index.js';
import { isInterfaceName } from '../../engine/messages.js';
import { lookUp } from '../../linux/resolver.js';
import { readFile } from '../wg/io.js';
import { isGarbled } from './caller.js';

const DIRECTORY = '/etc/wireguard';
const OTHERS = 0o007;

/** A file that exists, else the name of one in /etc/wireguard, as wg-quick(8) has it. */
function configPath(word: string): string {
  return !word.includes('/') && isInterfaceName(word) && !existsSync(word) ? `${DIRECTORY}/${word}.conf` : word;
}

/**
 * Reads a configuration, and looks its endpoints up. Blocks.
 * @param word a file (a pipe too: `<(decrypt wg0.conf)`), or the name of one in /etc/wireguard
 * @param warn told when others can read it
 * @throws Error with a text for people
 */
export function readConfig(word: string, warn: (message: string) => void): WgQuickConfig {
  const path = configPath(word);
  let bytes: Uint8Array;
  try {
    const stat = statSync(path);
    if (stat.isFile() && (stat.mode & OTHERS) !== 0) warn(`warning: ${path} is world accessible`);
    bytes = readFile(path, MAX_CONFIG_BYTES + 1);
  } catch (error) {
    const why = isGarbled(path) ? 'the name of a configuration has to be UTF-8' : (error as NodeJS.ErrnoException).code;
    throw new Error(`${path} cannot be read (${why})`);
  }
  try {
    return parseQuickConfig(bytes, {
      resolveEndpoint: ({ host, port }) => {
        const found = lookUp(host, port);
        return 'text' in found ? found.text : found;
      },
      resolveService: (service) => {
        const found = lookUp(undefined, service);
        return 'text' in found ? found.text : found.port;
      },
    });
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  } finally {
    bytes.fill(0);
  }
}
