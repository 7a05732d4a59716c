/** What the environment asks of the daemon, beside `LOG_LEVEL`. */

/** Set for the daemon's own child: the descriptor it reports on, `ready` or what went wrong. */
export const REPORT_FD = 'TYPETUN_REPORT_FD';
export const TUN_FD = 'WG_TUN_FD';
export const UAPI_FD = 'WG_UAPI_FD';
/** What the child says on {@link REPORT_FD} once TUN and socket are there. */
export const READY = 'ready';

/**
 * @returns the descriptor that a variable of the environment names, if it is set
 * @throws an Error with a text for people when it is not a number
 */
export function descriptor(key: string): number | undefined {
  const value = process.env[key];
  if (value === undefined || value === '') return undefined;
  if (!/^\d{1,6}$/.test(value)) throw new Error(`${key} is not the number of a file descriptor`);
  return Number(value);
}
