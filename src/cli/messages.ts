/** The texts people meet when something is missing: one line each, with what can be done. */

export const USAGE = `Usage: typetun [-f|--foreground] INTERFACE
       typetun --version | --help

A WireGuard device in userspace. Configure it with wg(8), wg-quick(8) or any client of the
userspace API at /var/run/wireguard/INTERFACE.sock.

  -f, --foreground   stay in the foreground
      --version      print the version and the cipher's back end
  -h, --help         print this

Environment:
  LOG_LEVEL                  verbose, debug, error (default) or silent
  WG_PROCESS_FOREGROUND=1    as --foreground
  WG_TUN_FD, WG_UAPI_FD      an open TUN device, a listening socket: used instead of making them
  TYPETUN_AEAD               primitives, evp or noble: the cipher's back end

Signals:
  SIGTERM, SIGINT            end: device and socket are removed
  SIGUSR2                    log the device's state and its drop counters, whatever LOG_LEVEL says
`;

const NAME = /^[a-zA-Z0-9_=+.-]{1,15}$/;

export function isInterfaceName(name: string): boolean {
  return NAME.test(name) && name !== '.' && name !== '..';
}

/** What keeps this machine from running a device at all, or undefined. */
export function unsupported(platform: string, arch: string, isGlibc: boolean): string | undefined {
  if (platform !== 'linux') return `typetun runs on Linux, this is ${platform}`;
  if (arch !== 'x64' && arch !== 'arm64') return `typetun runs on x64 and arm64 processors, this is ${arch}`;
  if (!isGlibc) return 'typetun needs a Node.js that was built for glibc, not for musl';
  return undefined;
}

/** Why a device could not be made, by the error's code. */
export function startFailure(name: string, code: string, message: string): string {
  switch (code) {
    case 'EPERM':
    case 'EACCES':
      return `no permission to make ${name}: run as root, or with CAP_NET_ADMIN and access to /dev/net/tun`;
    case 'ENOENT':
      return 'there is no /dev/net/tun: load the tun module ("modprobe tun"), or pass the device into the container';
    case 'EBUSY':
      return `the interface name ${name} is taken: choose another, or end the process that holds it`;
    default:
      return message;
  }
}
