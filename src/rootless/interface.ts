/** In the helper: the interface inside, its addresses and routes. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { TunDevice } from '../linux/tun.js';
import { spawnOwn } from './inner-commands.js';
import type { NamespaceSetup } from './protocol.js';

/** Who may ping without a privilege: groups, icmp(7). */
const PING_GROUPS = '/proc/sys/net/ipv4/ping_group_range';

/** Makes the TUN, up, with its addresses and routes. @returns it. @throws SystemError, Error with ip(8)'s own words */
export async function makeInterface({ name, mtu, addresses, routes }: NamespaceSetup): Promise<TunDevice> {
  const tun = TunDevice.create(name);
  try {
    const lines = [
      'link set dev lo up',
      `link set dev ${name} mtu ${mtu} up`,
      ...addresses.map((address) => `address add ${address} dev ${name}`),
      ...routes.map((prefix) => `route replace ${prefix} dev ${name}`),
    ];
    await ip(lines);
    allowPing();
    return tun;
  } catch (error) {
    tun.close();
    throw error;
  }
}

/** Only our own group is known inside a user namespace, and 0 there. Where /proc/sys is closed, ping stays so too. */
function allowPing(): void {
  for (const range of ['0 2147483647', '0 0']) {
    try {
      writeFileSync(PING_GROUPS, range);
      return;
    } catch {
      // The next one.
    }
  }
}

/** Runs one ip(8) for all lines. */
async function ip(lines: readonly string[]): Promise<void> {
  const child = spawnOwn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  (child.stderr as Readable).setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, 4096);
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(lines.map((line) => `${line}\n`).join(''));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return;
  // Some mistakes end ip(8) before it says which line they were in.
  const line = lines[Number(/Command failed -:(\d+)/.exec(said)?.[1] ?? 0) - 1];
  throw new Error(`ip${line === undefined ? '' : ` ${line}`}: ${said.split('\n')[0] || `status ${code}`}`);
}
