/** After a build: takes out of dist what was compiled from a source that is no longer there, stale tests above all. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @returns the outputs removed, from `dist` */
export function prune(root: string): string[] {
  const dist = join(root, 'dist');
  const removed: string[] = [];
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    const path = relative(dist, join(entry.parentPath, entry.name));
    const output = /^(.+)\.(?:js|js\.map|d\.ts)$/.exec(path);
    if (!entry.isFile() || output === null || existsSync(join(root, `${output[1]}.ts`))) continue;
    rmSync(join(dist, path), { force: true });
    removed.push(path);
  }
  return removed;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const path of prune(resolve(import.meta.dirname, '../..'))) console.log(`removed dist/${path}`);
}
