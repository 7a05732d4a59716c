/** What a wg-quick(8) file means for a namespace of one's own. */
import type { WgQuickConfig } from '../config/index.js';
import { formatAddress } from '../uapi/address.js';
import { RootlessError } from './error.js';
import type { NamespaceOptions } from './namespace.js';

/**
 * Address, DNS, MTU and AllowedIPs. `Table` matters only when it is `off` (no routes): there is one table.
 * SaveConfig has nothing to save.
 * @throws RootlessError ERR_HOOK for a file with hooks
 */
export function namespaceOptions({ quick, peers }: WgQuickConfig): NamespaceOptions {
  const hooks = { PreUp: quick.preUp, PostUp: quick.postUp, PreDown: quick.preDown, PostDown: quick.postDown };
  for (const [key, [hook]] of Object.entries(hooks)) {
    if (hook) {
      throw new RootlessError(
        'ERR_HOOK',
        `line ${hook.line}: ${key} is a hook, which sets up the whole machine as root; here there is nothing of the kind ` +
          'to set up, and it is not run: take it out of a copy of the file, or use wg-quick',
      );
    }
  }
  const prefixes = peers.flatMap(({ allowedIps = [] }) =>
    allowedIps.map((it) => `${formatAddress(it.address)}/${it.cidr}`),
  );
  return {
    addresses: quick.addresses.map(({ text }) => text),
    routes: quick.table === 'off' ? [] : [...new Set(prefixes)],
    ...(quick.mtu !== undefined && { mtu: quick.mtu }),
    dns: {
      servers: quick.dns.servers.map(({ text }) => text),
      search: quick.dns.searchDomains.map(({ text }) => text),
    },
  };
}
