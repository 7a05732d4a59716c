/** Writing the device's state into its file. */
import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { printConfig, type QuickConfig } from '../../config/index.js';
import type { UapiDevice } from '../../uapi/client.js';
import { echo } from './commands.js';
import { currentDns } from './dns.js';
import { addresses, link } from './ip.js';

/**
 * @param device as it is now
 * @param quick what the file says, for what no device knows
 */
export async function saveConfig(name: string, path: string, quick: QuickConfig, device: UapiDevice): Promise<void> {
  const lines = await quickLines(name, quick);
  echo(`wg showconf ${name}`);
  const bytes = printConfig(device, lines);
  try {
    replaceFile(path, bytes);
  } finally {
    bytes.fill(0);
  }
}

async function quickLines(name: string, quick: QuickConfig): Promise<string> {
  const lines: string[] = [];
  for (const { local, prefixlen, ...address } of await addresses(name)) {
    // One that the kernel made up would be made anew besides the one saved, and the file grow.
    if (address['stable-privacy'] !== true) lines.push(`Address = ${local}/${prefixlen}`);
  }
  const dns = await currentDns(name);
  const { servers, searchDomains } = quick.dns;
  for (const text of dns.length > 0 ? dns : [...servers, ...searchDomains].map((value) => value.text)) {
    lines.push(`DNS = ${text}`);
  }
  if (quick.mtu !== undefined) lines.push(`MTU = ${(await link(name))?.mtu ?? quick.mtu}`);
  if (quick.table !== undefined) lines.push(`Table = ${quick.table}`);
  if (quick.saveConfig) lines.push('SaveConfig = true');
  for (const [key, hooks] of [
    ['PreUp', quick.preUp],
    ['PostUp', quick.postUp],
    ['PreDown', quick.preDown],
    ['PostDown', quick.postDown],
  ] as const) {
    lines.push(...hooks.map(({ text }) => `${key} = ${text}`));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** The file is the old or the new one, whole, whenever this is interrupted; readable by its owner alone. */
function replaceFile(path: string, bytes: Uint8Array): void {
  const next = `${path}.tmp`;
  // An interrupted earlier one, or somebody's trap: not written through.
  rmSync(next, { force: true });
  const file = openSync(next, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
