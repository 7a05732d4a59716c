/**
 * The stock wg-quick and ours with the same configurations, each in a world of its own: what they leave of
 * addresses, routes, rules, firewall, sysctl, MTU, DNS, hooks and files is the same, and so is what they say.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FULL, withNamespaces } from '../netns/environment.js';
import { CASES, type Case } from './cases.js';
import { cannotCompare, inWorld, type Seen } from './world.js';

/** Without what the kernel makes up in its own time: a link-local address with its routes and rules, and a port. */
function mask(text: string): string {
  const lines = text.split('\n').filter((line) => !/\b(?:fe80|ff00)::/.test(line));
  return lines.join('\n').replaceAll(/^ListenPort = [3-6]\d{4}$/gm, 'ListenPort = (any)');
}

/** What is told on standard error, without the attempt at a kernel device and in one spelling. In which order the two tell it is no matter. */
function told(text: string): string[] {
  const lines = text.split('\n');
  return lines
    .filter(
      (line, i) =>
        !/^\[#\] ip link add .* type wireguard$/.test(lines[i - 1] ?? '') &&
        !/^\[#\] ip link add .* type wireguard$/.test(line),
    )
    .filter((line) => !line.startsWith('[!] Missing WireGuard kernel module.'))
    .map((line) => line.replace(/^\[#\] \S*\/typetun /, '[#] typetun '))
    .map((line) => line.replace(/^\[#\] wg (?:setconf|addconf) (\S+) \/dev\/.*$/, '[#] wg addconf $1'))
    .map((line) => line.replace(/^\[#\] nft -f .*$/, '[#] nft -f'))
    .sort();
}

function compare(one: Case, stock: Seen, ours: Seen): void {
  assert.deepEqual([...ours.sections.keys()], [...stock.sections.keys()], 'the same steps');
  for (const [name, expected] of stock.sections) {
    if (one.exempt?.some(({ sections }) => sections.test(name))) continue;
    const actual = ours.sections.get(name)!;
    if (name.endsWith(': stderr')) assert.deepEqual(told(actual), told(expected), name);
    else assert.equal(mask(actual), mask(expected), name);
  }
}

/** What up may change, and down has to take back. The sysctl stays: others may need it by then. */
const STATE = ['rules', 'routes', 'addresses', 'links', 'nft', 'devices'] as const;

function assertNothingLeft(seen: Seen): void {
  const last = [...seen.sections.keys()].findLast((name) => name.endsWith(' down: rules'))!;
  for (const kind of STATE) {
    const [before, after] = [`0 before: ${kind}`, last.replace(/rules$/, kind)].map((name) => seen.sections.get(name));
    assert.equal(mask(after ?? 'none'), mask(before ?? ''), `${kind} as before`);
  }
}

withNamespaces(import.meta.filename, () => {
  describe('wg-quick as the stock one', { skip: cannotCompare(), concurrency: 2 }, () => {
    for (const one of CASES.filter(({ sample }) => FULL || sample)) {
      it(one.name, { timeout: 120_000 }, async () => {
        const [stock, ours] = await Promise.all([inWorld('stock', one.script), inWorld('typetun', one.script)]);
        compare(one, stock, ours);
        if (one.leavesNothing) assertNothingLeft(ours);
      });
    }
  });
});
