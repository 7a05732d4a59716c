/** `wg set`: a change in words. */
import { changeToAdd } from '../../config/change.js';
import { ConfigError } from '../../config/errors.js';
import type { PeerConfig, PeerEndpoint, WireGuardConfig } from '../../config/types.js';
import {
  isSpace,
  readAllowedIps,
  readFwmark,
  readKeepalive,
  readKey,
  readPort,
  splitEndpoint,
} from '../../config/values.js';
import { setDevice } from '../../uapi/client.js';
import { ByteSlab } from '../../uapi/slab.js';
import { SET_INTERFACE_WORDS, SET_PEER_WORDS, usageOf } from './commands.js';
import { deviceFailure, fileFailure, printConfigError, warn } from './errors.js';
import type { Io } from './io.js';
import { readKeyFile } from './keys.js';
import { type Resolver, withResolver } from './resolve.js';

export async function set(args: readonly string[], io: Io): Promise<number> {
  const [name, ...words] = args;
  if (name === undefined || words.length === 0) {
    io.err(usageOf('set'));
    return 1;
  }
  // Key files may be pipes, which can be read once: they must survive a second reading of the words.
  const keys = new Map<number, Uint8Array>();
  let config: WireGuardConfig | undefined;
  try {
    config = await withResolver(io, (resolver, quiet) => new SetReader(quiet, resolver, keys).read(words));
    await setDevice(name, changeToAdd(config));
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) printConfigError(io, error);
    else if (error instanceof WordError) io.err(`Invalid argument: ${error.message}\n`);
    else if (config === undefined) return await fileFailure(io, error);
    else return await deviceFailure(io, 'Unable to modify interface', name, error);
    return 1;
  } finally {
    config?.wipe();
    for (const key of keys.values()) key.fill(0);
  }
}

/** A word that stands where it cannot, or that lacks its value. */
class WordError extends Error {}

const KEY_FILE_WORDS: ReadonlySet<string> = new Set(['private-key', 'preshared-key']);

class SetReader {
  readonly #io: Io;
  readonly #resolver: Resolver;
  readonly #keys: Map<number, Uint8Array>;
  readonly #slab = new ByteSlab();
  readonly #config: WireGuardConfig = { peers: [], wipe: () => this.#slab.wipe() };
  #peer: PeerConfig | undefined;

  /** @param keys of files that were read already, by the place of their word */
  constructor(io: Io, resolver: Resolver, keys: Map<number, Uint8Array>) {
    this.#io = io;
    this.#resolver = resolver;
    this.#keys = keys;
  }

  /** @throws ConfigError, WordError, or what fs throws for a key file */
  read(words: readonly string[]): WireGuardConfig {
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      if (word === 'remove' && this.#peer !== undefined) {
        this.#peer.remove = true;
        continue;
      }
      const known: readonly string[] = this.#peer === undefined ? SET_INTERFACE_WORDS : SET_PEER_WORDS;
      const value = words[++i];
      if (!known.includes(word) || value === undefined) throw new WordError(word);
      if (KEY_FILE_WORDS.has(word)) this.#keyFile(word, value, i);
      else this.#value(word, new TextEncoder().encode(value));
    }
    return this.#config;
  }

  #keyFile(word: string, path: string, place: number): void {
    let key = this.#keys.get(place);
    if (key === undefined) {
      key = new Uint8Array(32);
      this.#keys.set(place, key);
      readKeyFile(path, key);
    }
    if (word === 'private-key') this.#config.privateKey = key;
    else this.#peer!.presharedKey = key;
  }

  #value(word: string, text: Uint8Array): void {
    const [config, peer, to] = [this.#config, this.#peer, text.length];
    switch (word) {
      case 'listen-port':
        config.listenPort = readPort(text, 0, to, this.#resolver.service);
        return;
      case 'fwmark':
        config.fwmark = readFwmark(text, 0, to);
        return;
      case 'peer':
        this.#peer = { line: 0, publicKey: readKey(text, 0, to, this.#slab, false), incremental: false };
        config.peers.push(this.#peer);
        return;
      case 'endpoint':
        peer!.endpoint = this.#endpoint(text);
        return;
      case 'persistent-keepalive':
        peer!.persistentKeepaliveInterval = readKeepalive(text, 0, to);
        return;
      default:
        this.#allowedIps(peer!, text);
    }
  }

  #endpoint(text: Uint8Array): PeerEndpoint {
    const endpoint: PeerEndpoint = splitEndpoint(text, 0, text.length);
    const found = this.#resolver.endpoint(endpoint);
    if (typeof found === 'string') throw new ConfigError('ERR_CONFIG_ENDPOINT', found, text);
    endpoint.resolved = found;
    return endpoint;
  }

  /** White space does not count, and nothing at all empties the list. */
  #allowedIps(peer: PeerConfig, text: Uint8Array): void {
    const ips = peer.allowedIps ?? [];
    peer.allowedIps = ips;
    const compact = text.filter((byte) => !isSpace(byte));
    if (text.length === 0) return;
    const notes = readAllowedIps(compact, 0, compact.length, this.#slab, ips, (problem, entry) =>
      warn(this.#io, problem, entry),
    );
    peer.incremental ||= notes.incremental;
  }
}
