/** The words of `typetun exec`. */
import { type ForwardSpec, type ListenSpec, parseForward, parseListen } from '../../rootless/forwards/spec.js';

export const EXEC_USAGE = `Usage: typetun exec [OPTION...] CONFIG [--] COMMAND [ARGUMENT...]
       typetun exec [OPTION...] CONFIG

Runs a command whose only network is the tunnel of a wg-quick(8) file, as an ordinary user, without any
set-up. CONFIG is a file, or NAME for /etc/wireguard/NAME.conf. Address, DNS, MTU and AllowedIPs are
honoured; a file with hooks is refused. What the command prints and reads, its terminal, its signals and
its user are its own.

For programs outside of the tunnel, with a command or until it is ended:
  -L [BIND:]PORT:HOST:HOSTPORT[/udp]   a port here leads to an address in the tunnel
  -R [BIND:]PORT:HOST:HOSTPORT[/udp]   a port of the tunnel's address leads to an address here
  -D [BIND:]PORT                       a SOCKS5 proxy (TCP and UDP) into the tunnel
      --http-proxy=[BIND:]PORT         an HTTP proxy (CONNECT and http: URLs) into the tunnel
      --proxy-auth=FILE                the proxies ask for the NAME:PASSWORD in this file
Without BIND, -R listens at every address of the tunnel and the others at 127.0.0.1; * is every address.

  -v, --verbose      tell on standard error what the tunnel does
  -h, --help         print this

The exit status is the command's, 128 and the signal's number when a signal ended it, 127 when there is no
such command, 126 when it cannot be run, 125 when the tunnel cannot be had.
`;

export interface ExecLine {
  readonly help: boolean;
  readonly verbose: boolean;
  readonly config: string;
  /** The command and its arguments. */
  readonly command: readonly string[];
  readonly local: readonly ForwardSpec[];
  readonly remote: readonly ForwardSpec[];
  readonly socks: readonly ListenSpec[];
  readonly http: readonly ListenSpec[];
  /** A file. */
  readonly proxyAuth?: string;
}

const WITH_VALUE = /^(-L|-R|-D)(.*)$|^(--http-proxy|--proxy-auth)(?:=(.*))?$/s;

/** Options stand before the command; `--` may part it from them. @throws an Error with a text for people */
export function parseExec(args: readonly string[]): ExecLine {
  const values: Record<string, string[]> = { '-L': [], '-R': [], '-D': [], '--http-proxy': [], '--proxy-auth': [] };
  let [help, verbose, config, at] = [false, false, '', 0];
  for (; at < args.length; at++) {
    const word = args[at]!;
    if (word === '--') {
      at++;
      break;
    }
    const option = WITH_VALUE.exec(word);
    if (option) {
      const name = (option[1] ?? option[3])!;
      const value = option[2] || option[4] || args[++at];
      if (value === undefined) throw new Error(`${name} needs a value. See typetun exec --help`);
      values[name]!.push(value);
    } else if (word === '-h' || word === '--help') help = true;
    else if (word === '-v' || word === '--verbose') verbose = true;
    else if (word.startsWith('-')) throw new Error(`unknown option ${word}. See typetun exec --help`);
    else if (config === '') config = word;
    else break;
  }
  const proxyAuth = values['--proxy-auth']!.at(-1);
  const line: ExecLine = {
    help,
    verbose,
    config,
    command: args.slice(at),
    local: values['-L']!.map(parseForward),
    remote: values['-R']!.map(parseForward),
    socks: values['-D']!.map(parseListen),
    http: values['--http-proxy']!.map(parseListen),
    ...(proxyAuth !== undefined && { proxyAuth }),
  };
  if (!help && (config === '' || (line.command.length === 0 && !hasServices(line)))) {
    throw new Error('expected a configuration and a command. See typetun exec --help');
  }
  if (proxyAuth !== undefined && line.socks.length + line.http.length === 0) {
    throw new Error('--proxy-auth is for -D and --http-proxy. See typetun exec --help');
  }
  return line;
}

export function hasServices({ local, remote, socks, http }: ExecLine): boolean {
  return local.length + remote.length + socks.length + http.length > 0;
}
