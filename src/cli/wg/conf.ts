/** `wg showconf`, `setconf`, `addconf` and `syncconf`. */
import { changeToAdd, changeToSet } from '../../config/change.js';
import { ConfigError } from '../../config/errors.js';
import { MAX_CONFIG_BYTES } from '../../config/lines.js';
import { parseConfig } from '../../config/parse.js';
import type { WireGuardConfig } from '../../config/types.js';
import type { DeviceChange } from '../../core/change.js';
import { getDevice, setDevice, type UapiDevice } from '../../uapi/client.js';
import { usageOf } from './commands.js';
import { deviceFailure, fileFailure, printConfigError, warn } from './errors.js';
import { type Io, readFile } from './io.js';
import { withResolver } from './resolve.js';

const MODIFY = 'Unable to modify interface';

export async function showconf(args: readonly string[], io: Io): Promise<number> {
  const [name] = args;
  if (name === undefined || args.length > 1) {
    io.err(usageOf('showconf'));
    return 1;
  }
  let device: UapiDevice;
  try {
    device = await getDevice(name);
  } catch (error) {
    return deviceFailure(io, 'Unable to access interface', name, error);
  }
  const { printConfig } = await import('../../config/print.js');
  const text = printConfig(device);
  try {
    io.out(text);
    if (device.peers.length === 0) io.out('\n');
  } finally {
    text.fill(0);
    device.wipe();
  }
  return 0;
}

export const setconf = (args: readonly string[], io: Io): Promise<number> =>
  withConfig('setconf', args, io, (name, config) => change(io, name, changeToSet(config)));

export const addconf = (args: readonly string[], io: Io): Promise<number> =>
  withConfig('addconf', args, io, (name, config) => change(io, name, changeToAdd(config)));

export const syncconf = (args: readonly string[], io: Io): Promise<number> =>
  withConfig('syncconf', args, io, async (name, config) => {
    let device: UapiDevice;
    try {
      device = await getDevice(name);
    } catch (error) {
      // A file without peers has nothing to be compared, and the stock tool does not ask then.
      const asked = config.peers.length > 0;
      return deviceFailure(io, asked ? 'Unable to retrieve current interface configuration' : MODIFY, name, error);
    }
    try {
      const { diffConfig } = await import('../../config/diff.js');
      const difference = diffConfig(config, device);
      return Object.keys(difference).length === 0 ? 0 : await change(io, name, difference);
    } finally {
      device.wipe();
    }
  });

async function change(io: Io, name: string, wanted: DeviceChange): Promise<number> {
  try {
    await setDevice(name, wanted);
    return 0;
  } catch (error) {
    return deviceFailure(io, MODIFY, name, error);
  }
}

/** Reads the file, all of it, before anything is said to the device. */
async function withConfig(
  command: string,
  args: readonly string[],
  io: Io,
  work: (name: string, config: WireGuardConfig) => Promise<number>,
): Promise<number> {
  const [name, path] = args;
  if (name === undefined || path === undefined || args.length > 2) {
    io.err(usageOf(command));
    return 1;
  }
  let file: Uint8Array;
  try {
    // One byte more than a parser takes, so that it sees that there is more.
    file = readFile(path, MAX_CONFIG_BYTES + 1);
  } catch (error) {
    return fileFailure(io, error);
  }
  let config: WireGuardConfig;
  try {
    config = await withResolver(io, (resolver, quiet) =>
      parseConfig(file, {
        warn: ({ problem, text }) => warn(quiet, problem, text),
        resolveService: resolver.service,
        resolveEndpoint: resolver.endpoint,
      }),
    );
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    printConfigError(io, error);
    io.err(error.code === 'ERR_CONFIG_NO_PUBLIC_KEY' ? 'Invalid configuration\n' : 'Configuration parsing error\n');
    return 1;
  } finally {
    file.fill(0);
  }
  try {
    return await work(name, config);
  } finally {
    config.wipe();
  }
}
