/** What the command line says about itself. */
import { UAPI_DIRECTORY } from '../uapi/paths.js';

export const USAGE: string = `Usage: typetun [-f|--foreground] [--offload=LIST] INTERFACE
       typetun wg [COMMAND] [ARGUMENTS]
       typetun wg-quick up|down|save|strip FILE|INTERFACE
       typetun exec [OPTION...] CONFIG [--] COMMAND [ARGUMENT...]
       typetun files [install [DIRECTORY]]
       typetun demo
       typetun --version | --help

A WireGuard device in userspace. Configure it with wg(8), wg-quick(8) or any client of the
userspace API at ${UAPI_DIRECTORY}/INTERFACE.sock. Ends when the interface is deleted or the
socket is removed. An interface that has a command's name: typetun -- INTERFACE.

  -f, --foreground   stay in the foreground
      --offload=LIST as TYPETUN_OFFLOAD, below
      --version      print the version, the cipher's back end and the offloads
  -h, --help         print this

Environment:
  LOG_LEVEL                  verbose, debug, error (default) or silent. In the background, standard
                             output and error are closed unless it is set, and not to silent
  WG_PROCESS_FOREGROUND=1    as --foreground
  WG_TUN_FD, WG_UAPI_FD      an open TUN device, a listening socket: used instead of making them
  TYPETUN_AEAD               primitives, evp or noble: the cipher's back end
  TYPETUN_OFFLOAD            batching to do without, with commas between: none, or -NAME of
                             tun-read, tun-write, udp-gso, udp-gro

Signals:
  SIGTERM, SIGINT            end: device and socket are removed
  SIGUSR2                    log the device's state and its drop counters, whatever LOG_LEVEL says
`;

export const NO_NAME = 'expected one interface name. See typetun --help';
