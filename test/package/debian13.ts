/** Debian 13 in a folder: its Node.js, which has OpenSSL as a shared library, to be run by chroot(8). */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from './project.js';

const SOURCES =
  'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main';

/** The words before a command that run it there, with a network of its own. */
export function insideOf(root: string): string[] {
  const script = 'mount -t proc proc "$1/proc" && exec chroot "$@"';
  return ['unshare', '--net', '--mount', 'sh', '-c', script, 'sh', root];
}

/**
 * Downloads and unpacks, in about ten seconds.
 * @param folder empty
 * @returns the new root
 */
export function unpackDebian13(folder: string): string {
  for (const name of ['lists/partial', 'cache/archives/partial', 'state', 'root']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  writeFileSync(join(folder, 'sources.list'), `${SOURCES}\n`);
  const settings: Readonly<Record<string, string>> = {
    'Dir::State': join(folder, 'state'),
    'Dir::State::Lists': join(folder, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Etc::SourceList': join(folder, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'APT::Sandbox::User': 'root',
    'APT::Install-Recommends': 'false',
    'Acquire::Languages': 'none',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  mustRun(folder, 'apt-get', ...options, 'update');
  mustRun(folder, 'apt-get', ...options, 'install', '--yes', '--download-only', 'nodejs', 'iproute2');
  const root = join(folder, 'root');
  for (const name of readdirSync(join(folder, 'cache/archives'))) {
    if (name.endsWith('.deb')) mustRun(folder, 'dpkg-deb', '--extract', join(folder, 'cache/archives', name), root);
  }
  // What base-files would make.
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  for (const name of ['tmp', 'run', 'var', 'proc', 'dev/net']) mkdirSync(join(root, name), { recursive: true });
  symlinkSync('../run', join(root, 'var/run'));
  mustRun(folder, 'mknod', join(root, 'dev/net/tun'), 'c', '10', '200');
  mustRun(folder, 'mknod', join(root, 'dev/urandom'), 'c', '1', '9');
  return root;
}
