/** Where every WireGuard tool looks for the sockets of userspace devices. */
import { join } from 'node:path';

export const UAPI_DIRECTORY = '/var/run/wireguard';

export function socketPath(name: string, directory: string = UAPI_DIRECTORY): string {
  return join(directory, `${name}.sock`);
}
