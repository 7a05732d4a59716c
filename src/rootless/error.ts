/** `code` is an errno's name or a look-up's (`ENOTFOUND`) where the system said no, else `ERR_…`. */
export class RootlessError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'RootlessError';
    this.code = code;
  }
}
