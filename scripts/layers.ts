/**
 * The layer check: imports in src point downwards only, and the core imports nothing but itself.
 *
 * Run as a program it checks this checkout: exit code 1 and one line for each import that breaks a rule.
 */
import { posix, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withSources } from './sources.js';

interface Rule {
  /** Folders or files (without extension) below src that may be imported, apart from the layer itself. */
  readonly below: readonly string[];
  /** Whether `node:*` may be imported. */
  readonly node: boolean;
  /** Packages that may be imported, by prefix. */
  readonly packages: readonly string[];
}

/** One row a layer, the highest first (see ARCHITECTURE.md). A file of its own rule is named before its folder. */
const RULES: Readonly<Record<string, Rule>> = {
  cli: {
    below: ['rootless', 'engine', 'api', 'uapi', 'config', 'offload', 'linux', 'crypto', 'core'],
    node: true,
    packages: [],
  },
  rootless: { below: ['engine', 'uapi', 'config', 'linux', 'core'], node: true, packages: [] },
  index: { below: ['library', 'api'], node: false, packages: [] },
  library: {
    below: ['rootless', 'engine', 'uapi', 'config', 'api', 'linux', 'core'],
    node: true,
    packages: [],
  },
  api: {
    below: ['uapi/address', 'uapi/values', 'uapi/slab', 'uapi/format', 'config', 'crypto/noble', 'core'],
    node: false,
    packages: [],
  },
  engine: { below: ['uapi', 'config', 'offload', 'linux', 'crypto', 'core'], node: true, packages: [] },
  uapi: { below: ['linux', 'core'], node: true, packages: [] },
  config: { below: ['uapi/address', 'uapi/slab', 'core'], node: false, packages: [] },
  offload: { below: ['core/ip-header'], node: false, packages: [] },
  'linux/ffi': { below: [], node: false, packages: ['koffi'] },
  linux: { below: [], node: true, packages: [] },
  // The portable back end runs where there is no FFI, and so does what it shares with the others.
  'crypto/hashes': { below: ['core/suite'], node: false, packages: ['@noble/'] },
  'crypto/aead': { below: ['core/suite', 'core/batch'], node: false, packages: ['@noble/'] },
  'crypto/noble': {
    below: ['crypto/hashes', 'crypto/aead', 'core/suite', 'core/batch'],
    node: false,
    packages: ['@noble/'],
  },
  crypto: { below: ['linux/ffi', 'core/suite', 'core/batch'], node: true, packages: ['@noble/'] },
  core: { below: [], node: false, packages: [] },
};

/**
 * Judges one import.
 * @param from the importing file, `src/core/noise.ts`
 * @param specifier as it is written: `./hash.js`, `node:fs`, `koffi`
 * @returns why it is not allowed, or undefined
 */
export function judgeImport(from: string, specifier: string): string | undefined {
  const file = from.replace(/^src\//, '').replace(/\.ts$/, '');
  const layer = RULES[file] === undefined ? file.split('/')[0]! : file;
  const rule = RULES[layer];
  if (rule === undefined) return `${from} is in no layer: name it in scripts/layers.ts`;
  if (specifier.startsWith('node:')) return rule.node ? undefined : `${layer} may not import ${specifier}`;
  if (!specifier.startsWith('.')) {
    const allowed = rule.packages.some(
      (name) => specifier === name || (name.endsWith('/') && specifier.startsWith(name)),
    );
    return allowed ? undefined : `${layer} may not import the package ${specifier}`;
  }
  const target = posix.join(posix.dirname(file), specifier).replace(/\.js$/, '');
  if (target.startsWith('..')) return `${specifier} leaves src`;
  // A file with a rule of its own has only what the rule lists; a folder has all of itself.
  const own = layer.includes('/') ? [] : [layer];
  const allowed = [...own, ...rule.below].some((place) => target === place || target.startsWith(`${place}/`));
  return allowed ? undefined : `${layer} may not import ${target}`;
}

/**
 * Judges every import (static, dynamic, of types, re-exports) of the sources below `root`/src.
 * @returns one line for each that breaks a rule
 */
export function layerViolations(root: string): string[] {
  return withSources(root, 'src', (sources) => {
    const violations: string[] = [];
    for (const { path, ast } of sources) {
      for (const node of ast.imports) {
        const specifier = (node as { text?: string }).text ?? '';
        const why = judgeImport(path, specifier);
        if (why !== undefined) violations.push(`${path}: ${why}`);
      }
    }
    return violations;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = layerViolations(resolve(import.meta.dirname, '../..'));
  for (const line of violations) console.error(line);
  console.log(violations.length === 0 ? 'layers: every import points downwards' : `layers: ${violations.length} wrong`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
