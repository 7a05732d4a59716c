/** Name servers and search domains, handed to resolvconf(8). */
import { readFileSync } from 'node:fs';
import type { QuickConfig } from '../../config/index.js';
import { readOr, run } from './commands.js';

const INTERFACE_ORDER = '/etc/resolvconf/interface-order';

/**
 * The name resolvconf knows the interface by. Debian's orders records by the kind that their name begins with,
 * so the first kind of its list is put in front.
 */
function recordName(name: string): string {
  let order: string;
  try {
    order = readFileSync(INTERFACE_ORDER, 'utf8');
  } catch {
    return name;
  }
  const kind = /^[ \t]*([A-Za-z0-9-]+)\*[ \t]*$/m.exec(order)?.[1];
  return kind === undefined ? name : `${kind}.${name}`;
}

/** Whether there is anything for resolvconf: search domains alone are none. */
export function hasDns({ dns }: QuickConfig): boolean {
  return dns.servers.length > 0;
}

export async function setDns(name: string, { dns }: QuickConfig): Promise<void> {
  const lines = dns.servers.map(({ text }) => `nameserver ${text}`);
  if (dns.searchDomains.length > 0) lines.push(`search ${dns.searchDomains.map(({ text }) => text).join(' ')}`);
  await run(['resolvconf', '-a', recordName(name), '-m', '0', '-x'], `${lines.join('\n')}\n`);
}

export async function unsetDns(name: string): Promise<void> {
  await run(['resolvconf', '-d', recordName(name), '-f']);
}

/** @returns servers and search domains as resolvconf has them now; none where it cannot tell */
export async function currentDns(name: string): Promise<readonly string[]> {
  const record = await readOr(['resolvconf', '-l', recordName(name)], '');
  const values = (key: string): string[] =>
    [...record.matchAll(new RegExp(`^${key}[ \\t]+(.*)$`, 'gm'))].flatMap(([, text = '']) => text.trim().split(/\s+/));
  return [...values('nameserver'), ...values('search')].filter((text) => /^[\w=+:%.-]+$/.test(text));
}
