/** `wg-quick up`: the interface, its addresses, DNS and routes; all of it or nothing. */
import { parseQuickConfig, type WgQuickConfig } from '../../config/index.js';
import { isKernelDevice, warn } from '../wg/errors.js';
import { processIo } from '../wg/io.js';
import { withResolver } from '../wg/resolve.js';
import { run } from './commands.js';
import { addConfig, deleteDevice, requireDevice, startDevice } from './device.js';
import { hasDns, setDns, unsetDns } from './dns.js';
import { QuickError } from './errors.js';
import type { ConfigFile } from './file.js';
import { checkTrust, runHooks } from './hooks.js';
import { familyOf, link } from './ip.js';
import { inferMtu } from './mtu.js';
import { addRoutes } from './routes.js';
import { Undo } from './undo.js';

/** @throws whatever went wrong first, after everything was taken back */
export async function up(file: ConfigFile): Promise<void> {
  const config = await withResolver(processIo(), ({ service }, io) =>
    parseQuickConfig(file.bytes, { resolveService: service, warn: ({ problem, text }) => warn(io, problem, text) }),
  );
  try {
    checkTrust(file, config.quick);
    await refuseTaken(file.name);
    await bringUp(file.name, config);
  } finally {
    config.wipe();
  }
}

async function refuseTaken(name: string): Promise<void> {
  if ((await link(name)) === undefined) return;
  const kernel = isKernelDevice(name) ? ' as an interface of the kernel: use the stock wg-quick for it' : '';
  throw new QuickError(`\`${name}' already exists${kernel}`);
}

async function bringUp(name: string, config: WgQuickConfig): Promise<void> {
  const undo = new Undo();
  try {
    await startDevice(name);
    undo.add(() => deleteDevice(name));
    await configure(name, config, undo);
  } catch (error) {
    await undo.run();
    throw error;
  } finally {
    undo.end();
  }
}

async function configure(name: string, config: WgQuickConfig, undo: Undo): Promise<void> {
  const { quick } = config;
  undo.check();
  await runHooks(quick.preUp, name);
  undo.check();
  await addConfig(name, config, undo);
  for (const { text } of quick.addresses) {
    undo.check();
    await run(['ip', familyOf(text), 'address', 'add', text, 'dev', name]);
  }
  undo.check();
  const device = await requireDevice(name);
  try {
    const mtu = quick.mtu ?? (await inferMtu(device.peers.flatMap(({ endpoint }) => endpoint ?? [])));
    await run(['ip', 'link', 'set', 'mtu', `${mtu}`, 'up', 'dev', name]);
    undo.check();
    if (hasDns(quick)) {
      undo.add(() => unsetDns(name));
      await setDns(name, quick);
      undo.check();
    }
    const allowedIps = device.peers.flatMap((peer) => peer.allowedIps);
    await addRoutes({ name, allowedIps, table: quick.table, fwmark: device.fwmark, undo });
  } finally {
    device.wipe();
  }
  undo.check();
  await runHooks(quick.postUp, name);
  undo.check();
}
