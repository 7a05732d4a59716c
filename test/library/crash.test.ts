/** What is left of a device whose data worker, or helper, dies: an error, and nothing else. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { missing, withNamespaces } from '../netns/environment.js';

const exec = promisify(execFile);
const TIMEOUT_MS = 60_000;
const PROGRAM = join(import.meta.dirname, 'crash-program.js');
const HEAP = `--max-old-space-size=64 --import=${join(import.meta.dirname, 'crash-heap.js')}`;

const CLOSED = 'a descriptor of the device was closed by another part of this process';
/** By the way it dies, what the error says; and the code of its cause. */
const WAYS: Readonly<Record<string, readonly [message: string, cause?: string]>> = {
  tun: [CLOSED],
  socket: [CLOSED],
  terminate: ['data worker exited with 1'],
  heap: ['Worker terminated due to reaching memory limit: JS heap out of memory', 'ERR_WORKER_OUT_OF_MEMORY'],
};

interface Seen {
  readonly said: readonly string[];
  readonly pending: readonly string[];
  readonly late: string;
  readonly left: readonly string[];
}

async function crash(kind: 'host' | 'rootless', way: string): Promise<Seen> {
  const env = { ...process.env, ...(way === 'heap' && { NODE_OPTIONS: HEAP }) };
  const { stdout } = await exec(process.execPath, [PROGRAM, kind, way], { env, timeout: TIMEOUT_MS });
  return JSON.parse(stdout) as Seen;
}

/** Ways in which the worker lives for another moment, and answers what it was asked. */
const ANSWERING: readonly string[] = ['socket', 'helper'];

/** @param pending how calls that were under way ended */
function checkPending(way: string, pending: readonly string[]): void {
  const codes = ANSWERING.includes(way) ? pending.filter((it) => it !== 'fulfilled') : pending;
  assert.ok(pending.length >= 2);
  assert.ok(
    codes.every((code) => code === 'ERR_CLOSED'),
    `${pending}`,
  );
}

withNamespaces(import.meta.filename, () => {
  describe('a crashed device', { skip: missing([]), timeout: 4 * TIMEOUT_MS }, () => {
    for (const [way, [message, cause]] of Object.entries(WAYS)) {
      const error = [`error ERR_DEVICE: the device failed: ${message}`, ...(cause ? [`cause ${cause}`] : []), 'close'];

      it(`host, ${way}: an error and close, calls rejected, interface and sockets gone`, async () => {
        const { said, pending, ...end } = await crash('host', way);
        assert.deepEqual(said, error);
        checkPending(way, pending);
        assert.deepEqual(end, { late: 'ERR_CLOSED', left: [] });
      });

      it(`rootless, ${way}: what was open inside is closed before`, async () => {
        const { said, pending, ...end } = await crash('rootless', way);
        assert.deepEqual(said.slice(0, 4).sort(), ['other closed', 'server closed', 'socket closed', 'udp closed']);
        assert.deepEqual(said.slice(4), error);
        checkPending(way, pending);
        assert.deepEqual(end, { late: 'ERR_CLOSED', left: [] });
      });
    }

    it('rootless, helper: as when the worker dies', async () => {
      const { said, pending, ...end } = await crash('rootless', 'helper');
      assert.deepEqual(said.slice(0, 4).sort(), ['other closed', 'server closed', 'socket closed', 'udp closed']);
      assert.match(said[4] ?? '', /^error ERR_DEVICE: the device failed: the helper (was killed|ended with SIGKILL)$/);
      checkPending('helper', pending);
      assert.equal(pending[0], 'ERR_CLOSED');
      assert.deepEqual(end, { late: 'ERR_CLOSED', left: [] });
    });
  });
});
