/**
 * The file system as commands in the namespace see it: who answers names is the tunnel's DNS server alone.
 *
 * A network namespace does not stop a Unix socket that has a path, so programs that ask systemd-resolved,
 * nscd or the D-Bus would have names resolved outside. Their sockets are hidden, and /etc says to ask
 * nobody but DNS. All of it is in a mount namespace of its own: nothing is written that outlives it.
 */
import { existsSync, mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { bindMount, mountNew, unmount } from '../linux/mounts.js';
import type { NamespaceSetup } from './protocol.js';

/** Covered for a moment, to write files that have no other place. */
const STAGE = '/tmp';
const RESOLV_CONF = '/etc/resolv.conf';
const CGROUPS = '/sys/fs/cgroup';

/** @throws SystemError, or Error with a text for people */
export function makePrivateFiles({ dns, hidden }: NamespaceSetup): void {
  // Where the link leads is to be known before that is hidden.
  const resolvConf = realPath(RESOLV_CONF);
  for (const path of hidden) hide(path);
  mountNew('tmpfs', STAGE, 'size=1m,mode=755');
  // Where there is none, the C library asks 127.0.0.1, which refuses: as good as an empty one.
  if (dns.servers.length > 0 || existsSync(resolvConf)) place(resolvConf, stage('resolv.conf', resolvConfText(dns)));
  if (existsSync('/etc/hosts')) place('/etc/hosts', stage('hosts', hostsText()));
  const nsswitch = '/etc/nsswitch.conf';
  if (existsSync(nsswitch)) place(nsswitch, stage('nsswitch.conf', nsswitchText(readFileSync(nsswitch, 'utf8'))));
  showOwnNamespaces();
  unmount(STAGE);
}

/** A link that leads nowhere is answered with where it would lead to. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function stage(name: string, text: string): string {
  const path = join(STAGE, name);
  writeFileSync(path, text, { mode: 0o444 });
  return path;
}

function hide(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) mountNew('tmpfs', path, 'size=64k,mode=755');
  else if (existsSync(path)) bindMount('/dev/null', path);
}

function place(path: string, source: string): void {
  if (!existsSync(path)) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, '');
    } catch {
      throw new Error(`there is no ${path}, which the tunnel's DNS servers would be written over: make an empty one`);
    }
  }
  bindMount(source, path);
}

/** @returns the text of a resolv.conf(5). Without a server, names are asked of nobody: 127.0.0.1 refuses. */
export function resolvConfText({ servers, search }: NamespaceSetup['dns']): string {
  const lines = servers.map((server) => `nameserver ${server}\n`);
  if (search.length > 0) lines.push(`search ${search.join(' ')}\n`);
  return `# This tunnel's own, made by typetun.\n${lines.join('') || 'nameserver 127.0.0.1\n'}`;
}

/** @returns the text of a nsswitch.conf(5) in which hosts and networks are looked for in files and DNS alone */
export function nsswitchText(original: string): string {
  const kept = original.split('\n').filter((line) => !/^\s*(hosts|networks)\s*:/i.test(line));
  return `${kept.join('\n').trimEnd()}\nhosts: files dns\nnetworks: files\n`;
}

function hostsText(): string {
  const own = hostname();
  return `127.0.0.1 localhost ${own}\n::1 localhost ip6-localhost ip6-loopback\n`;
}

/**
 * /proc and /sys of these namespaces. Where a container hides parts of its own, new ones are refused, and
 * the old ones do: they show too much, but let nothing through.
 */
function showOwnNamespaces(): void {
  tolerate(() => mountNew('proc', '/proc'));
  const groups = join(STAGE, 'cgroup');
  mkdirSync(groups);
  const kept = tolerate(() => bindMount(CGROUPS, groups));
  if (tolerate(() => mountNew('sysfs', '/sys')) && kept) tolerate(() => bindMount(groups, CGROUPS));
}

function tolerate(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
