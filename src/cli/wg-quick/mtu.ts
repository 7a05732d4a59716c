/** The interface's MTU where the file gives none. */

import { formatAddress } from '../../uapi/address.js';
import type { UapiPeer } from '../../uapi/client.js';
import { link, type Route, routes, routeTo } from './ip.js';

/** Outer IPv6 header 40, UDP 8, data header 16, tag 16 (bytes). */
const OVERHEAD_BYTES = 80;
const ETHERNET_BYTES = 1500;

/**
 * The smallest MTU on the ways to the endpoints, or else that of the default route, or else Ethernet's; less
 * what the tunnel adds.
 */
export async function inferMtu(peers: readonly UapiPeer[]): Promise<number> {
  const found: number[] = [];
  for (const { endpoint } of peers) {
    if (endpoint === undefined) continue;
    const scope = endpoint.scope === undefined ? [] : ['dev', endpoint.scope];
    const mtu = await mtuOf(await routeTo(formatAddress(endpoint.address), ...scope));
    if (mtu !== undefined) found.push(mtu);
  }
  if (found.length === 0) found.push((await mtuOf((await routes('-4', 'default'))[0])) ?? ETHERNET_BYTES);
  return Math.min(...found) - OVERHEAD_BYTES;
}

/** Of a route itself, or else of the link it leaves by. */
async function mtuOf(route: Route | undefined): Promise<number | undefined> {
  if (route === undefined) return undefined;
  const own = route.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu;
  if (own !== undefined) return own;
  return route.dev === undefined ? undefined : (await link(route.dev))?.mtu;
}
