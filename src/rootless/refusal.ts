/** Why no namespace can be had here: which switch it is, and what an administrator can do. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { RootlessError } from './error.js';

const TUN = '/dev/net/tun';
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

/** @returns whether this process can make namespaces without a user namespace around them: capabilities(7) */
export function hasPrivileges(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  const bits = BigInt(`0x${effective}`);
  return [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((bit) => ((bits >> bit) & 1n) === 1n);
}

/** @throws RootlessError when this user may not open /dev/net/tun */
export function demandTun(path: string = TUN): void {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    throw new RootlessError(
      code,
      code === 'ENOENT'
        ? `there is no ${path}: an administrator can load it ("modprobe tun"), or pass it into the container ("--device ${path}")`
        : `${path} is closed to this user (${code}): an administrator can open it ("chmod 0666 ${path}", and MODE="0666" ` +
            'for KERNEL=="tun" in a udev rule); that gives nobody an interface outside of a namespace of their own',
    );
  }
}

/** Sysctls, the value that refuses, and how it is put right. */
const SWITCHES: readonly (readonly [name: string, refuses: string, remedy: string])[] = [
  ['user.max_user_namespaces', '0', '"sysctl user.max_user_namespaces=15000"'],
  ['user.max_net_namespaces', '0', '"sysctl user.max_net_namespaces=15000"'],
  ['user.max_mnt_namespaces', '0', '"sysctl user.max_mnt_namespaces=15000"'],
  ['user.max_pid_namespaces', '0', '"sysctl user.max_pid_namespaces=15000"'],
  ['kernel.unprivileged_userns_clone', '0', '"sysctl kernel.unprivileged_userns_clone=1"'],
  [
    'kernel.apparmor_restrict_unprivileged_userns',
    '1',
    '"sysctl kernel.apparmor_restrict_unprivileged_userns=0", or an AppArmor profile for typetun\'s Node.js with "userns,"',
  ],
];

function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'latin1').trim();
  } catch {
    return undefined;
  }
}

/**
 * Puts what went wrong while a namespace was made into words.
 * @param sysctl reads one, `user.max_user_namespaces`; undefined where the system does not have it
 */
export function explainRefusal(error: Error, sysctl: (name: string) => string | undefined = readSysctl): Error {
  const { message } = error;
  if (/\b(setpriv|unshare|sh)\b.*(not found|ENOENT)|(not found|ENOENT).*\b(setpriv|unshare)\b/i.test(message)) {
    return new RootlessError('ENOENT', `setpriv and unshare are missing: install util-linux (${message})`);
  }
  if (/spawn ip ENOENT/.test(message)) return new RootlessError('ENOENT', 'ip is missing: install iproute2');
  // The words of ip(8) are about an address or a route: the namespaces were there.
  if (/^ip\b/.test(message)) return error;
  const refused = /No space left on device|Operation not permitted|Permission denied|EPERM|EACCES|ENOSPC/.test(message);
  if (!refused) return error;
  for (const [name, refuses, remedy] of SWITCHES) {
    if (sysctl(name) !== refuses) continue;
    const why = `user namespaces are switched off here (${name} is ${refuses})`;
    return new RootlessError('ERR_NO_USER_NAMESPACE', `${why}: an administrator can allow them with ${remedy}`);
  }
  return new RootlessError(
    'ERR_NO_USER_NAMESPACE',
    `namespaces are refused to this user (${message}): in a container, its seccomp or AppArmor profile has to allow them`,
  );
}
