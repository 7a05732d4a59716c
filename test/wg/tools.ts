/** The stock `wg` and ours, run with the same words, and what they said. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Io } from '../../src/cli/wg/io.js';
import { runWg } from '../../src/cli/wg/main.js';
import { getDevice, setDevice } from '../../src/uapi/client.js';
import { commandOf } from '../netns/environment.js';

/** Bytes as latin1, so that nothing is lost and differences can be read. */
export interface Said {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Call {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Seconds since 1970 that ours takes for now. */
  readonly now?: number;
}

/** What every case has: nobody waits for a resolver here, and nothing depends on this terminal. */
const ENV: Readonly<Record<string, string>> = { WG_ENDPOINT_RESOLUTION_RETRIES: '0', WG_COLOR_MODE: 'never' };
const PATH = process.env['PATH'] ?? '';

export async function spawned(command: string, { args, env = {}, input = '' }: Call): Promise<Said> {
  const child = spawn(command, args, { env: { PATH, ...ENV, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('latin1').on('data', (text: string) => {
      said[name] += text;
    });
  }
  // A program that does not read its input is no error.
  child.stdin.on('error', () => {});
  child.stdin.end(input, 'latin1');
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code: code ?? signal, ...said };
}

export const stock = (call: Call): Promise<Said> => spawned('wg', call);

/** Ours, in this process. */
export async function ours({ args, env = {}, input = '', now }: Call): Promise<Said> {
  let [stdout, stderr] = ['', ''];
  const latin1 = (text: string | Uint8Array): string => Buffer.from(text).toString('latin1');
  const io: Io = {
    env: { ...ENV, ...env },
    isTerminal: false,
    out: (text) => {
      stdout += latin1(text);
    },
    err: (text) => {
      stderr += latin1(text);
    },
    readInput: (max) => Buffer.from(input, 'latin1').subarray(0, max),
    outputIsOpenToOthers: () => false,
    sleep: () => {
      throw new Error('nothing waits here');
    },
    now: () => now ?? Math.floor(Date.now() / 1000),
  };
  const code = await runWg(args, io);
  return { code, stdout, stderr };
}

/** What a shell would run for `typetun wg`. */
export function oursSpawned(call: Call): Promise<Said> {
  const [command, ...words] = commandOf('typetun')!;
  return spawned(command!, { ...call, args: [...words, 'wg', ...call.args] });
}

/** Everything that can be set, in a form that can be compared and read. */
export async function stateOf(name: string): Promise<string> {
  const device = await getDevice(name);
  const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
  const lines = device.peers.map((peer) => {
    const endpoint = peer.endpoint && `${hex(peer.endpoint.address)}%${peer.endpoint.scope} ${peer.endpoint.port}`;
    const ips = peer.allowedIps.map((ip) => `${hex(ip.address)}/${ip.cidr}`).sort();
    return `${hex(peer.publicKey)} ${hex(peer.presharedKey)} ${endpoint} ${peer.persistentKeepaliveInterval} ${ips}`;
  });
  return [`${hex(device.privateKey)} ${device.listenPort} ${device.fwmark}`, ...lines].join('\n');
}

export async function reset(name: string): Promise<void> {
  await setDevice(name, { privateKey: new Uint8Array(32), listenPort: 0, fwmark: 0, replacePeers: true });
}
