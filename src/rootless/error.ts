/** `code` is an errno's name or a look-up's (`ENOTFOUND`) where the system said no, else `ERR_…`. */
export class RootlessError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'RootlessError';
    this.code = code;
  }
}

/** @returns the same error, as one of this kind */
export function rootlessError(error: unknown): RootlessError {
  if (error instanceof RootlessError) return error;
  const { code = 'ERR_ROOTLESS', message } = error as NodeJS.ErrnoException;
  return new RootlessError(code, message);
}
