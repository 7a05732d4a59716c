/** The table that the demo prints while it runs. */

export interface Row {
  readonly step: string;
  /** Milliseconds: of the handshake, or of a mean round trip. */
  readonly ms?: number;
  /** Lost and sent. */
  readonly loss?: readonly [number, number];
  readonly bytes?: number;
  readonly gbits?: number;
  /** What was seen, in words. */
  readonly seen: string;
}

const WIDTHS = { step: 36, ms: 10, loss: 9, bytes: 10, gbits: 13 } as const;

function line(step: string, ms: string, loss: string, bytes: string, gbits: string, seen: string): string {
  const { step: width } = WIDTHS;
  const numbers = [ms.padStart(WIDTHS.ms), loss.padStart(WIDTHS.loss), bytes.padStart(WIDTHS.bytes)];
  return `  ${step.padEnd(width)}${numbers.join('')}${gbits.padStart(WIDTHS.gbits)}   ${seen}`.trimEnd();
}

export function printTitle(title: string): void {
  console.log(`\ntypetun demo: ${title}\n`);
  console.log(line('', 'time', 'loss', 'bytes', 'throughput', ''));
}

export function printRow({ step, ms, loss, bytes, gbits, seen }: Row): void {
  const time = ms === undefined ? '' : `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
  const lost = loss === undefined ? '' : `${loss[0]}/${loss[1]}`;
  const size = bytes === undefined ? '' : `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 3 : 0)} MiB`;
  const rate = gbits === undefined ? '' : `${gbits.toFixed(2)} Gbit/s`;
  console.log(line(step, time, lost, size, rate, seen));
}
