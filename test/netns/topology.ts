/** Tunnels between two namespaces of a lab: the birthplace one that harness.ts draws, and its parts. */
import type { DaemonOptions, Device, Implementation, Lab } from './harness.js';

export type Pair = readonly [Implementation, Implementation];

/** The tunnel's own addresses: of the first device (in namespace 1) and the second (in namespace 2). */
export const V4 = ['192.168.241.1', '192.168.241.2'] as const;
export const V6 = ['fd00::1', 'fd00::2'] as const;
/** UDP ports of the first and the second device. */
export const PORTS = [1, 2] as const;

export interface TunnelOptions {
  readonly mtu?: number;
  /** A preshared key for both sides. */
  readonly psk?: boolean;
  /** Where the daemons start; namespace 0 unless told, which is made with the other two then. */
  readonly birthplaces?: readonly [number, number];
  /** For both daemons. */
  readonly daemon?: Pick<DaemonOptions, 'command' | 'env'>;
  /** Where each device finds its peer, told with the peer: boringtun cannot be told later. */
  readonly endpoints?: readonly [string, string];
}

/**
 * Two devices in namespaces 1 and 2, configured and up, without endpoints unless told. Namespaces are made if the birthplaces
 * are not told, else they are there already.
 */
export async function tunnel(lab: Lab, pair: Pair, options: TunnelOptions = {}): Promise<[Device, Device]> {
  if (options.birthplaces === undefined) await lab.namespace(0, 1, 2);
  const [bornA, bornB] = options.birthplaces ?? [0, 0];
  const { daemon } = options;
  const [a, b] = await Promise.all([lab.device(pair[0], bornA, daemon), lab.device(pair[1], bornB, daemon)]);
  const psk = options.psk ? await lab.sh('wg genpsk') : undefined;
  await join(lab, a, b, 0, bornA, options, psk);
  await join(lab, b, a, 1, bornB, options, psk);
  return [a, b];
}

/** Configures one side of a tunnel and moves it to its namespace, side + 1. */
async function join(
  lab: Lab,
  self: Device,
  peer: Device,
  side: 0 | 1,
  birthplace: number,
  { mtu, endpoints: at }: TunnelOptions,
  psk: string | undefined,
): Promise<void> {
  const home = lab.ns(side + 1);
  const other = side === 0 ? 1 : 0;
  const key = psk === undefined ? '' : `preshared-key <(echo ${psk})`;
  const endpoint = at === undefined ? '' : `endpoint ${at[side]}`;
  await lab.sh(`
    wg set ${self.name} listen-port ${PORTS[side]} peer ${peer.publicKey} ${key} ${endpoint} allowed-ips ${V4[other]}/32,${V6[other]}/128
    ${birthplace === side + 1 ? '' : `ip -n ${lab.ns(birthplace)} link set ${self.name} netns ${home}`}
    ip -n ${home} address add ${V4[side]}/24 dev ${self.name}
    ip -n ${home} address add ${V6[side]}/112 dev ${self.name} nodad
    ip -n ${home} link set ${self.name} ${mtu === undefined ? '' : `mtu ${mtu}`} up`);
}

/** Tells each side where the other's socket is: on the loopback of the birthplace, at its own port. */
export async function endpoints(lab: Lab, a: Device, b: Device, host: '127.0.0.1' | '[::1]'): Promise<void> {
  await setEndpoint(lab, a, b, `${host}:${PORTS[1]}`);
  await setEndpoint(lab, b, a, `${host}:${PORTS[0]}`);
}

export async function setEndpoint(lab: Lab, self: Device, peer: Device, endpoint: string): Promise<void> {
  await lab.wg(`set ${self.name} peer ${peer.publicKey} endpoint ${endpoint}`);
}

/** The endpoint that `wg` shows for a peer. */
export async function endpointOf(lab: Lab, self: Device, peer: Device): Promise<string | undefined> {
  return (await shown(lab, self, 'endpoints')).get(peer.publicKey)?.[0];
}

/** Bytes received from and sent to a peer, as `wg` shows them. */
export async function transfer(
  lab: Lab,
  self: Device,
  peer: Pick<Device, 'publicKey'>,
): Promise<[rx: number, tx: number]> {
  const [rx, tx] = (await shown(lab, self, 'transfer')).get(peer.publicKey) ?? [];
  return [Number(rx), Number(tx)];
}

/** Seconds since 1970 of the last handshake with a peer, 0 when there was none. */
export async function latestHandshake(lab: Lab, self: Device, peer: Device): Promise<number> {
  return Number((await shown(lab, self, 'latest-handshakes')).get(peer.publicKey)?.[0]);
}

/** `wg show DEVICE FIELD`, by public key. */
async function shown(lab: Lab, self: Device, field: string): Promise<Map<string, string[]>> {
  const lines = (await lab.wg(`show ${self.name} ${field}`)).split('\n').map((line) => line.split('\t'));
  return new Map(lines.map(([key = '', ...values]) => [key, values]));
}

/**
 * Waits for two answers to pings, which must come within 10 s, and for a last one, which comes behind all others: an
 * answer still on its way would move an endpoint that is set next.
 */
export async function ping(lab: Lab, ns: number | string, host: string, options = ''): Promise<void> {
  await lab.in(ns, `ping -n -q -c 2 -i 0.02 -w 10 ${options} ${host}; ping -n -q -c 1 -W 10 ${options} ${host}`);
}

/**
 * Two devices whose sockets are in their own namespaces, joined by veth:
 *
 *   namespace 1                     namespace 2
 *   [a]   veth1 10.0.0.1/24 ------- veth2 10.0.0.2/24   [b]
 *               fd00:aa::1/96             fd00:aa::2/96
 *
 * Without endpoints, and with addresses only if asked for.
 */
export async function vethTunnel(
  lab: Lab,
  pair: Pair,
  addresses = true,
  options: Omit<TunnelOptions, 'birthplaces'> = {},
): Promise<[Device, Device]> {
  await lab.namespace(1, 2);
  await lab.veth(1, 'veth1', 2, 'veth2');
  if (addresses) {
    for (const side of [1, 2]) {
      await lab.ip(side, `address add 10.0.0.${side}/24 dev veth${side}`);
      await lab.ip(side, `address add fd00:aa::${side}/96 dev veth${side} nodad`);
    }
  }
  return tunnel(lab, pair, { ...options, birthplaces: [1, 2] });
}
