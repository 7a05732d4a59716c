/**
 * The configuration files of wg(8) and wg-quick(8), "CONFIGURATION FILE FORMAT": read from bytes, in one
 * pass, in time that grows with the file. Nothing is looked up and nothing is changed: a file is right as a
 * whole or it is an error that names its line.
 */
import type { Endpoint } from '../core/endpoint.js';
import { ByteSlab } from '../uapi/slab.js';
import { atLine, ConfigError, withoutKeys } from './errors.js';
import { LineReader } from './lines.js';
import { emptyQuickConfig, QuickLines, readQuickLine } from './quick.js';
import type { PeerConfig, PeerEndpoint, QuickConfig, WgQuickConfig, WireGuardConfig } from './types.js';
import { decode, readAllowedIps, readFwmark, readKeepalive, readKey, readPort, splitEndpoint } from './values.js';

export interface ConfigWarning {
  readonly line: number;
  readonly problem: string;
  /** The text it is about, in bytes. */
  readonly text: Uint8Array;
}

export interface ParseOptions {
  /** Told of what is taken, but looks like a mistake: a prefix with host bits. In the order of the file. */
  readonly warn?: (warning: ConfigWarning) => void;
  /** Asked for the port of a service that ListenPort names. @returns the port, or what is wrong */
  readonly resolveService?: (service: string) => number | string;
  /** Asked for the address of each endpoint where it stands. @returns the address, or what is wrong */
  readonly resolveEndpoint?: (endpoint: PeerEndpoint) => Endpoint | string;
}

const EQUALS = 0x3d;
const OPEN = 0x5b;
/** Longer than any key. */
const MAX_KEY_BYTES = 32;

/**
 * Reads a file of wg(8): what `wg setconf` takes.
 * @param file UTF-8. A string is taken too, but cannot be wiped.
 * @throws ConfigError
 */
export function parseConfig(file: Uint8Array | string, options: ParseOptions = {}): WireGuardConfig {
  return parse(file, options, undefined);
}

/**
 * Reads a file of wg-quick(8): the same, and in `[Interface]` what wg-quick adds.
 * @param file UTF-8. A string is taken too, but cannot be wiped.
 * @throws ConfigError
 */
export function parseQuickConfig(file: Uint8Array | string, options: ParseOptions = {}): WgQuickConfig {
  const quick = emptyQuickConfig();
  return Object.assign(parse(file, options, quick), { quick });
}

function parse(file: Uint8Array | string, options: ParseOptions, quick: QuickConfig | undefined): WireGuardConfig {
  const reader = new LineReader(typeof file === 'string' ? new TextEncoder().encode(file) : file);
  const parser = new Parser(options);
  const lines = new QuickLines();
  try {
    while (reader.read()) {
      const key = quick === undefined ? undefined : lines.keyOf(reader);
      if (quick === undefined || key === undefined) parser.line(reader.compact(), reader.line);
      else readQuickLine(reader, key, quick);
    }
    return parser.finish();
  } catch (error) {
    parser.wipe();
    throw error;
  } finally {
    reader.wipe();
  }
}

class Parser {
  readonly #options: ParseOptions;
  readonly #slab = new ByteSlab();
  readonly #config: WireGuardConfig;
  #section: 'interface' | PeerConfig | undefined;
  #line = 0;

  constructor(options: ParseOptions) {
    this.#options = options;
    this.#config = { peers: [], wipe: () => this.#slab.wipe() };
  }

  wipe(): void {
    this.#slab.wipe();
  }

  /** @param text a line without white space and comment, `line` counted from 1 */
  line(text: Uint8Array, line: number): void {
    if (text.length === 0) return;
    this.#line = line;
    if (text[0] === OPEN) {
      this.#open(text);
      return;
    }
    const equals = text.indexOf(EQUALS);
    const key = equals < 0 || equals > MAX_KEY_BYTES ? '' : decode(text.subarray(0, equals)).toLowerCase();
    try {
      const known = this.#section === 'interface' ? this.#interface(key, text, equals) : this.#peer(key, text, equals);
      if (known) return;
    } catch (error) {
      if (!(error instanceof ConfigError) || error.line !== undefined) throw error;
      throw atLine(error, line);
    }
    this.#unrecognized(text);
  }

  /** @throws ConfigError `ERR_CONFIG_NO_PUBLIC_KEY` */
  finish(): WireGuardConfig {
    for (const peer of this.#config.peers) {
      if (peer.publicKey.length > 0) continue;
      throw new ConfigError('ERR_CONFIG_NO_PUBLIC_KEY', 'A peer is missing a public key', undefined, peer.line);
    }
    return this.#config;
  }

  #open(text: Uint8Array): void {
    const name = text.length > MAX_KEY_BYTES ? '' : decode(text).toLowerCase();
    if (name === '[interface]') {
      this.#section = 'interface';
    } else if (name === '[peer]') {
      const peer = { line: this.#line, publicKey: new Uint8Array(0), allowedIps: [], incremental: false };
      this.#section = peer;
      this.#config.peers.push(peer);
    } else {
      this.#unrecognized(text);
    }
  }

  /** @returns whether this is a line of the section: a known key with a value */
  #interface(key: string, text: Uint8Array, equals: number): boolean {
    const [from, to] = [equals + 1, text.length];
    if (from === to) return false;
    const config = this.#config;
    if (key === 'privatekey') config.privateKey = readKey(text, from, to, this.#slab, true);
    else if (key === 'listenport') config.listenPort = readPort(text, from, to, this.#options.resolveService);
    else if (key === 'fwmark') config.fwmark = readFwmark(text, from, to);
    else return false;
    return true;
  }

  #peer(key: string, text: Uint8Array, equals: number): boolean {
    const [from, to] = [equals + 1, text.length];
    const peer = this.#section;
    if (peer === undefined || peer === 'interface' || from === to) return false;
    if (key === 'publickey') peer.publicKey = readKey(text, from, to, this.#slab, false);
    else if (key === 'presharedkey') peer.presharedKey = readKey(text, from, to, this.#slab, true);
    else if (key === 'persistentkeepalive') peer.persistentKeepaliveInterval = readKeepalive(text, from, to);
    else if (key === 'endpoint') {
      const endpoint: PeerEndpoint = splitEndpoint(text, from, to);
      peer.endpoint = endpoint;
      const found = this.#options.resolveEndpoint?.(endpoint);
      if (typeof found === 'string') throw new ConfigError('ERR_CONFIG_ENDPOINT', found, text.slice(from, to));
      if (found !== undefined) endpoint.resolved = found;
    } else if (key === 'allowedips') this.#allowedIps(peer, text, from, to);
    else return false;
    return true;
  }

  #allowedIps(peer: PeerConfig, text: Uint8Array, from: number, to: number): void {
    const { warn } = this.#options;
    const ips = peer.allowedIps ?? [];
    peer.allowedIps = ips;
    const notes = readAllowedIps(text, from, to, this.#slab, ips, (problem, entry) =>
      warn?.({ line: this.#line, problem, text: entry }),
    );
    peer.incremental ||= notes.incremental;
  }

  #unrecognized(text: Uint8Array): never {
    throw new ConfigError('ERR_CONFIG_LINE', 'Line unrecognized', withoutKeys(text), this.#line);
  }
}
