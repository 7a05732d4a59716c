/** What ends wg-quick, and with which exit code. */

/** Something is wrong, and a line for people says what. */
export class QuickError extends Error {
  override readonly name = 'QuickError';
  readonly exitCode: number = 1;
}

/** A program that was run failed, and said why itself. Its exit code becomes wg-quick's. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(command: string, exitCode: number) {
    super(`\`${command}' failed with exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}
