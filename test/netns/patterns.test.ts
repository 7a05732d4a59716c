/**
 * The three patterns of WireGuard's page on routing and network namespaces, as examples/ has them: each script is run
 * as it is, with a command that waits, while its namespaces are examined and used from outside.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asUser, INSIDE, noUser } from '../rootless/user.js';
import { commandOf, type Implementation, Job, type Lab, missing, withLab, withNamespaces } from './harness.js';

const EXAMPLES = fileURLToPath(new URL('../../../examples', import.meta.url));
const TIMEOUT_MS = 90_000;
const INTERNET = ['198.51.100.7', '2001:db8:7::7'] as const;

interface Stage {
  readonly lab: Lab;
  readonly wg: string;
  readonly farWg: string;
  /** Runs a script in one of the example's namespaces. */
  in(ns: string, script: string): Promise<string>;
}

interface Pattern {
  readonly script: string;
  /** Where the cleartext is, and where the UDP socket. */
  readonly inside: string;
  readonly outside: string;
  readonly check: (stage: Stage) => Promise<void>;
}

const onlyTunnel = async ({ wg, in: inside }: Stage, ns: string): Promise<void> => {
  const links = (await inside(ns, 'ip -oneline link')).split('\n').map((line) => line.split(': ')[1]);
  assert.deepEqual(links, ['lo', wg], 'no interface but the tunnel');
};

const PATTERNS: readonly Pattern[] = [
  {
    script: 'container.sh',
    inside: 'container',
    outside: 'host',
    check: (stage) => onlyTunnel(stage, 'container'),
  },
  {
    script: 'physical.sh',
    inside: 'main',
    outside: 'physical',
    check: async (stage) => {
      await onlyTunnel(stage, 'main');
      // What has to see the real network is run beside it.
      await stage.in('physical', 'ping -n -q -c 1 -W 5 192.0.2.1');
    },
  },
  {
    script: 'rules.sh',
    inside: 'main',
    outside: 'main',
    check: async ({ wg, in: inside }) => {
      for (const host of INTERNET)
        assert.match(await inside('main', `ip route get ${host}`), new RegExp(` dev ${wg} `));
      for (const host of ['192.0.2.1', '2001:db8::1']) {
        assert.match(await inside('main', `ip route get ${host} mark 51820`), / dev eth0 /);
        assert.match(await inside('main', `ip route get ${host}`), / dev eth0 /, 'the local network is left to itself');
      }
      assert.match(await inside('main', `ip route get ${INTERNET[0]} mark 51820`), / dev eth0 /);
    },
  },
];

withNamespaces(import.meta.filename, () => {
  for (const far of ['typetun', 'wireguard-go'] as const) {
    describe(`patterns with ${far} at the far end`, { skip: missing(['ncat', 'ss', 'sha256sum'], [far]) }, () => {
      for (const pattern of PATTERNS) {
        it(`examples/${pattern.script}`, { timeout: TIMEOUT_MS }, () => withLab((lab) => play(lab, pattern, far)));
      }
    });
  }

  it('examples/container.sh shows its point by itself', { timeout: TIMEOUT_MS, skip: missing([]) }, async () => {
    const job = new Job(['bash', join(EXAMPLES, 'container.sh')], environment('typetun'));
    await showsItsPoint(job);
    assertGone(job);
  });

  describe('patterns by an ordinary user, in a user namespace', { skip: noUser() }, () => {
    for (const { script } of PATTERNS) {
      it(`examples/${script}`, { timeout: TIMEOUT_MS }, async () => {
        // As examples/README.md says. What is in these namespaces ends with them.
        const path = join(INSIDE.typetun, '../../examples', script);
        const inside = `mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/wireguard && exec bash ${path}`;
        const unshare = ['unshare', '--user', '--map-root-user', '--net', '--mount', '--pid', '--fork', '--kill-child'];
        const job = new Job([...asUser(), ...unshare, 'sh', '-ec', inside], {
          TYPETUN: `${INSIDE.node} ${INSIDE.typetun}`,
        });
        await showsItsPoint(job);
      });
    }
  });
});

