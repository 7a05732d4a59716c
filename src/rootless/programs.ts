import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** Where administrators' tools are, which an ordinary user's PATH often lacks. */
export const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** @returns the places of PATH, and then those */
export function withSystemPath(path = ''): string {
  return `${path}:${SYSTEM_PATH}`;
}

/**
 * Finds a program as execvp(3) does.
 * @param name with a slash it is a path, from `cwd`
 * @param cwd may be `.`, which is a place even when it has no path any more
 * @returns its path; else why not: it does not exist, or may not be run
 */
export function findProgram(name: string, path: string, cwd: string): string | { code: 'ENOENT' | 'EACCES' } {
  const from = (place: string): string => (isAbsolute(place) ? place : join(cwd, place));
  const places = name.includes('/') ? [''] : path.split(':').map(from);
  let code: 'ENOENT' | 'EACCES' = 'ENOENT';
  for (const place of name === '' ? [] : places) {
    const candidate = place === '' ? from(name) : join(place, name);
    // What is in a directory that is closed to us is not there.
    if (!isFile(candidate)) {
      if (place === '' && existsSync(candidate)) code = 'EACCES';
      continue;
    }
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      code = 'EACCES';
    }
  }
  return { code };
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
