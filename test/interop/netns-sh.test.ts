/**
 * The network test that wireguard-go's source ships (tests/netns.sh in its Go module), with typetun as the program.
 *
 * The script is not ours and not in this repository: a copy is made from the Go module cache and repaired for the
 * time of the test. It runs whole in every tier; outside the full one each of its 16 transfers is shorter.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { commandOf, FULL, missing, which, withNamespaces } from '../netns/environment.js';
import { Job } from '../netns/job.js';

const TIMEOUT_MS = (FULL ? 40 : 8) * 60_000;
const MODULE = 'golang.zx2c4.com';
const TOOLS = ['iperf3', 'ncat', 'iptables', 'ss', 'unshare', 'bash'] as const;
/** What it prints when everything held. */
const LAST_WORDS = 'Objects that were created were also destroyed.';

interface Repair {
  readonly why: string;
  readonly from: RegExp;
  readonly to: string;
}

const REPAIRS: readonly Repair[] = [
  {
    why: "bash 5's read -N 0 returns at once, so that nothing waits",
    from: /^sleep\(\) \{.*$/m,
    to: 'sleep() { command sleep "$1"; }',
  },
  { why: 'the same, in a loop that then never rests', from: /read -t \.1 -N 0 \|\| true;/, to: 'sleep .1;' },
  {
    why: "a sysctl of the whole machine, for the kernel module's messages: not ours to change",
    from: /^.*message_cost.*\n/gm,
    to: '',
  },
  {
    why: "the kernel module's messages again, where reading them is not permitted in a container",
    from: /done < \/dev\/kmsg$/m,
    to: 'done < <(command sleep 1)',
  },
  ...(FULL ? [] : [{ why: 'less time', from: /-n 1G /g, to: '-n 192M ' }]),
];

/** The newest copy of the script in Go's module cache. */
function script(): string | undefined {
  const caches = [process.env['GOMODCACHE'], join(process.env['GOPATH'] ?? join(homedir(), 'go'), 'pkg/mod')];
  const go = which('go');
  if (go !== undefined) caches.push(execFileSync(go, ['env', 'GOMODCACHE'], { encoding: 'utf8' }).trim());
  for (const cache of caches) {
    if (cache === undefined || !existsSync(join(cache, MODULE))) continue;
    const versions = readdirSync(join(cache, MODULE)).filter((name) => name.startsWith('wireguard@'));
    const path = join(cache, MODULE, versions.sort().at(-1) ?? '', 'tests/netns.sh');
    if (existsSync(path)) return path;
  }
  return undefined;
}

/** Each device that the script starts was typetun's, and each part of the script was gone through. */
function assertWhole(text: string, output: string): void {
  const count = (string: string, pattern: RegExp): number => string.match(pattern)?.length ?? 0;
  // Said by typetun and nobody else; the script sets LOG_LEVEL=verbose.
  assert.equal(count(output, /AEAD back end: /g), count(text, /^n\d \$program wg\d$/gm), 'devices of typetun');
  // Four kinds of traffic, over both families and at two MTUs.
  assert.equal(count(output, /\+\] NS\d: iperf3 -Z /g), 16, 'transfers');
  // What the script asks for in the order in which it does, by its own words: roaming, NAT, sticky sources, big peers.
  const questions = /^\[\[ \$\((n\d wg show wg\d endpoints)\) ==/gm;
  assert.equal(count(output, /\+\] NS\d: wg show wg\d endpoints/g), count(text, questions), 'endpoints asked for');
  assert.equal(count(output, /wg show (wg0 allowed-ips|doesnotexist)/g), 3, 'configurations that are big or missing');
}

/** Its sockets have fixed names, so it gets a /run of its own, and a PID namespace so that nothing outlives it. */
const PRIVATE_RUN = `
mount -t tmpfs tmpfs /run
[ /var/run -ef /run ] || mount -t tmpfs tmpfs /var/run
mkdir -p /run/netns /run/wireguard
exec "$@"`;
const UNSHARE = [
  'unshare',
  '--mount',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
  'sh',
  '-ec',
  PRIVATE_RUN,
  'sh',
];

withNamespaces(import.meta.filename, () => {
  const path = script();
  const absent = path === undefined ? "wireguard-go's source is not in the Go module cache" : false;
  describe("wireguard-go's netns.sh", { skip: missing([...TOOLS]) || absent }, () => {
    it('passes with typetun', { timeout: TIMEOUT_MS + 10_000 }, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'typetun-netns-sh-'));
      try {
        let text = readFileSync(path ?? '', 'utf8');
        for (const { why, from, to } of REPAIRS) {
          assert.match(text, from, `the script is not the one that was repaired: ${why}`);
          text = text.replace(from, to);
        }
        const copy = join(directory, 'netns.sh');
        writeFileSync(copy, text);
        const job = new Job([...UNSHARE, 'bash', copy, commandOf('typetun')?.join(' ') ?? '']);
        const { code } = await job.end(TIMEOUT_MS);
        // What went wrong is at the end, in front of the cleaning up.
        assert.equal(code, 0, job.output.slice(-8000));
        assert.ok(job.output.includes(LAST_WORDS), job.output.slice(-8000));
        assertWhole(text, job.output);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  });
});
