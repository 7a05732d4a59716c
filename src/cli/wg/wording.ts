/** Times, amounts and colours of the text that `wg show` writes for people. */

export interface Paint {
  interface(text: string): string;
  peer(text: string): string;
  name(text: string): string;
  unit(text: string): string;
  alarm(text: string): string;
  /** In front of each interface. */
  readonly start: string;
}

const RESET = '\x1b[0m';
const [BOLD, RED, GREEN, YELLOW, CYAN] = ['\x1b[1m', '\x1b[31m', '\x1b[32m', '\x1b[33m', '\x1b[36m'];

export function paint(inColour: boolean): Paint {
  if (!inColour) {
    const same = (text: string): string => text;
    return {
      interface: (name) => `interface: ${name}`,
      peer: (key) => `peer: ${key}`,
      name: same,
      unit: same,
      alarm: same,
      start: '',
    };
  }
  const heading = (colour: string, what: string, text: string): string =>
    `${colour}${BOLD}${what}${RESET}: ${colour}${text}${RESET}`;
  return {
    interface: (name) => heading(GREEN, 'interface', name),
    peer: (key) => heading(YELLOW, 'peer', key),
    name: (text) => `${BOLD}${text}${RESET}`,
    unit: (text) => `${CYAN}${text}${RESET}`,
    alarm: (text) => `${RED}${text}${RESET}`,
    start: RESET,
  };
}

/** Seconds of each unit; a year has 365 days. */
const UNITS: readonly (readonly [name: string, seconds: bigint])[] = [
  ['year', 31_536_000n],
  ['day', 86_400n],
  ['hour', 3_600n],
  ['minute', 60n],
  ['second', 1n],
];

/** @param seconds above 0. @returns `1 day, 2 minutes` */
export function duration(seconds: bigint, { unit }: Paint): string {
  const parts: string[] = [];
  let left = seconds;
  for (const [name, size] of UNITS) {
    const count = left / size;
    left %= size;
    if (count > 0n) parts.push(`${count} ${unit(count === 1n ? name : `${name}s`)}`);
  }
  return parts.join(', ');
}

/** @param then, now seconds since 1970 */
export function ago(then: bigint, now: bigint, paint: Paint): string {
  if (then > now) return `(${paint.alarm('System clock wound backward; connection problems may ensue.')})`;
  return then === now ? 'Now' : `${duration(now - then, paint)} ago`;
}

const BINARY_UNITS = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1023 B`, `1.00 KiB`, up to TiB. */
export function amount(bytes: bigint, { unit }: Paint): string {
  if (bytes < 1024n) return `${bytes} ${unit('B')}`;
  let power = 1;
  while (power < BINARY_UNITS.length && bytes >> BigInt(10 * (power + 1)) > 0n) power++;
  return `${twoDecimals(bytes, 1n << BigInt(10 * power))} ${unit(BINARY_UNITS[power - 1]!)}`;
}

/** A quotient as printf(3) has it from doubles: half to even, where toFixed goes up. */
function twoDecimals(bytes: bigint, size: bigint): string {
  // What a double makes of it: 2^64 - 1 is 2^64.
  const hundredths = BigInt(Number(bytes)) * 100n;
  let count = hundredths / size;
  const rest = (hundredths % size) * 2n;
  if (rest > size || (rest === size && count % 2n === 1n)) count++;
  return `${count / 100n}.${`${count % 100n}`.padStart(2, '0')}`;
}
