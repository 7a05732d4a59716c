/** The words of `typetun exec`. */

export const EXEC_USAGE = `Usage: typetun exec [-v] CONFIG [--] COMMAND [ARGUMENT...]

Runs a command whose only network is the tunnel of a wg-quick(8) file, as an ordinary user, without any
set-up. CONFIG is a file, or NAME for /etc/wireguard/NAME.conf. Address, DNS, MTU and AllowedIPs are
honoured; a file with hooks is refused. What the command prints and reads, its terminal, its signals and
its user are its own.

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
}

/** Options stand before the command; `--` may part it from them. @throws an Error with a text for people */
export function parseExec(args: readonly string[]): ExecLine {
  let [help, verbose, config, at] = [false, false, '', 0];
  for (; at < args.length; at++) {
    const word = args[at]!;
    if (word === '--') {
      at++;
      break;
    }
    if (word === '-h' || word === '--help') help = true;
    else if (word === '-v' || word === '--verbose') verbose = true;
    else if (word.startsWith('-')) throw new Error(`unknown option ${word}. See typetun exec --help`);
    else if (config === '') config = word;
    else break;
  }
  const command = args.slice(at);
  if (config === '' && !help) throw new Error('expected a configuration and a command. See typetun exec --help');
  return { help, verbose, config, command };
}