/** Both of an example's pings were answered, and it says how much went through the tunnel. */
async function showsItsPoint(job: Job): Promise<void> {
  const { code } = await job.end(TIMEOUT_MS);
  assert.equal(code, 0, job.output);
  assert.equal(job.stdout.match(/packets transmitted, 3 received/g)?.length, 2, job.output);
  assert.match(job.stdout, /\t[1-9]\d*\t[1-9]\d*\n$/);
}

function environment(far: Implementation): NodeJS.ProcessEnv {
  const words = (implementation: Implementation): string => commandOf(implementation)?.join(' ') ?? '';
  return { TYPETUN: words('typetun'), FAR_PROGRAM: words(far) };
}

async function play(lab: Lab, { script, inside, outside, check }: Pattern, far: Implementation): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-patterns-'));
  const done = join(directory, 'done');
  const wait = `echo READY; until [ -e ${done} ]; do sleep 0.05; done`;
  const job = new Job(['bash', join(EXAMPLES, script), 'sh', '-c', wait], environment(far));
  const pid = job.child.pid;
  const stage: Stage = {
    lab,
    wg: `wg${pid}`,
    farWg: `wgf${pid}`,
    in: (ns, command) =>
      lab.sh(`ip netns exec ttex-${pid}-${ns} bash -e -o pipefail -c "$SCRIPT"`, { env: { SCRIPT: command } }),
  };
  try {
    await job.prints(/^READY$/m);
    await checkTraffic(stage, inside, directory);
    await checkSocket(stage, inside, outside);
    await check(stage);
    writeFileSync(done, '');
    const { code } = await job.end(TIMEOUT_MS);
    assert.equal(code, 0, job.output);
    assertGone(job);
  } finally {
    // Its trap cleans up, whatever failed here.
    writeFileSync(done, '');
    await job.terminate(20_000);
    rmSync(directory, { recursive: true });
  }
}

/** Pings both ways and a megabyte of TCP, all of it through the tunnel: the far end's counters tell. */
async function checkTraffic({ lab, farWg, in: inNs }: Stage, inside: string, directory: string): Promise<void> {
  const received = async (): Promise<number> => Number((await lab.wg(`show ${farWg} transfer`)).split('\t')[1]);
  for (const host of INTERNET) await inNs(inside, `ping -n -q -c 20 -i 0.02 -w 10 ${host}`);
  await inNs('far', 'ping -n -q -c 5 -i 0.02 -w 10 10.9.0.2');
  await inNs('far', 'ping -n -q -c 5 -i 0.02 -w 10 fd09::2');
  const before = await received();
  for (const host of INTERNET) {
    const [sent, got] = [join(directory, 'sent'), join(directory, 'got')];
    await lab.sh(`head -c 1048576 /dev/urandom > ${sent}`);
    const receiving = inNs('far', `exec timeout 30 ncat --recv-only --listen ${host} 7777 > ${got}`);
    receiving.catch(() => {});
    await inNs('far', 'until ss -Hltn "sport = :7777" | grep -q .; do sleep 0.05; done');
    await inNs(inside, `ncat --send-only ${host} 7777 < ${sent}`);
    await receiving;
    await lab.sh(`cmp ${sent} ${got}`);
  }
  assert.ok((await received()) - before > 2 << 20, 'it went through the tunnel');
}

/** The socket is where the device was made, and there alone. */
async function checkSocket({ lab, wg, in: inNs }: Stage, inside: string, outside: string): Promise<void> {
  const port = await lab.wg(`show ${wg} listen-port`);
  const sockets = (ns: string): Promise<string> => inNs(ns, `ss -Huln "sport = :${port}"`);
  assert.equal((await sockets(outside)).split('\n').length, 2, 'one socket of each family');
  if (inside !== outside) assert.equal(await sockets(inside), '');
}

function assertGone(job: Job): void {
  const { pid } = job.child;
  const names = ['far', 'host', 'container', 'main', 'physical'].map((ns) => `/run/netns/ttex-${pid}-${ns}`);
  const sockets = ['wg', 'wgf'].map((name) => `/var/run/wireguard/${name}${pid}.sock`);
  assert.deepEqual([...names, ...sockets].filter(existsSync), [], 'left behind');
}
