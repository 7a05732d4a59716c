/** A whole tunnel for an ordinary user: a namespace, and the engine behind its TUN, outside. */
import { getSystemErrorName } from 'node:util';
import { changeToSet, type WgQuickConfig } from '../config/index.js';
import { type Engine, type EngineOptions, startEngine } from '../engine/index.js';
import { RootlessError } from './error.js';
import { type NamespaceOptions, RootlessNamespace } from './namespace.js';
import { hasPrivileges } from './refusal.js';
import { namespaceOptions } from './settings.js';

export interface TunnelOptions extends Pick<EngineOptions, 'log' | 'onEvent'> {
  /** Of commands that will run inside. */
  readonly env?: NodeJS.ProcessEnv;
  /** As {@link NamespaceOptions.directory}. */
  readonly directory?: number;
  /** Told of what the file asks for and does not get here. */
  readonly warn?: (message: string) => void;
  /** Called when all is there that needs rights: before a packet is handled. */
  readonly onNamespace?: () => void;
}

export interface RootlessTunnel {
  readonly namespace: RootlessNamespace;
  readonly engine: Engine;
  /** Ends both; all is gone when it settles. */
  close(): Promise<void>;
}

/**
 * @param config with its endpoints resolved; it is wiped
 * @throws RootlessError, EngineError
 */
export async function openTunnel(config: WgQuickConfig, options: TunnelOptions): Promise<RootlessTunnel> {
  try {
    const settings = namespaceOptions(config);
    const fwmark = markFor(config, options);
    const { env, directory } = options;
    const inner = { ...(env && { env }), ...(directory !== undefined && { directory }) };
    const namespace = await RootlessNamespace.open({ ...settings, ...inner });
    try {
      options.onNamespace?.();
      return await startTunnel(namespace, config, fwmark, options);
    } catch (error) {
      await namespace.close();
      throw error;
    }
  } finally {
    config.wipe();
  }
}

async function startTunnel(
  namespace: RootlessNamespace,
  config: WgQuickConfig,
  fwmark: number,
  { log, onEvent }: TunnelOptions,
): Promise<RootlessTunnel> {
  const { tunFd, mtu: tunMtu } = namespace;
  const engine = await startEngine({ name: 'wg0', tunFd, tunMtu, log, ...(onEvent && { onEvent }) });
  const errno = await engine.configure({ ...changeToSet(config), fwmark });
  if (errno !== 0) {
    await engine.close();
    const code = getSystemErrorName(errno);
    const port = `UDP port ${config.listenPort} is in use: end what has it, or leave ListenPort out`;
    throw new RootlessError(code, code === 'EADDRINUSE' ? port : `the configuration was refused (${code})`);
  }
  return {
    namespace,
    engine,
    close: async () => {
      await namespace.close();
      await engine.close();
    },
  };
}

/**
 * FwMark keeps a tunnel's own packets out of the routes into it; these sockets are in another network, so it
 * is only needed for an administrator's rules, and only somebody with CAP_NET_ADMIN can set it: socket(7).
 */
function markFor({ fwmark = 0 }: WgQuickConfig, { warn }: TunnelOptions): number {
  if (fwmark === 0 || hasPrivileges()) return fwmark;
  warn?.(`FwMark 0x${fwmark.toString(16)} needs CAP_NET_ADMIN, and is left out`);
  return 0;
}
