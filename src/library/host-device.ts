/** A device with a network interface of this host (or of this network namespace). */
import { flag } from '../api/change.js';
import { TypetunError } from '../api/errors.js';
import { type ConfigInput, HOOKS, type Settled, type Unsupported, withFile } from '../api/quick.js';
import { atExit } from '../engine/at-exit.js';
import type { Engine } from '../engine/index.js';
import { invalidName, isInterfaceName } from '../engine/messages.js';
import { scopeIndex, scopeName } from '../linux/scopes.js';
import { checkSocketFree, listenUapi, type UapiServer } from '../uapi/server.js';
import {
  type CommonOptions,
  checkCommon,
  EngineDevice,
  type EngineEvents,
  type Foundation,
  finish,
  openEngine,
  run,
  startError,
  untilUp,
} from './engine-device.js';

/** Bytes: netdevice(7) takes no less for IPv4 (RFC 791). */
const MIN_MTU = 68;

export interface HostDeviceOptions extends CommonOptions {
  /** The interface's name: 1 to 15 characters. */
  readonly name: string;
  /**
   * An object, or the text of a wg-quick(8) file, whose Address and MTU are used unless they are given here. No routes
   * are made, whether Table is `auto`, `off` or absent. A file with DNS, hooks, another Table or `SaveConfig = true` is
   * refused: these are wg-quick's.
   */
  readonly config?: ConfigInput | undefined;
  /** Addresses of the interface, as `10.0.0.1/24` and `fd00::1/64`. Set with ip(8). */
  readonly addresses?: readonly string[] | undefined;
  /** Bytes; 1420 unless told. */
  readonly mtu?: number | undefined;
  /** Whether to bring the interface up, once it is configured: true unless told. */
  readonly up?: boolean | undefined;
  /**
   * Whether `wg` and other programs can see and change the device, by `/var/run/wireguard/NAME.sock`: true unless
   * told. The device closes when that socket is removed.
   */
  readonly uapi?: boolean | undefined;
}

/** Made by {@link createHostDevice}. */
export class HostDevice extends EngineDevice {
  /** The interface's name when it was made. */
  readonly name: string;

  /** @internal */
  constructor(foundation: Foundation, events: EngineEvents, signal: AbortSignal | undefined) {
    super(foundation, events, signal);
    this.name = foundation.engine.interfaceName;
  }
}

/**
 * Makes a network interface, and a device behind it. Needs CAP_NET_ADMIN. The interface is gone when the device is
 * closed, or the process ends. Routes, DNS and firewall rules are the caller's; wg-quick(8) makes them from a file.
 *
 * @throws TypetunError, with nothing left behind; `signal.reason` when it is aborted
 * @example
 * await using device = await createHostDevice({
 *   name: 'wg0',
 *   addresses: ['10.0.0.1/24'],
 *   config: { privateKey, listenPort: 51820, peers: [{ publicKey, allowedIps: ['10.0.0.2'] }] },
 * });
 * device.on('handshake', ({ publicKey }) => console.log(`${publicKey} is there`));
 */
export async function createHostDevice(options: HostDeviceOptions): Promise<HostDevice> {
  const settled = withFile(options, wgQuickOnly);
  try {
    return await create(settled);
  } finally {
    settled.wipe();
  }
}

/** `Table = auto` says no more than its absence; here, both mean that routes are somebody else's. */
const wgQuickOnly: Unsupported = (quick) => ({
  ...HOOKS(quick),
  DNS: quick.dns.servers[0] ?? quick.dns.searchDomains[0],
  Table: quick.table === undefined || quick.table === 'auto' || quick.table === 'off' ? undefined : {},
  SaveConfig: quick.saveConfig ? {} : undefined,
});

async function create(options: Settled<HostDeviceOptions>): Promise<HostDevice> {
  checkOptions(options);
  const { name, signal, uapi = true } = options;
  signal?.throwIfAborted();
  if (uapi) await checkSocketFree(name).catch(rethrow(name));
  const events: EngineEvents = { listen: () => {} };
  const engine = await openEngine({ name }, options, events);
  let server: UapiServer | undefined;
  let forget = (): void => {};
  const release = async (): Promise<void> => {
    forget();
    await server?.close();
  };
  const device = new HostDevice({ engine, release }, events, signal);
  return finish(device, signal, async () => {
    if (uapi) {
      server = await serve(engine, options);
      // The file would outlive the process; it is gone when the call returns.
      forget = atExit(() => void server?.close());
      void server.removed.then(() => device.close());
      // It may have ended meanwhile, and could not end what was not there.
      if (device.closed) await release();
    }
    await device.configure(options.config);
    await setUp(engine, options);
  });
}

function serve(engine: Engine, { name, log = () => {} }: Settled<HostDeviceOptions>): Promise<UapiServer> {
  const target = { name: engine.interfaceName, target: engine, log };
  return listenUapi({ ...target, resolveScope: scopeIndex, scopeName }).catch(rethrow(name));
}

function rethrow(name: string): (error: unknown) => never {
  return (error) => {
    throw startError(name, error);
  };
}

function checkOptions(options: Settled<HostDeviceOptions>): void {
  const { name } = options;
  checkCommon(options, MIN_MTU);
  if (typeof name !== 'string' || !isInterfaceName(name)) {
    throw new TypetunError('ERR_INVALID_ARGUMENT', `name: ${invalidName(String(name))}`);
  }
  for (const flagged of ['up', 'uapi'] as const) {
    if (options[flagged] !== undefined) flag(options[flagged], flagged);
  }
}

async function setUp(engine: Engine, { addresses = [], mtu, up = true }: Settled<HostDeviceOptions>): Promise<void> {
  const name = engine.interfaceName;
  for (const address of addresses) await ip(['address', 'add', address, 'dev', name]);
  if (mtu !== undefined) await ip(['link', 'set', 'dev', name, 'mtu', `${mtu}`]);
  if (!up) return;
  await ip(['link', 'set', 'dev', name, 'up']);
  await untilUp(engine);
}

async function ip(args: readonly string[]): Promise<void> {
  try {
    await run('ip', args);
  } catch (error) {
    const { code, stderr = '' } = error as Error & { code?: string | number; stderr?: string };
    if (code === 'ENOENT') throw new TypetunError('ERR_UNSUPPORTED', 'ip(8) is missing: install iproute2');
    throw new TypetunError('ERR_DEVICE', `ip ${args.join(' ')}: ${stderr.trim()}`, { cause: error });
  }
}
