/** The device itself: its daemon, and its configuration over the UAPI socket. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, changeToAdd, type WireGuardConfig } from '../../config/index.js';
import { getDevice, setDevice, UapiClientError, type UapiDevice } from '../../uapi/client.js';
import { socketPath } from '../../uapi/paths.js';
import { startInBackground } from '../background.js';
import { isKernelDevice } from '../wg/errors.js';
import { processIo } from '../wg/io.js';
import { resolveEndpoint } from '../wg/resolve.js';
import { echo, run } from './commands.js';
import { CommandError, QuickError } from './errors.js';
import { link } from './ip.js';
import type { Undo } from './undo.js';

/** How long a daemon whose interface was deleted is waited for. */
const END_TIME_MS = 5_000;
const POLL_MS = 10;

/** Makes the interface. @throws CommandError */
export async function startDevice(name: string): Promise<void> {
  const program = process.env['WG_QUICK_USERSPACE_IMPLEMENTATION'] ?? '';
  if (program !== '') {
    await run([program, name]);
    return;
  }
  echo(`typetun ${name}`);
  const code = await startInBackground(name);
  if (code !== 0) throw new CommandError(`typetun ${name}`, code);
}

/** As `wg addconf`: what PreUp has set and the file does not name stays. @throws UapiClientError */
export async function addConfig(name: string, config: WireGuardConfig, undo: Undo): Promise<void> {
  echo(`wg addconf ${name} /dev/stdin`);
  for (const { endpoint, line } of config.peers) {
    if (endpoint === undefined) continue;
    const found = await resolveEndpoint(processIo(), endpoint, (timeMs) => undo.wait(timeMs));
    if (typeof found === 'string') {
      throw new ConfigError('ERR_CONFIG_ENDPOINT', found, new TextEncoder().encode(endpoint.text), line);
    }
    endpoint.resolved = found;
  }
  await setDevice(name, changeToAdd(config));
}

export async function setMark(name: string, fwmark: number): Promise<void> {
  await setDevice(name, { fwmark });
}

/** @returns what the device says of itself, or undefined where none of this name listens */
export async function findDevice(name: string): Promise<UapiDevice | undefined> {
  try {
    return await getDevice(name);
  } catch (error) {
    if (!(error instanceof UapiClientError)) throw error;
    // A daemon whose interface was just deleted is still there for a moment, and answers as it may.
    if (error.code === 'ERR_UAPI_NO_DEVICE' || (await link(name)) === undefined) return undefined;
    throw error;
  }
}

/** @throws QuickError when no userspace device of this name is there */
export async function requireDevice(name: string): Promise<UapiDevice> {
  const device = await findDevice(name);
  if (device !== undefined) return device;
  if (isKernelDevice(name)) {
    throw new QuickError(`\`${name}' is a WireGuard interface of the kernel: use the stock wg-quick for it`);
  }
  throw new QuickError(`\`${name}' is not a WireGuard interface`);
}

/** Deletes the interface if it is there, and waits until its daemon has taken its socket away: the name is free then. */
export async function deleteDevice(name: string): Promise<void> {
  if ((await link(name)) === undefined) return;
  await run(['ip', 'link', 'delete', 'dev', name]);
  const path = socketPath(name);
  for (const start = performance.now(); existsSync(path) && performance.now() - start < END_TIME_MS; )
    await sleep(POLL_MS);
}
