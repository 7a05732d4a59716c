/** `wg-quick strip`: a file without the lines that are wg-quick's own. */
import { LineReader } from './lines.js';
import { QuickLines } from './quick.js';
import { isSpace } from './values.js';

/**
 * @param file of wg-quick(8)
 * @returns what is left for wg(8), line by line and unread; it holds the private key, so wipe it after use
 * @throws ConfigError for a NUL byte or a file that is too large
 */
export function stripQuickLines(file: Uint8Array): Uint8Array {
  const reader = new LineReader(file);
  // Each line at most as long as it was; the last may get the line end that it lacks.
  const out = new Uint8Array(file.length + 1);
  let length = 0;
  const lines = new QuickLines();
  while (reader.read()) {
    if (lines.keyOf(reader) !== undefined) continue;
    const raw = reader.raw();
    let [from, to] = [0, raw.length];
    while (from < to && isSpace(raw[from]!)) from++;
    while (to > from && isSpace(raw[to - 1]!)) to--;
    out.set(raw.subarray(from, to), length);
    length += to - from;
    out[length++] = 0x0a;
  }
  reader.wipe();
  return out.subarray(0, length);
}
