/**
 * The four batching features of the data path, by name: what a user may switch off, and what a device uses.
 */
import { Offload, type TunDevice } from '../linux/tun.js';
import { bindBoth, type UdpSocket } from '../linux/udp.js';

export const OFFLOADS = ['tun-read', 'tun-write', 'udp-gso', 'udp-gro'] as const;
export type OffloadName = (typeof OFFLOADS)[number];
export type Offloads = ReadonlySet<OffloadName>;

/** The environment variable, and what it is called in messages. */
export const OFFLOAD_VARIABLE = 'TYPETUN_OFFLOAD';

/** A text that names no offloads. */
export class OffloadError extends Error {
  readonly code = 'ERR_OFFLOAD_UNKNOWN';

  constructor(word: string) {
    super(
      `${JSON.stringify(word.slice(0, 64))} is no offload; choose from all, none, ${OFFLOADS.join(', ')}, with - before one to leave it out`,
    );
    this.name = 'OffloadError';
  }
}

/**
 * Words with commas between, carried out from left to right: `all` (where it starts), `none`, `-NAME`
 * leaves one out, `NAME` takes one in. `-udp-gso,-udp-gro`; `none,tun-read`.
 * @throws OffloadError for any other word
 */
export function parseOffloads(text: string): Offloads {
  const chosen = new Set<OffloadName>(OFFLOADS);
  for (const word of text.split(',').map((part) => part.trim())) {
    const name = OFFLOADS.find((known) => known === word.replace(/^[+-]/, ''));
    if (word === 'none') chosen.clear();
    else if (word === 'all') for (const each of OFFLOADS) chosen.add(each);
    else if (name !== undefined && word.startsWith('-')) chosen.delete(name);
    else if (name !== undefined) chosen.add(name);
    else if (word !== '') throw new OffloadError(word);
  }
  return chosen;
}

/** What the TUN takes: super-packets of TCP, of UDP. */
export interface TunWrites {
  readonly tcp: boolean;
  readonly udp: boolean;
}

const TCP = Offload.csum | Offload.tso4 | Offload.tso6;
const UDP = Offload.uso4 | Offload.uso6;

/**
 * Asks the TUN for super-packets, as many kinds as the kernel has.
 * @returns what may be written to it; `read` is what it will give
 */
export function setTunOffloads(tun: TunDevice, wanted: Offloads): { read: TunWrites; write: TunWrites } {
  const none = { tcp: false, udp: false };
  if (!tun.vnetHeader) return { read: none, write: none };
  // Since Linux 6.2; what has it takes it too.
  const udp = tun.setOffload(TCP | UDP);
  const tcp = udp || tun.setOffload(TCP);
  const known = { tcp, udp };
  const read = wanted.has('tun-read') && tcp;
  if (!read) tun.setOffload(0);
  return { read: read ? known : none, write: wanted.has('tun-write') ? { tcp: true, udp } : none };
}

/** The name where all its parts are in use, with the parts that are where some are, nothing where none is. */
function named(name: string, parts: Readonly<Record<string, boolean>>): string[] {
  const inUse = Object.keys(parts).filter((part) => parts[part]);
  if (inUse.length === 0) return [];
  return [inUse.length === Object.keys(parts).length ? name : `${name}(${inUse.join(' ')})`];
}

/** Of those wanted, the ones that sockets here can do. */
export function udpOffloads(wanted: Offloads): string[] {
  const sockets = bindBoth(0, 0, { gso: wanted.has('udp-gso'), gro: wanted.has('udp-gro') });
  for (const socket of sockets) socket.close();
  return namesOfUdp(sockets);
}

function namesOfUdp(sockets: readonly UdpSocket[]): string[] {
  const byFamily = (feature: 'gso' | 'gro'): Record<string, boolean> =>
    Object.fromEntries(sockets.map((socket) => [`ipv${socket.family}`, socket[feature]]));
  return [...named('udp-gso', byFamily('gso')), ...named('udp-gro', byFamily('gro'))];
}

/** The names of what is in use: `tun-read(tcp)` is without super-packets of UDP, `udp-gso(ipv6)` without IPv4. */
export function offloadsInUse(read: TunWrites, write: TunWrites, sockets: readonly UdpSocket[]): string[] {
  const { tcp, udp } = write;
  return [...named('tun-read', { ...read }), ...named('tun-write', { tcp, udp }), ...namesOfUdp(sockets)];
}
