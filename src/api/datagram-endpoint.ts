/** Where datagrams of a device without a system come from and go to. */
import type { Endpoint } from '../core/endpoint.js';
import { formatAddress, parseAddress } from '../uapi/address.js';
import { integer } from './change.js';
import { TypetunError } from './errors.js';

/** Where a datagram comes from or goes to. */
export interface DatagramEndpoint {
  /** IPv4 or IPv6; a link-local IPv6 address ends in the number of its interface (`fe80::1%2`). */
  readonly address: string;
  readonly port: number;
}

/** What a user sees of it. */
export function datagramEndpoint({ address, port, scopeId = 0 }: Endpoint): DatagramEndpoint {
  return { address: `${formatAddress(address)}${scopeId === 0 ? '' : `%${scopeId}`}`, port };
}

const encoder = new TextEncoder();

/** @throws TypetunError */
export function endpointOf(from: DatagramEndpoint): Endpoint {
  const [text = '', scope = '0'] = typeof from?.address === 'string' ? from.address.split('%') : [];
  const bytes = encoder.encode(text);
  const address = new Uint8Array(16);
  const length = parseAddress(bytes, 0, bytes.length, address);
  const scopeId = /^\d{1,9}$/.test(scope) ? Number(scope) : 0;
  if (length === 0) {
    const expected = '{ address, port } with an IPv4 or IPv6 address';
    throw new TypetunError('ERR_INVALID_ENDPOINT', `from: expected ${expected}, got ${JSON.stringify(text)}`);
  }
  return { address: address.subarray(0, length), port: integer(from.port, 'from.port', 65535), scopeId };
}
