/** `wg-quick down`: everything that `up` did, taken back; by what is there, not by what the file says by now. */
import { parseQuickLines, type QuickConfig } from '../../config/index.js';
import { deleteDevice, findDevice, requireDevice } from './device.js';
import { hasDns, unsetDns } from './dns.js';
import type { ConfigFile } from './file.js';
import { leftoverMark, removeFirewall } from './firewall.js';
import { checkTrust, runHooks } from './hooks.js';
import { link } from './ip.js';
import { removeRules } from './routes.js';
import { saveConfig } from './save.js';

export async function down(file: ConfigFile): Promise<void> {
  const { name, path } = file;
  const quick = parseQuickLines(file.bytes);
  checkTrust(file, quick);
  const before = await requireDevice(name).catch(async (error: unknown) => {
    await removeLeftovers(name, quick);
    throw error;
  });
  before.wipe();
  await runHooks(quick.preDown, name);
  // The hooks may have changed it, or have deleted it.
  const device = await findDevice(name);
  try {
    if (device !== undefined && quick.saveConfig) await saveConfig(name, path, quick, device);
    await takeDown(name, quick, device?.fwmark ?? before.fwmark);
  } finally {
    device?.wipe();
  }
  await runHooks(quick.postDown, name);
}

export async function save(file: ConfigFile): Promise<void> {
  const device = await requireDevice(file.name);
  try {
    await saveConfig(file.name, file.path, parseQuickLines(file.bytes), device);
  } finally {
    device.wipe();
  }
}

/** Rules first: as long as they stand, the table without the interface's route would still be looked up. */
async function takeDown(name: string, quick: QuickConfig, mark: number): Promise<void> {
  const { table = 'auto' } = quick;
  if (table === 'auto' && mark !== 0) await removeRules(mark);
  await deleteDevice(name);
  if (hasDns(quick)) await unsetDns(name);
  await removeFirewall(name);
}

/** Of a device that went away by itself: its name is in the firewall's rules, and its mark too. */
async function removeLeftovers(name: string, quick: QuickConfig): Promise<void> {
  const mark = await leftoverMark(name);
  if (mark !== undefined && (await link(name)) === undefined) await takeDown(name, quick, mark);
}
