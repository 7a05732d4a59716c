/** The interface's MTU where the file gives none. */
import { formatAddress } from '../../uapi/address.js';
import { link, type Route, routes, routeTo } from './ip.js';

/** Outer IPv6 header 40, UDP 8, data header 16, tag 16 (bytes). */
const OVERHEAD_BYTES = 80;
const ETHERNET_BYTES = 1500;

export interface Destination {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The interface's name, of a link-local address. */
  readonly scope?: string | undefined;
}

/**
 * The smallest MTU on the ways to the endpoints, or else that of the default route, or else Ethernet's; less
 * what the tunnel adds.
 */
export async function inferMtu(endpoints: readonly Destination[]): Promise<number> {
  const found: number[] = [];
  for (const { address, scope } of endpoints) {
    const mtu = await mtuOf(await routeTo(formatAddress(address), ...(scope === undefined ? [] : ['dev', scope])));
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
