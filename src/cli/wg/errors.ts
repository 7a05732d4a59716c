/** What `wg` says when something fails: the system's own words. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { ConfigError } from '../../config/errors.js';
import { UapiClientError } from '../../uapi/client.js';
import type { Io } from './io.js';

const Errno = { EPROTONOSUPPORT: 93, ENODEV: 19, EOPNOTSUPP: 95 } as const;

const KERNEL_MODULE = '/sys/module/wireguard';

/** @param code an error number, positive. @returns strerror(3)'s text */
export async function errnoText(code: number): Promise<string> {
  const { describeErrno } = await import('../../linux/resolver.js');
  return describeErrno(code);
}

/** Prints the error of an open or a read as fopen(3) and perror(3) would. @returns the exit code */
export async function fileFailure(io: Io, error: unknown): Promise<number> {
  const { errno } = error as NodeJS.ErrnoException;
  if (typeof errno !== 'number') throw error;
  io.err(`fopen: ${await errnoText(-errno)}\n`);
  return 1;
}

/**
 * Prints why a device could not be used.
 * @param what was tried, as `Unable to modify interface`
 * @param name of the device
 * @returns the exit code
 */
export async function deviceFailure(io: Io, what: string, name: string, error: unknown): Promise<number> {
  if (!(error instanceof UapiClientError)) throw error;
  if (error.code === 'ERR_UAPI_NO_DEVICE' && isKernelDevice(name)) {
    io.err(`${kernelDevice(name)}\n`);
    return 1;
  }
  io.err(`${what}: ${await errnoText(error.code === 'ERR_UAPI_NO_DEVICE' ? noDevice(name) : error.errno)}\n`);
  return 1;
}

/** The one line about a device that this program leaves to the stock tool. */
export function kernelDevice(name: string): string {
  return `${name} is a device of the kernel: use the wg of wireguard-tools for it, this one is for userspace devices`;
}

export function isKernelDevice(name: string): boolean {
  if (name === '' || name.includes('/')) return false;
  try {
    return readFileSync(`/sys/class/net/${name}/uevent`, 'latin1').split('\n').includes('DEVTYPE=wireguard');
  } catch {
    return false;
  }
}

/** The names of the kernel's devices, in this network namespace as far as sysfs shows it. */
export function kernelDevices(): string[] {
  if (!existsSync(KERNEL_MODULE)) return [];
  try {
    return readdirSync('/sys/class/net').filter(isKernelDevice);
  } catch {
    return [];
  }
}

/** What the kernel says to a name that no userspace device has: it depends on whether it knows WireGuard. */
function noDevice(name: string): number {
  if (!existsSync(KERNEL_MODULE)) return Errno.EPROTONOSUPPORT;
  const exists = name !== '' && !name.includes('/') && existsSync(`/sys/class/net/${name}`);
  return exists ? Errno.EOPNOTSUPP : Errno.ENODEV;
}

/** Prints what is wrong with a value. */
export function printConfigError(io: Io, { problem, text }: Pick<ConfigError, 'problem' | 'text'>): void {
  if (text === undefined) {
    io.err(`${problem}\n`);
    return;
  }
  io.err(Buffer.concat([Buffer.from(`${problem}: \``), text, Buffer.from("'\n")]));
}

/** Prints what looks like a mistake in a value that is taken all the same. */
export function warn(io: Io, problem: string, text: Uint8Array): void {
  io.err(Buffer.concat([Buffer.from(`Warning: ${problem}: `), text, Buffer.from('\n')]));
}
