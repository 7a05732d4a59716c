/** The lines that wg-quick(8) reads itself and wg(8) never sees. */
import { ConfigError, withoutKeys } from './errors.js';
import { LineReader } from './lines.js';
import type { QuickConfig } from './types.js';
import { decode, isSpace } from './values.js';

const EQUALS = 0x3d;
const HASH = 0x23;
const OPEN = 0x5b;
/** Longer than any key. */
const MAX_KEY_BYTES = 16;
/** Of a section's line, white space around it. */
const MAX_SECTION_BYTES = 256;
const HOOKS = { preup: 'preUp', postup: 'postUp', predown: 'preDown', postdown: 'postDown' } as const;
const KEYS: ReadonlySet<string> = new Set(['address', 'dns', 'mtu', 'table', 'saveconfig', ...Object.keys(HOOKS)]);

export function emptyQuickConfig(): QuickConfig {
  return {
    addresses: [],
    dns: { servers: [], searchDomains: [] },
    saveConfig: false,
    preUp: [],
    postUp: [],
    preDown: [],
    postDown: [],
  };
}

/** Whether a line opens a section, by its first byte that is no white space. */
function opensSection(raw: Uint8Array): boolean {
  return raw.find((byte) => !isSpace(byte)) === OPEN;
}

/** Tells which lines of a file are wg-quick's: known keys, in an `[Interface]`. */
export class QuickLines {
  #inInterface = false;

  /** To be asked about each line in turn. @returns the key of a line of wg-quick's, in lower case, or undefined for one of wg's */
  keyOf(reader: LineReader): string | undefined {
    const raw = reader.raw();
    const key = this.#inInterface ? quickKey(raw) : undefined;
    if (key === undefined && opensSection(raw)) {
      // wg(8) takes white space inside the brackets, wg-quick(8) does not.
      const hash = raw.indexOf(HASH);
      const text = decode(raw.subarray(0, Math.min(MAX_SECTION_BYTES, hash < 0 ? raw.length : hash)));
      this.#inInterface = text.trim().toLowerCase() === '[interface]';
    }
    return key;
  }
}

/**
 * Reads what is wg-quick's in a file, and nothing else of it: what takes a tunnel down does not depend on
 * whether the rest is right by now.
 * @throws ConfigError
 */
export function parseQuickLines(file: Uint8Array): QuickConfig {
  const reader = new LineReader(file);
  const lines = new QuickLines();
  const quick = emptyQuickConfig();
  try {
    while (reader.read()) {
      const key = lines.keyOf(reader);
      if (key !== undefined) readQuickLine(reader, key, quick);
    }
    return quick;
  } finally {
    reader.wipe();
  }
}

function quickKey(raw: Uint8Array): string | undefined {
  let from = 0;
  while (from < raw.length && isSpace(raw[from]!)) from++;
  let to = from;
  while (to < raw.length && raw[to] !== EQUALS && raw[to] !== HASH && to - from <= MAX_KEY_BYTES * 4) to++;
  while (to > from && isSpace(raw[to - 1]!)) to--;
  if (to - from > MAX_KEY_BYTES) return undefined;
  const key = decode(raw.subarray(from, to)).toLowerCase();
  return KEYS.has(key) ? key : undefined;
}

/**
 * Reads the value of a line whose key is `key`. A comment ends it, except in a hook: a shell has its own.
 * @throws ConfigError
 */
export function readQuickLine(reader: LineReader, key: string, quick: QuickConfig): void {
  const raw = reader.raw();
  const { line } = reader;
  const equals = raw.indexOf(EQUALS);
  const hash = raw.indexOf(HASH);
  if (equals < 0 || (hash >= 0 && hash < equals)) {
    throw new ConfigError('ERR_CONFIG_LINE', 'Line unrecognized', withoutKeys(reader.compact()), line);
  }
  if (Object.hasOwn(HOOKS, key)) {
    quick[HOOKS[key as keyof typeof HOOKS]].push({ text: decode(raw.subarray(equals + 1)).trim(), line });
    return;
  }
  const text = decode(raw.subarray(equals + 1, hash < 0 ? raw.length : hash)).trim();
  const refuse = (problem: string): never => {
    throw new ConfigError('ERR_CONFIG_VALUE', problem, withoutKeys(new TextEncoder().encode(text)), line);
  };
  const parts = text
    .split(/[,\s]+/)
    .filter((part) => part !== '')
    .map((part) => ({ text: part, line }));
  switch (key) {
    case 'address':
      if (parts.some((part) => !/^[0-9a-f:./]+$/i.test(part.text))) refuse('Address is not an IP address');
      quick.addresses.push(...parts);
      return;
    case 'dns':
      for (const part of parts) {
        const isAddress = /^[0-9.]+$|:/.test(part.text);
        (isAddress ? quick.dns.servers : quick.dns.searchDomains).push(part);
      }
      return;
    case 'mtu':
      if (text === '') return;
      if (!/^\d{1,9}$/.test(text) || Number(text) < 68 || Number(text) > 65535) refuse('MTU is not 68-65535');
      quick.mtu = Number(text);
      return;
    case 'table':
      if (text !== '') quick.table = text;
      return;
    default:
      if (!/^(true|false)$/i.test(text)) refuse('SaveConfig is neither true nor false');
      quick.saveConfig = text.toLowerCase() === 'true';
  }
}
