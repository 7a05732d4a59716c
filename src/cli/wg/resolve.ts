/** Endpoints and ports by the system's resolver, with the retries that wg(8) documents. */
import { ConfigError } from '../../config/errors.js';
import type { PeerEndpoint } from '../../config/index.js';
import { parsePort } from '../../config/values.js';
import type { Endpoint } from '../../core/endpoint.js';
import type { lookUp } from '../../linux/resolver.js';
import { parseAddress } from '../../uapi/address.js';
import type { Io } from './io.js';

type LookUp = typeof lookUp;

const DEFAULT_RETRIES = 15;
const MAX_RETRIES = 0x7fffffff;
const FIRST_DELAY_US = 1_000_000;
const MAX_DELAY_US = 20_000_000;
const RETRIES = 'WG_ENDPOINT_RESOLUTION_RETRIES';

/** The native look-up is needed and not loaded. */
class NeedsLookUp extends Error {}

export interface Resolver {
  /** @returns the port, or what is wrong */
  service(service: string): number | string;
  /**
   * Blocks, and says so on standard error when it tries again.
   * @returns the address, or what is wrong
   * @throws ConfigError when {@link RETRIES} is no number
   */
  endpoint(endpoint: PeerEndpoint): Endpoint | string;
}

/** @param lookUp undefined: names cannot be looked up yet, and addresses and numbers need it not */
function createResolver(io: Io, lookUp: LookUp | undefined): Resolver {
  const ask: LookUp = (host, service) => {
    if (lookUp === undefined) throw new NeedsLookUp();
    return lookUp(host, service);
  };
  return {
    service: (service) => {
      const found = ask(undefined, service);
      return 'text' in found ? found.text : found.port;
    },
    endpoint: (endpoint) => {
      const tries = resolving(io, ask, endpoint);
      for (;;) {
        const { done, value } = tries.next();
        if (done) return value;
        io.sleep(value);
      }
    },
  };
}

/** Yields how long to wait before it is asked again, in ms; says so on standard error. @returns as {@link Resolver.endpoint} */
function* resolving(io: Io, ask: LookUp, endpoint: PeerEndpoint): Generator<number, Endpoint | string, undefined> {
  const retries = retriesOf(io.env[RETRIES]);
  const plain = plainEndpoint(endpoint);
  if (plain !== undefined) return plain;
  let delayUs = FIRST_DELAY_US;
  for (let tries = 0; ; tries++) {
    const found = ask(endpoint.host, endpoint.port);
    if (!('text' in found)) return found;
    if (found.permanent || tries >= retries) return found.text;
    const seconds = (delayUs / 1e6).toFixed(2);
    io.err(`${found.text}: \`${endpoint.text}'. Trying again in ${seconds} seconds...\n`);
    yield delayUs / 1000;
    delayUs = Math.min(MAX_DELAY_US, Math.floor((delayUs * 6) / 5));
  }
}

/**
 * As {@link Resolver.endpoint}, for callers that must be able to end while they wait.
 * @param wait for some ms
 * @returns the address, or what is wrong
 * @throws what `wait` throws, and ConfigError as there
 */
export async function resolveEndpoint(
  io: Io,
  endpoint: PeerEndpoint,
  wait: (timeMs: number) => Promise<void>,
): Promise<Endpoint | string> {
  const plain = plainEndpoint(endpoint);
  if (plain !== undefined) return plain;
  const { lookUp } = await import('../../linux/resolver.js');
  const tries = resolving(io, lookUp, endpoint);
  for (;;) {
    const { done, value } = tries.next();
    if (done) return value;
    await wait(value);
  }
}

/**
 * Does `work` without the native resolver, and once more with it where a name turns up: loading it costs more than
 * everything else that `wg` does.
 * @param work has no effects but what it says on `io`'s standard error
 */
export async function withResolver<T>(io: Io, work: (resolver: Resolver, io: Io) => T): Promise<T> {
  const said: (string | Uint8Array)[] = [];
  const quiet: Io = { ...io, err: (text) => said.push(text) };
  let needsLookUp = false;
  try {
    return work(createResolver(quiet, undefined), quiet);
  } catch (error) {
    needsLookUp = error instanceof NeedsLookUp;
    if (!needsLookUp) throw error;
  } finally {
    if (!needsLookUp) for (const text of said) io.err(text);
  }
  const { lookUp } = await import('../../linux/resolver.js');
  return work(createResolver(io, lookUp), io);
}

/** An empty value is 0, as strtoul(3) has it. */
function retriesOf(value: string | undefined): number {
  if (value === undefined) return DEFAULT_RETRIES;
  if (value === 'infinity') return Number.POSITIVE_INFINITY;
  const digits = /^\s*\+?(\d*)$/.exec(value)?.[1];
  if (digits !== undefined && Number(digits) <= MAX_RETRIES) return Number(digits);
  throw new ConfigError('ERR_CONFIG_ENDPOINT', `Unable to parse ${RETRIES}`, new TextEncoder().encode(value));
}

/** An endpoint of numbers alone, as the resolver would read it, without asking it. */
function plainEndpoint({ host, port }: PeerEndpoint): Endpoint | undefined {
  const [hostText, portText] = [new TextEncoder().encode(host), new TextEncoder().encode(port)];
  const address = new Uint8Array(16);
  const length = parseAddress(hostText, 0, hostText.length, address);
  const number = parsePort(portText, 0, portText.length);
  if (length === 0 || number < 0 || number > 65535) return undefined;
  return { address: address.slice(0, length), port: number };
}
