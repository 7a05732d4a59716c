/**
 * How large the sources are: a core over its budget fails the check, long files and functions are listed.
 *
 * A line counts as code when something other than white space and comments is on it.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Node, type SourceFile, SyntaxKind } from 'typescript/unstable/ast';
import { type Source, withSources } from './sources.js';

/** One sitting to read: docs/adr/0011-core-budget.md. */
const CORE_BUDGET = 2810;
const LONG_FILE = 400;
const LONG_FUNCTION = 70;

export interface LineCount {
  readonly code: number;
  readonly comment: number;
  readonly blank: number;
}

/** Kinds whose text may hold what looks like a comment. */
const OPAQUE: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateHead,
  SyntaxKind.TemplateMiddle,
  SyntaxKind.TemplateTail,
  SyntaxKind.RegularExpressionLiteral,
]);

const FUNCTIONS: ReadonlySet<SyntaxKind> = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
]);

/** For each opaque token: where it starts, to where it ends. */
function opaqueSpans(ast: SourceFile): Map<number, number> {
  const spans = new Map<number, number>();
  const visit = (node: Node): void => {
    if (OPAQUE.has(node.kind)) spans.set(node.getStart(ast), node.end);
    node.forEachChild(visit);
  };
  visit(ast);
  return spans;
}

/** Where a comment that starts at `at` ends, or -1 when none starts there. */
function commentEnd(text: string, at: number): number {
  const two = text.slice(at, at + 2);
  if (two !== '//' && two !== '/*') return -1;
  const end = two === '//' ? text.indexOf('\n', at) : text.indexOf('*/', at + 2) + 2;
  return end < at ? text.length : end;
}

export function countLines(ast: SourceFile): LineCount {
  const { text } = ast;
  const spans = opaqueSpans(ast);
  const code = new Set<number>();
  const comment = new Set<number>();
  let line = 0;
  let at = 0;
  const mark = (lines: Set<number>, end: number): void => {
    for (; at < end; at++) {
      if (text[at] === '\n') line++;
      else if (text[at]!.trim() !== '') lines.add(line);
    }
  };
  while (at < text.length) {
    const opaqueEnd = spans.get(at);
    const end = opaqueEnd === undefined ? commentEnd(text, at) : -1;
    if (end > at) mark(comment, end);
    else mark(code, opaqueEnd ?? at + 1);
  }
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  for (const both of code) comment.delete(both);
  return { code: code.size, comment: comment.size, blank: lines - code.size - comment.size };
}

export interface FunctionSize {
  readonly name: string;
  readonly lines: number;
}

/** Every function of a file, from its first line (not its docstring's) to its last. */
export function functionSizes(ast: SourceFile): FunctionSize[] {
  const sizes: FunctionSize[] = [];
  const lineOf = (at: number): number => ast.getLineAndCharacterOfPosition(at).line;
  const visit = (node: Node): void => {
    if (FUNCTIONS.has(node.kind)) {
      const start = lineOf(node.getStart(ast));
      const named = (node as { name?: Node }).name ?? (node.parent as { name?: Node } | undefined)?.name;
      const name = named?.getText(ast) ?? `line ${start + 1}`;
      sizes.push({ name, lines: lineOf(node.end) - start + 1 });
    }
    node.forEachChild(visit);
  };
  visit(ast);
  return sizes;
}

function report(sources: readonly Source[]): number {
  const folders = new Map<string, { files: number; code: number; comment: number; functions: number[] }>();
  const long: string[] = [];
  for (const { path, ast } of sources) {
    const lines = countLines(ast);
    const functions = functionSizes(ast);
    const name = path.split('/').slice(0, -1).join('/');
    const folder = folders.get(name) ?? { files: 0, code: 0, comment: 0, functions: [] };
    folders.set(name, folder);
    folder.files++;
    folder.code += lines.code;
    folder.comment += lines.comment;
    folder.functions.push(...functions.map((size) => size.lines));
    const total = lines.code + lines.comment + lines.blank;
    if (total > LONG_FILE) long.push(`${path}: ${total} lines`);
    for (const size of functions) {
      if (size.lines > LONG_FUNCTION) long.push(`${path}: ${size.name} has ${size.lines} lines`);
    }
  }
  console.log('folder        files   code  comments  median function');
  for (const [name, folder] of folders) {
    const share = Math.round((100 * folder.comment) / Math.max(1, folder.code + folder.comment));
    const median = folder.functions.sort((a, b) => a - b)[folder.functions.length >> 1] ?? 0;
    const cells = [name.padEnd(13), `${folder.files}`.padStart(5), `${folder.code}`.padStart(6)];
    console.log(`${cells.join(' ')} ${`${share} %`.padStart(9)} ${`${median}`.padStart(16)}`);
  }
  if (long.length > 0) console.log(`\nlonger than ${LONG_FILE} lines a file, ${LONG_FUNCTION} a function:`);
  for (const line of long) console.log(`  ${line}`);
  const core = folders.get('src/core')?.code ?? 0;
  console.log(`\nsrc/core: ${core} of ${CORE_BUDGET} lines of code`);
  return core;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const core = withSources(resolve(import.meta.dirname, '../..'), 'src', report);
  if (core > CORE_BUDGET) {
    console.error('size: the core is over its budget');
    process.exitCode = 1;
  }
}
