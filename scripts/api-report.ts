/**
 * The public interface as two committed files: etc/typetun.api.md, what each subpath of the package exports, and every
 * declaration that these names lead to, without comments; and docs/reference.md, the same for readers, with them.
 * `npm run check` compares both; `npm run api-report` writes them anew.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPORT = 'etc/typetun.api.md';
const REFERENCE = 'docs/reference.md';
const HEAD = `# Public interface

Written by \`npm run api-report\` from the compiled declarations, and compared by \`npm run check\`: a change here is a change
that users see. Comments are left out.
`;

const REFERENCE_HEAD = `# Reference of the library

Made by \`npm run api-report\` from the comments in the source. [The guide](library.md) is the place to begin.
`;

interface Module {
  /** Declarations by name; overloads and merged ones together. With the comments in front of them and inside. */
  readonly declared: Map<string, string[]>;
  /** Names of other modules by their name here: `import { a as b } from` as b. */
  readonly imported: Map<string, { readonly file: string; readonly name: string }>;
  /** As {@link imported}, for those that are exported; and the modules exported whole. */
  readonly exported: Map<string, { readonly file: string; readonly name: string }>;
  readonly stars: string[];
}

const DECLARATION =
  /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|function|const)\s+([A-Za-z_$][\w$]*)/;
const FROM = /^(import|export)\s+(?:type\s+)?(?:\{([\s\S]*)\}|(\*))\s+from\s+['"]([^'"]+)['"];?$/;

/** A declaration file as tsc writes it: a statement starts at a line with one of these words, or with a comment. */
function statements(text: string): string[] {
  const found: string[] = [];
  let comment: string[] = [];
  let isInComment = false;
  for (const line of text.split('\n')) {
    if (isInComment || line.startsWith('/*')) {
      // Of two, the first was the file's.
      if (!isInComment) comment = [];
      comment.push(line);
      isInComment = !line.includes('*/');
    } else if (/^(?:import|export|declare|abstract|interface|type|class)\b/.test(line)) {
      found.push([...comment, line].join('\n'));
      comment = [];
    } else if (line.trim() !== '' && !line.startsWith('//')) {
      found.push([found.pop() ?? '', ...comment, line].join('\n'));
      comment = [];
    }
  }
  return found;
}

function withoutComments(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\/\n?|^\s*\/\/.*\n?/gm, '').replace(/\/\*[\s\S]*?\*\//g, '');
}

const modules = new Map<string, Module>();

function load(file: string): Module {
  const known = modules.get(file);
  if (known) return known;
  const module: Module = { declared: new Map(), imported: new Map(), exported: new Map(), stars: [] };
  modules.set(file, module);
  for (const whole of statements(readFileSync(file, 'utf8'))) {
    const statement = withoutComments(whole);
    const from = FROM.exec(statement);
    const name = DECLARATION.exec(statement)?.[1];
    if (from) addFrom(module, file, from);
    else if (name) module.declared.set(name, [...(module.declared.get(name) ?? []), whole]);
    else if (!statement.startsWith('export {};')) throw new Error(`${file}: not understood: ${statement}`);
  }
  return module;
}

function addFrom(module: Module, file: string, [, kind, names = '', star, specifier = '']: RegExpExecArray): void {
  // Of packages, and of Node.js, the name is enough.
  if (!specifier.startsWith('.')) return;
  const target = resolve(dirname(file), specifier.replace(/\.js$/, '.d.ts'));
  if (star) module.stars.push(target);
  for (const part of names.split(',').map((text) => text.trim().replace(/^type /, ''))) {
    if (part === '') continue;
    const [name = '', alias = name] = part.split(' as ');
    (kind === 'import' ? module.imported : module.exported).set(alias, { file: target, name });
  }
}

/** What a module exports, with where it is declared. */
function exportsOf(file: string): Map<string, { file: string; name: string }> {
  const module = load(file);
  const found = new Map<string, { file: string; name: string }>();
  for (const star of module.stars) for (const [name, place] of exportsOf(star)) found.set(name, place);
  for (const [name, texts] of module.declared) {
    if (texts.some((text) => withoutComments(text).startsWith('export '))) found.set(name, { file, name });
  }
  for (const [name, place] of module.exported) found.set(name, origin(place));
  return found;
}

/** Follows re-exports to the declaration. */
function origin(place: { file: string; name: string }): { file: string; name: string } {
  if (load(place.file).declared.has(place.name)) return place;
  return exportsOf(place.file).get(place.name) ?? place;
}

/** Adds a declaration, and all that it names. */
function reach(place: { file: string; name: string }, reached: Map<string, Set<string>>): void {
  const { declared, imported } = load(place.file);
  const names = reached.get(place.file) ?? new Set();
  if (names.has(place.name)) return;
  reached.set(place.file, names.add(place.name));
  for (const [word] of withoutComments((declared.get(place.name) ?? []).join('\n')).matchAll(/[A-Za-z_$][\w$]*/g)) {
    const other = imported.get(word);
    if (declared.has(word)) reach({ file: place.file, name: word }, reached);
    else if (other) reach(origin(other), reached);
  }
}

/** @param root holds package.json and a built dist @returns texts by the files that hold them */
function apiReports(root: string): Readonly<Record<string, string>> {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string>;
  };
  const reached = new Map<string, Set<string>>();
  const placeName = (file: string): string => relative(join(root, 'dist'), file).replace(/\.d\.ts$/, '');
  let report = HEAD;
  let reference = REFERENCE_HEAD;
  for (const [subpath, target] of Object.entries(exports)) {
    if (!target.endsWith('.js')) continue;
    const found = [...exportsOf(resolve(root, target.replace(/\.js$/, '.d.ts')))].sort();
    const title = `\n## \`${join('typetun', subpath)}\`\n\n`;
    report += title + found.map(([name, { file }]) => `- \`${name}\`, ${placeName(file)}\n`).join('');
    reference += `${title}${found.map(([name]) => `\`${name}\``).join(', ')}\n`;
    for (const [, place] of found) reach(place, reached);
  }
  for (const [file, names] of [...reached].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const texts = [...names].sort().flatMap((name) => load(file).declared.get(name) ?? []);
    const title = `\n## ${placeName(file)}\n\n\`\`\`ts\n`;
    report += `${title}${texts.map(withoutComments).join('\n\n')}\n\`\`\`\n`;
    reference += `${title}${texts.map((text) => text.replaceAll('    ', '  ')).join('\n\n')}\n\`\`\`\n`;
  }
  return { [REPORT]: report, [REFERENCE]: reference };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = resolve(import.meta.dirname, '../..');
  for (const [file, text] of Object.entries(apiReports(root))) {
    const path = join(root, file);
    if (process.argv[2] === '--write') writeFileSync(path, text);
    else if (readFileSync(path, 'utf8') === text) console.log(`api: ${file} is what the package exports`);
    else {
      console.error(`${file} is not what the package exports: run "npm run api-report", and look at the difference`);
      process.exitCode = 1;
    }
  }
}
