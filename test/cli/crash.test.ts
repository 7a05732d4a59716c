/** A daemon whose data worker crashes says so, and ends with everything that was its own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestOptions, test } from 'node:test';
import { Client } from '../uapi/helpers.js';
import { Place, whyNot } from './daemons.js';

const reason = whyNot();
const options: TestOptions = { timeout: 60_000, ...(reason !== undefined && { skip: reason }) };
const HEAP = join(import.meta.dirname, '../library/crash-heap.js');

test('a daemon whose data worker runs out of memory: status 1, the reason, nothing left', options, async (t) => {
  const place = await Place.make(t);
  const running = await place.foreground({ NODE_OPTIONS: `--max-old-space-size=64 --import=${HEAP}` });
  const client = new Client(place.socket);
  const answer = await client.send('get=1\n\n').answer();
  client.close();
  // The device is gone: an errno, or an end without an answer, and not half of one.
  assert.match(answer ?? 'errno=-1', /^errno=-\d+\n*$/);
  const { code, signal, stdout } = await running.result;
  assert.deepEqual({ code, signal }, { code: 1, signal: null }, stdout);
  assert.match(stdout, /^ERROR: \(\S+\) \S+ \S+ The data worker failed: .*reaching memory limit.*$/m);
  await place.allGone();
});
