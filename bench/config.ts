/** Reading, writing and comparing configurations of 2,000 and of 100,000 peers. */
import { changeToSet, diffConfig, parseConfig, printConfig } from '../src/config/index.js';
import { timeNs } from './clock.js';
import { type Effort, type Group, Table } from './results.js';

const SIZES = [2_000, 100_000] as const;

/** As a server has it: a key, two prefixes, an endpoint for every other peer. */
function configuration(peers: number): Uint8Array {
  let text = `[Interface]\nPrivateKey = ${Buffer.alloc(32, 0x48).toString('base64')}\nListenPort = 51820\n`;
  const key = Buffer.alloc(32, 7);
  for (let i = 0; i < peers; i++) {
    key.writeUInt32BE(i);
    const host = `${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
    text += `\n[Peer]\nPublicKey = ${key.toString('base64')}\nAllowedIPs = 10.${host}/32, fd00::${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}/128\n`;
    if (i % 2 === 0) text += `Endpoint = 192.0.2.1:${1 + (i % 65_535)}\nPersistentKeepalive = 25\n`;
  }
  return Buffer.from(text);
}

const parse = (file: Uint8Array): ReturnType<typeof parseConfig> =>
  parseConfig(file, { resolveEndpoint: ({ port }) => ({ address: Uint8Array.of(192, 0, 2, 1), port: Number(port) }) });

const SUBJECTS = { parse: 'read', print: 'write', diff: 'compare' } as const;

/** @returns microseconds a peer, by the number of peers: the same in both is time that grows with the file */
export function measureConfig({ rounds }: Effort): Group[] {
  const table = new Table(rounds);
  for (let round = 0; round < rounds; round++) {
    for (const peers of SIZES) {
      const times = timesOf(peers);
      for (const [id, title] of Object.entries(SUBJECTS)) {
        table.figure('config', id, `${title} a configuration, a peer`, 'µs', 'less');
        table.put(id, `${peers}`, round, (1000 * times[id as keyof typeof SUBJECTS]) / peers);
      }
    }
  }
  const columns = SIZES.map((size) => ({ id: `${size}`, title: `${size.toLocaleString('en-US')} peers` }));
  return [{ id: 'config', title: 'Configuration files', columns, baseline: `${SIZES[0]}`, figures: table.figures() }];
}

/** In milliseconds. */
function timesOf(peers: number): Readonly<Record<keyof typeof SUBJECTS, number>> {
  const file = configuration(peers);
  const config = parse(file);
  const changes = changeToSet(config).peers ?? [];
  const none = { presharedKey: new Uint8Array(32), persistentKeepaliveInterval: 0, allowedIps: [] };
  const current = {
    privateKey: config.privateKey!,
    listenPort: config.listenPort!,
    fwmark: 0,
    peers: changes.map((peer) => ({ ...none, ...peer })),
  };
  if (Object.keys(diffConfig(config, current)).length > 0) throw new Error('a difference where there is none');
  const time = (work: () => void): number => timeNs(work) / 1e6;
  return {
    parse: time(() => void parse(file)),
    print: time(() => void printConfig({ ...config, peers: changes })),
    diff: time(() => void diffConfig(config, current)),
  };
}
