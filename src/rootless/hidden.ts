/** Local services that would reach the network, or look a name up, on behalf of whoever asks them. */
import { existsSync, realpathSync } from 'node:fs';

const DIRECTORIES = ['systemd/resolve', 'nscd', 'dbus', 'avahi-daemon'];
/** systemd starts commands for whoever may talk to it, outside of every namespace. */
const SOCKETS = ['systemd/private'];
const OF_A_USER = ['bus', 'systemd'];

/**
 * @param env of the commands inside
 * @returns those that exist, each once
 */
export function servicesToHide(env: NodeJS.ProcessEnv, uid: number): string[] {
  const paths = ['/run', '/var/run'].flatMap((run) => [...DIRECTORIES, ...SOCKETS].map((name) => `${run}/${name}`));
  for (const directory of [`/run/user/${uid}`, env['XDG_RUNTIME_DIR']]) {
    if (directory) paths.push(...OF_A_USER.map((name) => `${directory}/${name}`));
  }
  for (const address of [env['DBUS_SESSION_BUS_ADDRESS'], env['DBUS_SYSTEM_BUS_ADDRESS']]) {
    for (const [, path] of address?.matchAll(/(?:^|;)unix:(?:[^;]*,)?path=([^,;]+)/g) ?? []) paths.push(path!);
  }
  return [...new Set(paths.filter((path) => existsSync(path)).map((path) => realpathSync(path)))];
}
