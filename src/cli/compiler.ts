/** How soon V8 compiles: for the daemon alone, whose process is its own. */
import { setFlagsFromString } from 'node:v8';

/**
 * By V8's major version, as in Node.js 20 and 22: each function is compiled at its first call, and optimized after some
 * hundred calls instead of some thousand. From Node.js 24 on V8 has a compiler in between, and does well without.
 */
const SOON: Partial<Record<number, readonly string[]>> = {
  11: ['--always-sparkplug', '--interrupt-budget=4000'],
  12: ['--always-sparkplug', '--invocation-count-for-turbofan=400'],
};

/**
 * Has what is called some hundred times a second, as for pings, compiled within a second, and not within ten (docs/adr/0022).
 * To be called after the start, which runs through much that is never called again.
 */
export function compileSoon(): void {
  for (const flag of SOON[Number.parseInt(process.versions.v8, 10)] ?? []) setFlagsFromString(flag);
}
