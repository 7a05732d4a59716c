/** The texts people meet when something is missing: one line each, with what can be done. */
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { UAPI_DIRECTORY } from '../uapi/paths.js';

const NAME = /^[a-zA-Z0-9_=+.-]{1,15}$/;

export function isInterfaceName(name: string): boolean {
  return NAME.test(name) && name !== '.' && name !== '..';
}

export function invalidName(name: string): string {
  return `${JSON.stringify(name.slice(0, 64))} is not an interface name: 1 to 15 of a-z A-Z 0-9 _ = + . -`;
}

/** What keeps this machine from running a device at all, or undefined. */
export function unsupported(platform: string, arch: string, musl: boolean): string | undefined {
  if (platform !== 'linux') return `typetun runs on Linux, this is ${platform}`;
  if (arch !== 'x64' && arch !== 'arm64') return `typetun runs on x64 and arm64 processors, this is ${arch}`;
  if (musl) return 'typetun needs a Node.js that was built for glibc, this one was built for musl';
  return undefined;
}

/** Whether this Node.js was built for musl. The report, which knows, is slow: most systems need not ask it. */
export function isMusl(): boolean {
  if (!existsSync('/lib') || !readdirSync('/lib').some((name) => name.startsWith('ld-musl-'))) return false;
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

/** What the system says, seen after a failure to tell its causes apart. */
export interface SystemProbe {
  /** The errno's name when /dev/net/tun cannot be opened. */
  readonly tunError?: string;
  /** An interface has the name. */
  readonly nameExists: boolean;
  /** `WG_TUN_FD` was given. */
  readonly tunFdGiven: boolean;
}

export function probeSystem(name: string): SystemProbe {
  const known = {
    nameExists: existsSync(`/sys/class/net/${name}`),
    tunFdGiven: (process.env['WG_TUN_FD'] ?? '') !== '',
  };
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return known;
  } catch (error) {
    return { ...known, tunError: (error as NodeJS.ErrnoException).code ?? 'EIO' };
  }
}

/** Why the daemon could not be started. */
export function startFailure(name: string, error: unknown, probe: SystemProbe): string {
  const { code, message, name: kind, path, syscall } = error as NodeJS.ErrnoException & { path?: string };
  if (kind === 'UapiError') return socketFailure(code, path ?? '', message);
  if (kind === 'EngineError') return tunFailure(name, code ?? '', message, probe);
  if (kind === 'Error' && (path?.startsWith(UAPI_DIRECTORY) || syscall === 'listen')) {
    return `cannot make the socket in ${UAPI_DIRECTORY} (${code}): run as root`;
  }
  return message;
}

function socketFailure(code: string | undefined, path: string, message: string): string {
  if (code === 'ERR_SOCKET_IN_USE') {
    return `${path} is in use by a running daemon: end it, or choose another interface name`;
  }
  return code === 'ERR_SOCKET_PATH' ? `${path} is in the way, and is not a socket: remove it` : message;
}

function tunFailure(name: string, code: string, message: string, probe: SystemProbe): string {
  if (code.startsWith('ERR_')) return message;
  if (probe.tunFdGiven) return `WG_TUN_FD is not an open TUN device without packet information (${message})`;
  if (probe.tunError === 'ENOENT' || probe.tunError === 'ENXIO' || probe.tunError === 'ENODEV') {
    return 'there is no /dev/net/tun: load the tun module ("modprobe tun"), or pass the device into the container';
  }
  if (probe.tunError !== undefined) {
    return `/dev/net/tun cannot be opened (${probe.tunError}): run as root, or allow the device for this container`;
  }
  if (code === 'EPERM') {
    return `no permission to make ${name}: run as root, or with CAP_NET_ADMIN ("--cap-add NET_ADMIN" for a container)`;
  }
  if (code === 'EBUSY' || (code === 'EINVAL' && probe.nameExists)) {
    return `the interface name ${name} is taken: choose another, or remove it ("ip link delete ${name}")`;
  }
  return `cannot make ${name}: ${message}`;
}

/** Why an interface that is up does not work. @param errno positive */
export function bindFailure(port: number, errno: number): string {
  const name = getSystemErrorName(-errno);
  if (name !== 'EADDRINUSE') return `UDP port ${port} cannot be bound (${name}): the interface stays without a socket`;
  return `UDP port ${port} is in use: set another listen port, or free this one and set the interface down and up`;
}
