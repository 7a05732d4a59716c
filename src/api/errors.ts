/** What the library throws. */

/**
 * Stable names of what went wrong. Beside these, an error of the operating system keeps its own name
 * (`EADDRINUSE`, `EPERM`, `ENODEV`, ...: errno(3)).
 *
 * | code | |
 * |---|---|
 * | `ERR_INVALID_ARGUMENT` | a value of the wrong type or out of range, or a property that does not exist |
 * | `ERR_INVALID_KEY` | not 32 bytes, and not their base64 or hexadecimal text |
 * | `ERR_INVALID_ENDPOINT` | not `address:port` or `[address]:port` |
 * | `ERR_INVALID_ALLOWED_IP` | not an address or a prefix |
 * | `ERR_KEY_WIPED` | a secret was used after it was wiped |
 * | `ERR_TOO_MANY` | more peers, prefixes or connections than there is room for |
 * | `ERR_CLOSED` | the device is closed, or closed while the call was under way |
 * | `ERR_UNSUPPORTED` | something a configuration asks for that this kind of device cannot do |
 * | `ERR_RESOLVE` | an endpoint's host name has no address |
 * | `ERR_DEVICE` | the device failed; `cause` has the reason |
 */
export type TypetunErrorCode =
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_INVALID_KEY'
  | 'ERR_INVALID_ENDPOINT'
  | 'ERR_INVALID_ALLOWED_IP'
  | 'ERR_KEY_WIPED'
  | 'ERR_TOO_MANY'
  | 'ERR_CLOSED'
  | 'ERR_UNSUPPORTED'
  | 'ERR_RESOLVE'
  | 'ERR_DEVICE';

/** Says what was expected and what was got, and never a secret. Branch on {@link code}, not on the message. */
export class TypetunError extends Error {
  override readonly name: string = 'TypetunError';
  /** A {@link TypetunErrorCode}, or the name of a system error. */
  readonly code: string;

  constructor(code: TypetunErrorCode, message: string, options?: ErrorOptions);
  constructor(code: string, message: string, options?: ErrorOptions);
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** @param what names the value: `listenPort`, `peers[2].endpoint` */
export function invalid(what: string, expected: string, got: unknown): TypetunError {
  return new TypetunError('ERR_INVALID_ARGUMENT', `${what}: expected ${expected}, got ${show(got)}`);
}

/** A value for a message: short, and without what is inside of objects. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 64 ? `${value.slice(0, 61)}...` : value);
  if (typeof value === 'function') return 'a function';
  if (value === null || typeof value !== 'object') return String(value);
  return Array.isArray(value) ? 'an array' : `an object of ${value.constructor?.name || 'no class'}`;
}
