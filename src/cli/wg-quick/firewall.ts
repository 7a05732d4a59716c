/**
 * What keeps a full tunnel's addresses the tunnel's: packets for them that come in elsewhere are dropped. And
 * the tunnel's own packets leave a mark with their connection, which the answers take up again: the reverse
 * path filter then looks up the route that they came by. With nftables, else iptables.
 */
import { isInstalled, readOr, run } from './commands.js';
import { addresses, FAMILIES, type Family } from './ip.js';

const NFT_FAMILY: Readonly<Record<Family, 'ip' | 'ip6'>> = { '-4': 'ip', '-6': 'ip6' };
const IPTABLES: Readonly<Record<Family, 'iptables' | 'ip6tables'>> = { '-4': 'iptables', '-6': 'ip6tables' };

/** Of an interface. nft(8) takes no `=` and `+` in a name, and no interface has `/` in its. */
function tableName(name: string): string {
  return `wg-quick-${name.replaceAll('=', '/3d').replaceAll('+', '/2b')}`;
}

/** Of an interface's rules in iptables. */
function comment(name: string): string {
  return `--comment "wg-quick(8) rule for ${name}"`;
}

/** Adds the rules for one family. @param mark of the tunnel's own packets */
export async function addFirewall(family: Family, name: string, mark: number): Promise<void> {
  const kind = family === '-4' ? 'inet' : 'inet6';
  const own = (await addresses(name)).filter((address) => address.family === kind).map(({ local }) => local);
  if (isInstalled('nft')) await run(['nft', '-f', '-'], nftRules(family, name, mark, own));
  else await run([`${IPTABLES[family]}-restore`, '-n'], iptablesRules(name, mark, own));
}

function nftRules(family: Family, name: string, mark: number, own: readonly string[]): string {
  const kind = NFT_FAMILY[family];
  const table = `table ${kind} ${tableName(name)}`;
  const drops = own.map((local) => `iifname != "${name}" ${kind} daddr ${local} fib saddr type != local drop`);
  // Rules that a daemon which was killed has left are replaced.
  return `add ${table}
delete ${table}
${table} {
  chain preraw {
    type filter hook prerouting priority -300; policy accept;
    ${drops.join('\n    ')}
  }
  chain premangle {
    type filter hook prerouting priority -150; policy accept;
    meta l4proto udp meta mark set ct mark
  }
  chain postmangle {
    type filter hook postrouting priority -150; policy accept;
    meta l4proto udp meta mark ${mark} ct mark set meta mark
  }
}
`;
}

function iptablesRules(name: string, mark: number, own: readonly string[]): string {
  const tag = `-m comment ${comment(name)}`;
  const drops = own.map(
    (local) => `-I PREROUTING ! -i ${name} -d ${local} -m addrtype ! --src-type LOCAL -j DROP ${tag}`,
  );
  const lines = [
    '*raw',
    ...drops,
    'COMMIT',
    '*mangle',
    `-I POSTROUTING -m mark --mark ${mark} -p udp -j CONNMARK --save-mark ${tag}`,
    `-I PREROUTING -p udp -j CONNMARK --restore-mark ${tag}`,
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
}

/** Removes every rule of this interface's. */
export async function removeFirewall(name: string): Promise<void> {
  if (isInstalled('nft')) {
    const tables = (await readOr(['nft', 'list', 'tables'], '')).split('\n');
    const own = tables.filter((line) => /^table (ip|ip6) (.*)$/.exec(line)?.[2] === tableName(name));
    if (own.length > 0) await run(['nft', '-f', '-'], own.map((table) => `delete ${table}\n`).join(''));
  }
  for (const family of FAMILIES) {
    if (!isInstalled(`${IPTABLES[family]}-save`)) continue;
    const removal = iptablesRemoval(await readOr([`${IPTABLES[family]}-save`], ''), name);
    if (removal !== '') await run([`${IPTABLES[family]}-restore`, '-n'], removal);
  }
}

/** @param saved what iptables-save(8) says @returns what takes an interface's rules out again, for iptables-restore(8) */
function iptablesRemoval(saved: string, name: string): string {
  const lines: string[] = [];
  let table = '';
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) table = line;
    if (!line.startsWith('-A ') || !line.includes(comment(name))) continue;
    if (table !== '') lines.push(...(lines.length > 0 ? ['COMMIT'] : []), table);
    table = '';
    lines.push(line.replace('-A', '-D'));
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\nCOMMIT\n`;
}

/** @returns the mark that the rules of an interface which is gone were made for, or undefined where there are none */
export async function leftoverMark(name: string): Promise<number | undefined> {
  for (const family of FAMILIES) {
    const nft = await readOr(['nft', 'list', 'table', NFT_FAMILY[family], tableName(name)], '');
    const saved = (await readOr([`${IPTABLES[family]}-save`], ''))
      .split('\n')
      .filter((line) => line.includes(comment(name)));
    const mark =
      /meta mark (0x[0-9a-f]+) ct mark set/.exec(nft)?.[1] ?? /--mark (0x[0-9a-f]+)/.exec(saved.join('\n'))?.[1];
    if (mark !== undefined) return Number(mark);
  }
  return undefined;
}
