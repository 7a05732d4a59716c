/** Host names of endpoints: looked up once, before anything is changed. */
import { lookup } from 'node:dns/promises';
import { numericEndpoint } from '../api/change.js';
import { show, TypetunError } from '../api/errors.js';
import { join } from '../api/quick.js';
import type { DeviceConfig } from '../api/types.js';
import type { Endpoint } from '../core/endpoint.js';
import { scopeIndex } from '../linux/scopes.js';

const HOST_AND_PORT = /^([^\s:[\]%/]+):(\d{1,5})$/;

/**
 * @returns the endpoints with host names, by their text. What is no endpoint at all is left for the check that follows
 * @throws TypetunError `ERR_RESOLVE`
 */
export async function resolveEndpoints(config: DeviceConfig): Promise<Map<string, Endpoint>> {
  const names = new Set<string>();
  for (const peer of Array.isArray(config?.peers) ? config.peers : []) {
    const text: unknown = peer?.endpoint;
    if (typeof text === 'string' && !numericEndpoint(text, scopeIndex)) names.add(text);
  }
  const resolved = new Map<string, Endpoint>();
  await Promise.all(
    Array.from(names, async (text) => {
      const [, host, port] = HOST_AND_PORT.exec(text) ?? [];
      if (host === undefined || Number(port) > 65535) return;
      const endpoint = numericEndpoint(join(await addressOf(host), Number(port)), scopeIndex);
      if (endpoint) resolved.set(text, endpoint);
    }),
  );
  return resolved;
}

async function addressOf(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TypetunError('ERR_RESOLVE', `the host name ${show(host)} has no address (${code})`, { cause: error });
  }
}
