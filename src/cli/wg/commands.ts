/** The subcommands of `wg`, as data: for its help and for completions. */

interface SubcommandEntry {
  readonly name: string;
  readonly summary: string;
  /** What stands behind its name. */
  readonly usage: string;
}

/** What `wg show INTERFACE` can be asked for alone. */
export const SHOW_FIELDS = [
  'public-key',
  'private-key',
  'listen-port',
  'fwmark',
  'peers',
  'preshared-keys',
  'endpoints',
  'allowed-ips',
  'latest-handshakes',
  'transfer',
  'persistent-keepalive',
  'dump',
] as const;

/** Words of `wg set` that a value follows: of the interface, and of a peer (which also has `remove`). */
export const SET_INTERFACE_WORDS = ['listen-port', 'fwmark', 'private-key', 'peer'] as const;
export const SET_PEER_WORDS = ['preshared-key', 'endpoint', 'persistent-keepalive', 'allowed-ips', 'peer'] as const;

const FILE = '<interface> <configuration filename>';

export const SUBCOMMANDS: readonly SubcommandEntry[] = [
  {
    name: 'show',
    summary: 'Shows the current configuration and device information',
    usage: `{ <interface> | all | interfaces } [${SHOW_FIELDS.join(' | ')}]`,
  },
  {
    name: 'showconf',
    summary: "Shows the current configuration of a given WireGuard interface, for use with `setconf'",
    usage: '<interface>',
  },
  {
    name: 'set',
    summary: 'Change the current configuration, add peers, remove peers, or change peers',
    usage:
      '<interface> [listen-port <port>] [fwmark <mark>] [private-key <file path>] [peer <base64 public key> [remove]' +
      ' [preshared-key <file path>] [endpoint <ip>:<port>] [persistent-keepalive <interval seconds>]' +
      ' [allowed-ips [+|-]<ip1>/<cidr1>[,[+|-]<ip2>/<cidr2>]...] ]...',
  },
  {
    name: 'setconf',
    summary: 'Applies a configuration file to a WireGuard interface',
    usage: FILE,
  },
  {
    name: 'addconf',
    summary: 'Appends a configuration file to a WireGuard interface',
    usage: FILE,
  },
  {
    name: 'syncconf',
    summary: 'Synchronizes a configuration file to a WireGuard interface',
    usage: FILE,
  },
  {
    name: 'genkey',
    summary: 'Generates a new private key and writes it to stdout',
    usage: '',
  },
  {
    name: 'genpsk',
    summary: 'Generates a new preshared key and writes it to stdout',
    usage: '',
  },
  {
    name: 'pubkey',
    summary: 'Reads a private key from stdin and writes a public key to stdout',
    usage: '',
  },
];

export function usage(): string {
  const lines = SUBCOMMANDS.map(({ name, summary }) => `  ${name}: ${summary}\n`);
  return (
    `Usage: wg <cmd> [<args>]\n\nAvailable subcommands:\n${lines.join('')}` +
    "You may pass `--help' to any of these subcommands to view usage.\n"
  );
}

export function usageOf(name: string): string {
  const entry = SUBCOMMANDS.find((it) => it.name === name);
  return `Usage: wg ${name}${entry?.usage ? ` ${entry.usage}` : ''}\n`;
}
