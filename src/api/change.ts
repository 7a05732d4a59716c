/** From what a user hands over to a change of the core: every value is checked before anything happens. */
import type { AllowedIpChange, DeviceChange, PeerChange } from '../core/change.js';
import type { Endpoint } from '../core/endpoint.js';
import { ByteSlab } from '../uapi/slab.js';
import { parseAllowedIp, parseEndpoint, type ResolveScope } from '../uapi/values.js';
import { invalid, show, TypetunError } from './errors.js';
import { keyBytes, SecretKey, type SecretKeyInput } from './keys.js';
import type { DeviceConfig, PeerConfig } from './types.js';

type Keys<T> = { readonly [Key in keyof T]-?: true };

const DEVICE_KEYS: Keys<DeviceConfig> = {
  privateKey: true,
  listenPort: true,
  fwmark: true,
  replacePeers: true,
  peers: true,
};
const PEER_KEYS: Keys<PeerConfig> = {
  publicKey: true,
  remove: true,
  updateOnly: true,
  presharedKey: true,
  endpoint: true,
  persistentKeepaliveInterval: true,
  replaceAllowedIps: true,
  allowedIps: true,
};
/** In a status, and not for writing: passed over, so that a status can be handed back as a change. */
const READ_ONLY: ReadonlySet<string> = new Set([
  'publicKey',
  'drops',
  'lastHandshakeTimeMs',
  'rxBytes',
  'txBytes',
  'protocolVersion',
]);

const encoder = new TextEncoder();

export interface ChangeContext {
  /** Interface indices of link-local endpoints by name; without it, numbers alone are understood. */
  readonly resolveScope?: ResolveScope;
  /** Endpoints with a host name, looked up before; without it, they are refused. */
  readonly resolved?: ReadonlyMap<string, Endpoint>;
}

/** Where values go: what is not secret outlives the change, in the events it causes. */
interface Work extends ChangeContext {
  readonly secrets: ByteSlab;
  readonly public: ByteSlab;
}

export interface CheckedChange {
  readonly change: DeviceChange;
  /** Zeroes the keys in it. */
  wipe(): void;
}

/** @throws TypetunError that names the value and what was expected; no copy of a key is left then */
export function checkChange(config: DeviceConfig, context: ChangeContext = {}): CheckedChange {
  const memory = { secrets: new ByteSlab(), public: new ByteSlab() };
  const wipe = (): void => memory.secrets.wipe();
  try {
    return { change: deviceChange(config, { ...context, ...memory }), wipe };
  } catch (error) {
    wipe();
    throw error;
  }
}

function deviceChange(config: DeviceConfig, work: Work): DeviceChange {
  checkKeys(config, DEVICE_KEYS, 'configuration');
  const { privateKey, listenPort, fwmark, replacePeers, peers } = config;
  if (peers !== undefined && !Array.isArray(peers)) throw invalid('peers', 'an array', peers);
  return {
    ...(privateKey !== undefined && { privateKey: secret(privateKey, 'privateKey', work) }),
    ...(listenPort !== undefined && { listenPort: integer(listenPort, 'listenPort', 65535) }),
    ...(fwmark !== undefined && { fwmark: integer(fwmark, 'fwmark', 0xffffffff) }),
    ...(replacePeers !== undefined && { replacePeers: flag(replacePeers, 'replacePeers') }),
    ...(peers !== undefined && { peers: peers.map((peer, i) => peerChange(peer, `peers[${i}]`, work)) }),
  };
}

function peerChange(peer: PeerConfig, what: string, work: Work): PeerChange {
  checkKeys(peer, PEER_KEYS, what);
  const { publicKey, remove, updateOnly, presharedKey, endpoint, replaceAllowedIps, allowedIps } = peer;
  const keepalive = peer.persistentKeepaliveInterval;
  if (publicKey === undefined) throw invalid(`${what}.publicKey`, 'a key', publicKey);
  if (allowedIps !== undefined && !Array.isArray(allowedIps)) {
    throw invalid(`${what}.allowedIps`, 'an array', allowedIps);
  }
  const name = `${what}.persistentKeepaliveInterval`;
  return {
    publicKey: keyBytes(publicKey, `${what}.publicKey`),
    ...(remove !== undefined && { remove: flag(remove, `${what}.remove`) }),
    ...(updateOnly !== undefined && { updateOnly: flag(updateOnly, `${what}.updateOnly`) }),
    ...(presharedKey !== undefined && { presharedKey: secret(presharedKey, `${what}.presharedKey`, work) }),
    ...(endpoint !== undefined && { endpoint: endpointOf(endpoint, `${what}.endpoint`, work) }),
    ...(keepalive !== undefined && { persistentKeepaliveInterval: integer(keepalive, name, 65535) }),
    ...(replaceAllowedIps !== undefined && {
      replaceAllowedIps: flag(replaceAllowedIps, `${what}.replaceAllowedIps`),
    }),
    ...(allowedIps !== undefined && {
      allowedIps: allowedIps.map((text, i) => allowedIp(text, `${what}.allowedIps[${i}]`, work)),
    }),
  };
}

/** A misspelt property would otherwise be ignored in silence. */
function checkKeys(value: object, known: Readonly<Record<string, true>>, what: string): void {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid(what, 'an object', value);
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(known, key) || READ_ONLY.has(key)) continue;
    throw invalid(what, `the properties ${Object.keys(known).join(', ')}`, key);
  }
}

function secret(key: SecretKeyInput | null, what: string, { secrets }: Work): Uint8Array {
  const copy = secrets.take(32);
  if (key === null) return copy;
  const bytes = key instanceof SecretKey ? key.toBytes() : keyBytes(key, what);
  copy.set(bytes);
  bytes.fill(0);
  return copy;
}

/** @throws TypetunError */
export function integer(value: unknown, what: string, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw invalid(what, `an integer from 0 to ${max}`, value);
}

/** @throws TypetunError */
export function flag(value: unknown, what: string): boolean {
  if (typeof value === 'boolean') return value;
  throw invalid(what, 'true or false', value);
}

/** @throws TypetunError */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined || typeof signal?.throwIfAborted === 'function') return;
  throw invalid('signal', 'an AbortSignal', signal);
}

function endpointOf(text: string, what: string, work: Work): Endpoint {
  const endpoint = numericEndpoint(text, work.resolveScope, work.public) ?? work.resolved?.get(text);
  if (endpoint !== undefined) return endpoint;
  const expected = work.resolved === undefined ? 'address:port or [address]:port' : 'host:port or [address]:port';
  throw new TypetunError('ERR_INVALID_ENDPOINT', `${what}: expected ${expected}, got ${show(text)}`);
}

/** @returns undefined when it is none, or one with a host name */
export function numericEndpoint(
  text: string,
  resolveScope: ResolveScope = () => undefined,
  slab: ByteSlab = new ByteSlab(),
): Endpoint | undefined {
  if (typeof text !== 'string') return undefined;
  const bytes = encoder.encode(text);
  return parseEndpoint(bytes, 0, bytes.length, slab, resolveScope);
}

function allowedIp(text: string, what: string, work: Work): AllowedIpChange {
  if (typeof text === 'string') {
    const whole = text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
    const bytes = encoder.encode(whole);
    const prefix = parseAllowedIp(bytes, 0, bytes.length, work.public);
    if (prefix !== undefined) return prefix;
  }
  const expected = 'an address or a prefix as 10.0.0.0/8 or fd00::/8';
  throw new TypetunError('ERR_INVALID_ALLOWED_IP', `${what}: expected ${expected}, got ${show(text)}`);
}
