/**
 * Routes from allowed IPs. A default route would take the tunnel's own packets as well, so it stands in a
 * table of its own, which everything but these packets (by their mark) looks up:
 *
 *   32764: from all lookup main suppress_prefixlength 0   what is more specific than a default route stays
 *   32765: not from all fwmark 51820 lookup 51820         the rest goes into the tunnel
 *   32766: from all lookup main                           the marked packets leave by the old default route
 */
import { readFileSync } from 'node:fs';
import type { AllowedIp } from '../../core/change.js';
import { displayAddress, parseAddress } from '../../uapi/address.js';
import { echo, run } from './commands.js';
import { setMark } from './device.js';
import { addFirewall, removeFirewall } from './firewall.js';
import { FAMILIES, type Family, familyOf, type Rule, routes, rules } from './ip.js';
import type { Undo } from './undo.js';

const FIRST_TABLE = 51820;
const VALID_MARK = 'net.ipv4.conf.all.src_valid_mark';
const VALID_MARK_FILE = '/proc/sys/net/ipv4/conf/all/src_valid_mark';

export interface RouteOptions {
  readonly name: string;
  /** Of each peer. */
  readonly allowedIps: readonly AllowedIp[];
  /** A table's number or name, `auto`, `off`, or as `auto`. */
  readonly table: string | undefined;
  /** Of the device; 0 is none. */
  readonly fwmark: number;
  readonly undo: Undo;
}

/** @throws CommandError */
export async function addRoutes(options: RouteOptions): Promise<void> {
  const { name, table = 'auto', undo } = options;
  if (table === 'off') return;
  const onDevice = new Map<Family, readonly AllowedIp[]>();
  for (const family of FAMILIES) onDevice.set(family, await prefixesOn(family, name));
  let mark = options.fwmark;
  for (const allowedIp of longestFirst(options.allowedIps)) {
    undo.check();
    const prefix = textOf(allowedIp);
    const family = familyOf(prefix);
    if (table !== 'auto') {
      await run(['ip', family, 'route', 'add', prefix, 'dev', name, 'table', table]);
    } else if (allowedIp.cidr === 0) {
      mark ||= await chooseMark(name);
      await addDefaultRoute(family, name, prefix, mark, undo);
    } else if (!onDevice.get(family)!.some((route) => covers(route, allowedIp))) {
      await run(['ip', family, 'route', 'add', prefix, 'dev', name]);
    }
  }
}

function textOf({ address, cidr }: AllowedIp): string {
  return `${displayAddress(address)}/${cidr}`;
}

/** The order in which the stock tool adds them: by length, then by their text, both downwards. */
function longestFirst(allowedIps: readonly AllowedIp[]): AllowedIp[] {
  return [...allowedIps].sort((a, b) => b.cidr - a.cidr || (textOf(a) < textOf(b) ? 1 : -1));
}

/** Destinations that already lead to the device, those of its addresses first of all. */
async function prefixesOn(family: Family, name: string): Promise<readonly AllowedIp[]> {
  const bytes = family === '-4' ? 4 : 16;
  return (await routes(family, 'dev', name)).map(({ dst }) => {
    const [host = '', cidr = `${bytes * 8}`] = dst === 'default' ? ['', '0'] : dst.split('/');
    const address = new Uint8Array(16);
    const text = new TextEncoder().encode(host);
    parseAddress(text, 0, text.length, address);
    return { address: address.subarray(0, bytes), cidr: Number(cidr) };
  });
}

/** Whether every address of `inner` is one of `outer`; both of one family. */
export function covers(outer: AllowedIp, inner: AllowedIp): boolean {
  if (outer.cidr > inner.cidr) return false;
  for (let bit = 0; bit < outer.cidr; bit += 8) {
    const mask = 0xff00 >> Math.min(8, outer.cidr - bit);
    if (((outer.address[bit >> 3]! ^ inner.address[bit >> 3]!) & mask & 0xff) !== 0) return false;
  }
  return true;
}

/** Gives the device a mark: the first number whose table is free in both families. */
async function chooseMark(name: string): Promise<number> {
  let mark = FIRST_TABLE;
  while (!(await isFree(mark))) mark++;
  echo(`wg set ${name} fwmark ${mark}`);
  await setMark(name, mark);
  return mark;
}

async function isFree(table: number): Promise<boolean> {
  for (const family of FAMILIES) {
    if ((await routes(family, 'table', `${table}`)).length > 0) return false;
  }
  return true;
}

async function addDefaultRoute(family: Family, name: string, prefix: string, mark: number, undo: Undo): Promise<void> {
  // By the rules' state: one half may be there and the other not.
  undo.add(() => removeRules(mark, [family]));
  await run(['ip', family, 'rule', 'add', 'not', 'fwmark', `${mark}`, 'table', `${mark}`]);
  undo.check();
  await run(['ip', family, 'rule', 'add', 'table', 'main', 'suppress_prefixlength', '0']);
  undo.check();
  await run(['ip', family, 'route', 'add', prefix, 'dev', name, 'table', `${mark}`]);
  undo.check();
  if (family === '-4') await validateMarks(undo);
  undo.add(() => removeFirewall(name));
  await addFirewall(family, name, mark);
}

/** The reverse path filter is to look at marks. */
async function validateMarks(undo: Undo): Promise<void> {
  if (readFileSync(VALID_MARK_FILE, 'latin1').trim() === '1') return;
  undo.add(() => run(['sysctl', '-q', `${VALID_MARK}=0`]));
  await run(['sysctl', '-q', `${VALID_MARK}=1`]);
  undo.check();
}

const isTableRule = (rule: Rule, mark: number): boolean =>
  rule.not !== undefined && Number(rule.fwmark) === mark && Number(rule.table) === mark;
const isSuppressor = (rule: Rule): boolean => Number(rule.table) === 254 && rule.suppress_prefixlen === 0;

/** Removes this tunnel's rules, and leaves those of other full tunnels. @param mark not 0 */
export async function removeRules(mark: number, families: readonly Family[] = FAMILIES): Promise<void> {
  for (const family of families) {
    const table = ['table', `${mark}`];
    const suppressor = ['table', 'main', 'suppress_prefixlength', '0'];
    for (;;) {
      const all = await rules(family);
      const at = all.findIndex((rule) => isTableRule(rule, mark));
      if (at < 0) break;
      // The two were added one after the other, the second in front of the first; further in front are those of others.
      const others = all.slice(0, at).findLastIndex(({ not }) => not !== undefined);
      const partner = all.slice(others + 1, at).findLast(isSuppressor);
      await deleteRule(family, all, all[at]!, table, (rule) => Number(rule.table) === mark);
      if (partner !== undefined) await deleteRule(family, all, partner, suppressor, isSuppressor);
    }
  }
}

/** @param words that select the rule; of several such, the kernel takes the first, and the priority says which is meant */
async function deleteRule(
  family: Family,
  all: readonly Rule[],
  rule: Rule,
  words: readonly string[],
  isSelected: (rule: Rule) => boolean,
): Promise<void> {
  const which = all.find(isSelected) === rule ? [] : ['priority', `${rule.priority}`];
  await run(['ip', family, 'rule', 'delete', ...which, ...words]);
}
