/** The bench itself, run for a few seconds: that it measures, says what it could not, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Results } from '../../bench/results.js';
import { FULL } from '../netns/environment.js';
import { commandOf, Job, missing, until, withNamespaces } from '../netns/harness.js';

const TIMEOUT_MS = (FULL ? 100 : 5) * 60_000;
const BENCH = fileURLToPath(new URL('../../bench/main.js', import.meta.url));
/** What there is: CI without Go has Debian's. */
const OTHER = commandOf('wireguard-go-newest') === undefined ? 'wireguard-go-debian' : 'wireguard-go';

/** Namespaces and UAPI sockets of a bench. */
function leftBy(pid: number | undefined): string[] {
  const id = (pid ?? 0).toString(36);
  const names = ['/run/netns', '/run/wireguard'].flatMap((place) => (existsSync(place) ? readdirSync(place) : []));
  return names.filter((name) => name.startsWith(`tt${id}-`) || name.startsWith(`t${id}-`));
}

withNamespaces(import.meta.filename, () => {
  describe('bench', { skip: missing(['iperf3'], ['typetun', 'wireguard-go']), timeout: TIMEOUT_MS }, () => {
    let folder = '';
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'typetun-bench-'));
    });
    after(() => rmSync(folder, { recursive: true }));

    it('writes what it measured as JSON, and prints it', async () => {
      const json = join(folder, 'deep/results.json');
      const only = 'tcp,ping,start,replay';
      const words = ['--quick', '--only', only, '--with', `typetun,${OTHER},ceiling`, '--rounds', '1', '--no-build'];
      const job = new Job([process.execPath, BENCH, ...words, '--json', json]);
      assert.deepEqual(await job.end(200_000), { code: 0, signal: null }, job.output);
      const {
        format,
        groups,
        missing: unmeasured,
        machine,
        command,
      } = JSON.parse(readFileSync(json, 'utf8')) as Results;
      assert.deepEqual([format, unmeasured], [1, []]);
      assert.ok(command.startsWith('npm run bench -- --quick') && machine.processors > 0);
      assert.deepEqual(
        groups.map(({ id }) => id),
        ['throughput', 'latency', 'resources', 'replay'],
      );
      for (const { columns, figures } of groups.slice(0, 2)) {
        assert.ok(columns.some(({ id }) => id === OTHER) && figures.length >= 5);
        for (const { id, values } of figures) {
          assert.ok(values['typetun']?.length === 1 && values[OTHER]?.length === 1, id);
          for (const [value] of Object.values(values)) assert.ok(typeof value === 'number' && value > 0, id);
        }
      }
      assert.ok(groups[0]!.figures[0]!.values['ceiling']?.[0]);
      assert.match(job.stdout, /TCP, 1 stream, 1 to 2, Gbit\/s/);
      assert.deepEqual(leftBy(job.child.pid), []);
    });

    it('ends everything that it started on Ctrl-C', async () => {
      const words = [
        '--only',
        'tcp',
        '--with',
        'typetun',
        '--seconds',
        '60',
        '--no-build',
        '--json',
        join(folder, 'x'),
      ];
      const job = new Job([process.execPath, BENCH, ...words]);
      await until('a tunnel to be measured', () => leftBy(job.child.pid).length === 4, 60_000);
      job.child.kill('SIGINT');
      assert.equal((await job.end(30_000)).code, 1);
      assert.deepEqual(leftBy(job.child.pid), []);
      assert.ok(!existsSync(join(folder, 'x')));
    });

    it('shows no growth in an hour of load', { skip: !FULL && 'part of test:full', timeout: 90 * 60_000 }, async () => {
      const json = join(folder, 'soak.json');
      const job = new Job([process.execPath, BENCH, '--soak', '60', '--json', json]);
      assert.deepEqual(await job.end(85 * 60_000), { code: 0, signal: null }, job.output);
      const { groups } = JSON.parse(readFileSync(json, 'utf8')) as Results;
      const growth = groups[0]?.figures.find(({ id }) => id === 'soak-growth')?.values['typetun']?.[0];
      assert.ok(typeof growth === 'number' && growth < 5, `${growth} %\n${job.output}`);
    });

    it('says what is wrong with its words, and fails', async () => {
      const job = new Job([process.execPath, BENCH, '--only', 'everything']);
      assert.equal((await job.end(20_000)).code, 1);
      assert.match(job.stderr, /"everything" is none of/);
    });
  });
});
