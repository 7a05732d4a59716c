/** ip(8): what it says, in its JSON form and with numbers for names. */
import { read, readOr } from './commands.js';

/** An option of ip(8), and the family it stands for. */
export type Family = '-4' | '-6';
export const FAMILIES: readonly Family[] = ['-4', '-6'];

/** Of an address or a prefix, as text. */
export function familyOf(address: string): Family {
  return address.includes(':') ? '-6' : '-4';
}

export interface Link {
  readonly mtu: number;
}

export interface Route {
  /** `default`, an address or a prefix. */
  readonly dst: string;
  readonly dev?: string;
  readonly metrics?: readonly { readonly mtu?: number }[];
}

export interface Rule {
  readonly priority: number;
  /** A number in decimal. */
  readonly table?: string;
  /** Hexadecimal. */
  readonly fwmark?: string;
  readonly not?: null;
  readonly suppress_prefixlen?: number;
}

export interface Address {
  readonly family: 'inet' | 'inet6';
  readonly local: string;
  readonly prefixlen: number;
  /** Made by the kernel, as link-local addresses of tunnels are. */
  readonly 'stable-privacy'?: boolean;
}

function parse<T>(text: string): T[] {
  return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
}

const ask = (words: readonly string[]): readonly string[] => ['ip', '-j', '-N', ...words];

/** @returns the link of this name, or undefined */
export async function link(name: string): Promise<Link | undefined> {
  return parse<Link>(await readOr(ask(['link', 'show', 'dev', name]), ''))[0];
}

export async function addresses(name: string): Promise<readonly Address[]> {
  const links = parse<{ addr_info?: Address[] }>(await read(ask(['address', 'show', 'dev', name])));
  return links.flatMap(({ addr_info = [] }) => addr_info);
}

/** The rules of a family, in the order in which they are tried. @throws CommandError where the kernel lacks the family */
export async function rules(family: Family): Promise<readonly Rule[]> {
  return parse<Rule>(await readOr(ask([family, 'rule', 'show']), ''));
}

/** Routes, none where the table or the family does not exist. @param words that select some, as ip(8) has them */
export async function routes(family: Family, ...words: readonly string[]): Promise<readonly Route[]> {
  return parse<Route>(await readOr(ask([family, 'route', 'show', ...words]), ''));
}

/** The way to an address, or undefined where there is none. @param words more, as `dev eth0` */
export async function routeTo(address: string, ...words: readonly string[]): Promise<Route | undefined> {
  return parse<Route>(await readOr(ask([familyOf(address), 'route', 'get', address, ...words]), ''))[0];
}
