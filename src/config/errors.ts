/** What is wrong with a configuration, for people and for programs. */

export type ConfigErrorCode =
  /** A line that is neither a section nor a known key with a value. */
  | 'ERR_CONFIG_LINE'
  | 'ERR_CONFIG_KEY'
  | 'ERR_CONFIG_PORT'
  | 'ERR_CONFIG_FWMARK'
  | 'ERR_CONFIG_KEEPALIVE'
  | 'ERR_CONFIG_ENDPOINT'
  | 'ERR_CONFIG_ALLOWED_IP'
  /** A wg-quick value: Address, MTU, SaveConfig. */
  | 'ERR_CONFIG_VALUE'
  | 'ERR_CONFIG_NO_PUBLIC_KEY'
  | 'ERR_CONFIG_NUL'
  | 'ERR_CONFIG_TOO_LARGE';

/** One thing wrong in a configuration file, or in a single value of one. It never holds a secret key. */
export class ConfigError extends Error {
  readonly code: ConfigErrorCode;
  /** Counted from 1; undefined for a value that came from elsewhere. */
  readonly line: number | undefined;
  /** What is wrong, without the line and without the text at fault. */
  readonly problem: string;
  /** The text at fault as it stood there, in bytes; undefined where there is none to show. */
  readonly text: Uint8Array | undefined;

  constructor(code: ConfigErrorCode, problem: string, text?: Uint8Array, line?: number) {
    const at = line === undefined ? '' : `line ${line}: `;
    const quoted = text === undefined ? '' : `: \`${new TextDecoder().decode(text)}'`;
    super(`${at}${problem}${quoted}`);
    this.name = 'ConfigError';
    this.code = code;
    this.problem = problem;
    this.text = text;
    this.line = line;
  }
}

/** Thrown by the readers of single values, which do not know their line: {@link ConfigError} with the text cut out. */
export function refuse(code: ConfigErrorCode, problem: string, text: Uint8Array): never {
  // Not slice(): a Buffer's is a view, and what it shows is zeroed soon.
  throw new ConfigError(code, problem, new Uint8Array(text));
}

export const HIDDEN: Uint8Array = new TextEncoder().encode('(hidden)');

/** A word of this many of base64's digits may be a key, or most of one, with something before it. */
const KEY_LIKE = { least: 40, most: 128 } as const;
/** A public key and its name, and not a line that has lost its end. */
const MAX_PUBLIC_BYTES = 64;
const SECRET_NAMES: readonly string[] = ['privatekey', 'presharedkey'];

/**
 * A copy of a line, or of a part of one, fit to be shown: without what may be a secret key. A public key under its own
 * name stays.
 * @param line without white space
 */
export function withoutKeys(line: Uint8Array): Uint8Array {
  const name = SECRET_NAMES.find((it) => startsWith(line, it));
  if (name !== undefined) return join(line.subarray(0, name.length), Uint8Array.of(0x3d), HIDDEN);
  if (line.length <= MAX_PUBLIC_BYTES && startsWith(line, 'publickey=')) return new Uint8Array(line);
  const parts: Uint8Array[] = [];
  let shown = 0;
  for (let start = 0; start < line.length; start++) {
    let end = start;
    while (end < line.length && isDigit(line[end]!)) end++;
    if (end - start < KEY_LIKE.least || end - start > KEY_LIKE.most) {
      start = Math.max(start, end);
      continue;
    }
    parts.push(line.subarray(shown, start), HIDDEN);
    shown = end;
    start = end;
  }
  return join(...parts, line.subarray(shown));
}

/** An error of a single value with its line, and with its text fit to be shown. */
export function atLine({ code, problem, text }: ConfigError, line: number): ConfigError {
  const isPublicKey = code === 'ERR_CONFIG_KEY' && (text?.length ?? 0) <= MAX_PUBLIC_BYTES;
  return new ConfigError(code, problem, text === undefined || isPublicKey ? text : withoutKeys(text), line);
}

function startsWith(line: Uint8Array, word: string): boolean {
  for (let i = 0; i < word.length; i++) {
    const code = word.charCodeAt(i);
    if (line[i] !== code && (line[i] ?? 0) + 0x20 !== code) return false;
  }
  return true;
}

/** Of base64. */
function isDigit(byte: number): boolean {
  const lower = byte | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2f;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
