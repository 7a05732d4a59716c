/**
 * The error numbers a UAPI answer can carry, negative as they stand on its `errno=` line
 * (Linux, asm-generic/errno.h; the same on x86-64 and arm64).
 */
export const UAPI_OK = 0;
/** EIO: the device could not answer. */
export const UAPI_IO = -5;
/** ENOMEM: too much is being said at once, over all connections. */
export const UAPI_NO_MEMORY = -12;
/** EINVAL: an unknown key or a bad value. */
export const UAPI_INVALID = -22;
/** EFBIG: one request is larger than the cap. */
export const UAPI_TOO_BIG = -27;
/** EPROTO: not a `key=value` line, or a request that stops half way. */
export const UAPI_PROTOCOL = -71;
