/** `typetun exec` as an ordinary user, through a tunnel to wireguard-go: world.ts draws it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { FULL } from '../netns/environment.js';
import { Job, missing, until } from '../netns/harness.js';
import { contentOf, Ports } from './server.js';
import { asUser, INSIDE, noUser, UID } from './user.js';
import { OUTSIDE, type RunOptions, SERVER, World } from './world.js';

const MB = 1_000_000;
const TIMEOUT_MS = 120_000;
const skip = noUser(['curl', 'script', 'getent', 'ncat', 'ps']) || missing([], ['wireguard-go']);

let world: World;
before(async () => {
  if (!skip) world = await World.make();
});
after(() => world?.close());

/** Processes of this machine whose command line holds all words. */
function processes(...words: readonly string[]): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0)) return false;
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return words.every((word) => line.includes(word));
      } catch {
        return false;
      }
    });
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

let marks = 0;
/** A number of seconds to sleep that no other process has. */
function mark(): string {
  return `6${process.pid}.${marks++}`;
}

describe('typetun exec: the command is as if it had been run without', { skip, timeout: TIMEOUT_MS }, () => {
  it("identity, working directory, environment, limits and groups are the caller's", async () => {
    const env = { EMPTY: '', WORDS: 'two words', NODE_OPTIONS: '--no-warnings' };
    const script =
      'id -u; id -g; pwd; printenv EMPTY WORDS NODE_OPTIONS HOME; ulimit -c; ulimit -n; echo $NODE_CHANNEL_FD';
    const { stdout } = await world.sh(script, { env });
    const [plain = ''] = [(await runPlainly(script, env)).stdout];
    assert.equal(stdout, plain);
    assert.match(stdout, new RegExp(`^${UID}\n${UID}\n`));
  });

  it('it has the descriptors that the caller left it, and no other', async () => {
    const script = 'ls /proc/self/fd | tr "\\n" " "';
    // What typetun inherits beyond the three streams stays with typetun.
    const plain = new Set((await runPlainly(script, {})).stdout.split(' '));
    const { stdout } = await world.sh(script);
    assert.deepEqual(
      stdout.split(' ').filter((fd) => !plain.has(fd)),
      [],
    );
  });

  it('standard input, output and error are its own', async () => {
    const { stdout, stderr, code } = await world.sh('cat; echo wrong >&2', { input: 'some\0bytes\n' });
    assert.deepEqual([stdout, stderr, code], ['some\0bytes\n', 'wrong\n', 0]);
  });

  it('whoever waits for the end of its output waits for the command alone', async () => {
    const job = world.start([world.config, '--', 'sh', '-c', 'echo out; exec >&- 2>&-; sleep 600']);
    await new Promise<void>((resolve) => job.child.stdout?.once('end', resolve));
    assert.equal(job.stdout, 'out\n');
    job.killNow();
    await job.exited;
  });

  const statuses: readonly (readonly [what: string, command: readonly string[], status: number])[] = [
    ['0', ['true'], 0],
    ['its own', ['sh', '-c', 'exit 9'], 9],
    ['255', ['sh', '-c', 'exit 255'], 255],
    ['128 + SIGTERM', ['sh', '-c', 'kill -TERM $$'], 143],
    ['128 + SIGKILL', ['sh', '-c', 'kill -KILL $$'], 137],
    ['127 without such a command', ['no-such-command'], 127],
    ['127 without such a file', ['./no/such/file'], 127],
    ['126 for a file that cannot be run', ['/etc/hosts'], 126],
    ['126 for a directory', ['/etc'], 126],
  ];
  for (const [what, command, status] of statuses) {
    it(`exit status: ${what}`, async () => {
      assert.equal((await world.exec(command)).code, status);
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const) {
    it(`${signal} to typetun alone reaches the command once`, async () => {
      const name = signal.slice(3);
      const script = `trap 'echo got' ${name}; echo ready; for i in $(seq 50); do sleep 0.02; done`;
      const job = world.start([world.config, '--', 'sh', '-c', script]);
      await job.prints('ready');
      job.child.kill(signal);
      assert.equal((await job.end(20_000)).code, 0);
      assert.equal(job.stdout, 'ready\ngot\n');
    });
  }

  it('its background processes end with it', async () => {
    const seconds = mark();
    const { code } = await world.sh(`sleep ${seconds} & setsid sleep ${seconds} & sleep 0.1; exit 3`);
    assert.equal(code, 3);
    assert.deepEqual(processes(`sleep\0${seconds}`), []);
  });
});

/** Runs a script as the user, without typetun. */
async function runPlainly(script: string, env: NodeJS.ProcessEnv): Promise<Job> {
  const job = new Job([...asUser({ netns: world.lab.ns('c') }), 'sh', '-c', script], env);
  await job.end(20_000);
  return job;
}

describe('typetun exec: a terminal', { skip, timeout: TIMEOUT_MS }, () => {
  /** Types at a shell in a terminal of 33 rows and 99 columns. */
  async function atTerminal(type: (shell: Job, typetun: string) => Promise<void>): Promise<string> {
    const words = [
      ...asUser({ netns: world.lab.ns('c') }),
      'script',
      '-qec',
      'bash --norc --noprofile -i',
      '/dev/null',
    ];
    const shell = new Job(words, { PS1: '$ ', TERM: 'dumb' }, null);
    const typetun = `${INSIDE.node} ${INSIDE.typetun} exec ${world.config} --`;
    try {
      shell.child.stdin?.write('stty rows 33 cols 99; bind "set enable-bracketed-paste off"; echo sta""rted\n');
      await shell.prints('started');
      await type(shell, typetun);
      shell.child.stdin?.write('exit\n');
      await shell.end(20_000);
    } finally {
      shell.killNow();
    }
    return shell.output;
  }

  it('Ctrl-Z stops the command and the shell goes on; fg continues it; Ctrl-C ends it with 130', async () => {
    await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      stdin?.write(`${typetun} sh -c 'stty size; exec cat'\n`);
      await shell.prints('33 99');
      stdin?.write('line one\n');
      await shell.prints(/line one[\s\S]*line one/);
      stdin?.write('\x1a');
      await shell.prints('Stopped');
      stdin?.write('echo shell is al""ive\n');
      await shell.prints('shell is alive');
      stdin?.write('fg\n');
      await shell.prints(/[$] fg[\s\S]*exec cat'/);
      stdin?.write('line two\n');
      await shell.prints(/line two[\s\S]*line two/);
      stdin?.write('\x03');
      // What is typed before the shell has the terminal again is thrown away.
      await shell.prints(/\^C[\s\S]*[$] $/);
      stdin?.write('echo status=$?\n');
      await shell.prints('status=130');
    });
  });

  it('a shell inside has job control; settings of the terminal stay as the command left them', async () => {
    await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      stdin?.write(`PS1='inner> ' ${typetun} bash --norc --noprofile -i\n`);
      await shell.prints('inner> ');
      stdin?.write('sleep 600\n');
      await until('sleep to run', () => processes('sleep\x00600').length > 0);
      stdin?.write('\x1a');
      await shell.prints(/Stopped\s+sleep 600/);
      stdin?.write('kill %1; stty -tostop -echoctl; exit 5\n');
      await shell.prints(/exit 5[\s\S]*[$] $/);
      stdin?.write('echo status=$?; stty -a | grep -o .echoctl\n');
      await shell.prints('status=5');
      await shell.prints(/^-echoctl/m);
    });
  });

  it("the terminal is the shell's again after a command that took it", async () => {
    await atTerminal(async (shell, typetun) => {
      const { stdin } = shell.child;
      stdin?.write(`sh -c '${typetun} bash --norc -ic "exit 6"; echo first=$?; read line; echo "second=$line"'\n`);
      await shell.prints('first=6');
      stdin?.write('typed\n');
      await shell.prints('second=typed');
    });
  });
});

describe('typetun exec: the tunnel', { skip, timeout: TIMEOUT_MS }, () => {
  const bytes = FULL ? 10 * MB : 1 * MB;

  it(`100 parallel downloads of ${bytes / MB} MB by curl, over IPv4 and IPv6, are whole`, async () => {
    const downloads = [
      `http://${SERVER[0]}:${Ports.http}/[1-50]/${bytes}`,
      `http://[${SERVER[1]}]:${Ports.http}/[51-100]/${bytes}`,
    ];
    const outputs = downloads.flatMap((url) => [url, '-o', 'download-#1']);
    const { code } = await world.exec(['curl', '-sS', '-Z', '--parallel-max', '100', ...outputs], {
      prepare: `cd ${world.directory}`,
    });
    assert.equal(code, 0);
    for (let seed = 1; seed <= 100; seed++) {
      const expected = createHash('sha256');
      for (const chunk of contentOf(seed, bytes)) expected.update(chunk);
      const got = createHash('sha256').update(readFileSync(`${world.directory}/download-${seed}`));
      assert.equal(got.digest('hex'), expected.digest('hex'), `download ${seed}`);
    }
  });

  it('ping, over IPv4 and IPv6', async () => {
    const { code, stdout } = await world.sh(`ping -n -c 1 ${SERVER[0]} && ping -n -c 1 ${SERVER[1]}`);
    assert.equal(code, 0, stdout);
  });

  it("Address, MTU, DNS and AllowedIPs are the file's", async () => {
    const config = world.writeConfig({ allowedIps: `${SERVER[0]}/32, fd66::/64`, lines: ['MTU = 1333'] });
    const { stdout } = await world.sh('ip -o address show wg0; cat /sys/class/net/wg0/mtu; ip route; ip -6 route', {
      config,
    });
    assert.match(stdout, /inet 10\.66\.0\.2\/32/);
    assert.match(stdout, /inet6 fd66::2\/128/);
    assert.match(stdout, /^1333$/m);
    assert.match(stdout, /^10\.66\.0\.1 dev wg0/m);
    assert.match(stdout, /^fd66::\/64 dev wg0/m);
    assert.doesNotMatch(stdout, /default/);
  });

  it('without MTU it is that of the way to the endpoint, less 80; without an endpoint that of the default route', async () => {
    const mtuOf = async (options: RunOptions): Promise<number> =>
      Number((await world.exec(['cat', '/sys/class/net/wg0/mtu'], options)).stdout);
    const { lab } = world;
    assert.equal(await mtuOf({}), 1420);
    assert.equal(await mtuOf({ config: world.writeConfig({ endpoint: '127.0.0.1:9' }) }), 65456);
    await lab.ip('c', `route add ${OUTSIDE.server}/32 dev veth0 mtu 1400`);
    await lab.ip('c', 'route add default dev veth0 mtu 1390');
    try {
      assert.equal(await mtuOf({}), 1320);
      assert.equal(await mtuOf({ config: world.writeConfig({ endpoint: '' }) }), 1310);
    } finally {
      await lab.ip('c', `route del ${OUTSIDE.server}/32`);
      await lab.ip('c', 'route del default');
    }
  });

  it('Table = off adds no routes', async () => {
    const config = world.writeConfig({ lines: ['Table = off'] });
    const { stdout } = await world.sh('ip route; ip -6 route show default', { config });
    assert.equal(stdout, '');
  });

  it('two at a time do not disturb each other', async () => {
    const config = world.writeConfig({ allowedIps: `${SERVER[0]}/32` });
    const results = await Promise.all([world.sh('ip route', { config }), world.sh('ip route')]);
    assert.deepEqual(
      results.map(({ stdout }) => stdout.includes('default')),
      [false, true],
    );
  });
});

describe('typetun exec: there is no other way out', { skip, timeout: TIMEOUT_MS }, () => {
  const SERVICES = ['systemd/resolve/io.systemd.Resolve', 'nscd/socket', 'dbus/system_bus_socket', `user/${UID}/bus`];
  /** Local services that would look names up, outside; they end with the shell that this becomes a part of. */
  const listen = `
mount -t tmpfs tmpfs /run; [ /var/run -ef /run ] || mount --bind /run /var/run
for service in ${SERVICES.join(' ')}; do
  mkdir -p /run/\${service%/*}
  chmod -R a+rwX /run
  setpriv --reuid=${UID} --pdeathsig KILL ncat -lkU /run/$service -e /bin/true </dev/null >/dev/null 2>&1 &
  while [ ! -S /run/$service ]; do sleep 0.02; done
done
export XDG_RUNTIME_DIR=/run/user/${UID}`;

  it('no interface but lo and the tunnel, and what AllowedIPs leaves out is unreachable', async () => {
    const config = world.writeConfig({ allowedIps: `${SERVER[0]}/32` });
    const script = `ip -o link | cut -d: -f2; ls /sys/class/net; for a in ${OUTSIDE.client} ${OUTSIDE.server} 192.0.2.1; do
      ping -n -c 1 -W 1 $a || echo no $a; done; curl -sS -m 3 http://${OUTSIDE.server}:51820/ || echo no curl`;
    const { stdout } = await world.sh(script, { config });
    assert.deepEqual(new Set(stdout.match(/^ ?(lo|wg0|veth0)$/gm)?.map((line) => line.trim())), new Set(['lo', 'wg0']));
    assert.equal(stdout.match(/^no /gm)?.length, 4, stdout);
  });

  it("names are asked of the tunnel's server, and of nobody outside", async () => {
    const name = `inside-${process.pid}.example`;
    const { stdout, code } = await world.sh(`getent ahostsv4 ${name}; cat /etc/resolv.conf`);
    assert.equal(code, 0);
    assert.match(stdout, /^203\.0\.113\.7 /m);
    assert.ok(world.server.stdout.includes(`query ${name}`));
  });

  it('resolved, nscd and both D-Bus sockets, which answer outside, are not to be seen inside', async () => {
    const program = `for (const name of ${JSON.stringify(SERVICES)}) require('node:net').connect('/run/' + name)
      .on('connect', function () { console.log('reached', name); this.destroy(); }).on('error', () => {})`;
    const call = `${INSIDE.node} -e "$PROGRAM"`;
    const plain = new Job([...asUser({ netns: world.lab.ns('c'), prepare: listen }), 'sh', '-c', call], {
      PROGRAM: program,
    });
    await plain.end(20_000);
    assert.equal(plain.stdout.match(/^reached/gm)?.length, SERVICES.length, `outside: ${plain.output}`);
    const { stdout } = await world.sh(
      `${call}\nls -lR /run/nscd /run/dbus /run/systemd/resolve\ngetent hosts a.example`,
      {
        prepare: listen,
      },
    );
    assert.doesNotMatch(stdout, /reached/);
    assert.doesNotMatch(stdout, /^s/m, 'no socket is listed');
    assert.match(stdout, /^203\.0\.113\.7/m);
  });

  it('a command cannot change its network, nor enter the one outside', async () => {
    const script = `ip link add x type dummy; ip route del default; nsenter --net=/proc/${process.pid}/ns/net true
      ls /proc/${process.pid} ; unshare --net true; ip netns add x; mount -t tmpfs x /mnt; kill -9 1; sleep 0.1; id -u`;
    const { stdout, stderr } = await world.sh(script);
    assert.equal(stdout.trim(), `${UID}`);
    assert.equal(stderr.match(/not permitted|No such file|must be superuser/g)?.length, 7, stderr);
  });
});

describe('typetun exec: whatever dies, nothing stays', { skip, timeout: TIMEOUT_MS }, () => {
  /** typetun's own process, then down to the command. */
  const KILLED = ['typetun', 'unshare', 'the helper', 'the command'] as const;

  for (const [index, victim] of KILLED.entries()) {
    it(`SIGKILL for ${victim}`, async () => {
      const seconds = mark();
      const script = `setsid sleep ${seconds} & sleep ${seconds} & sleep ${seconds}; :`;
      const job = world.start([world.config, '--', 'sh', '-c', script]);
      await until('three sleeps', () => processes(`sleep\0${seconds}`).length === 3);
      const command = processes('sh\0-c\0setsid', seconds, '-c').find(
        (pid) => !processes('exec', seconds).includes(pid),
      )!;
      const chain = [command];
      while (chain[0] !== job.child.pid) chain.unshift(parentOf(chain[0]!));
      assert.equal(chain.length, KILLED.length, 'typetun, unshare, helper, command');
      process.kill(chain[index]!, 'SIGKILL');
      const { code, signal } = await job.end(20_000);
      await until('everything to end', () => processes(seconds).length === 0 && chain.every((pid) => !isAlive(pid)));
      if (victim === 'typetun') assert.equal(signal, 'SIGKILL');
      else assert.equal(code, 137, 'the command was killed');
    });
  }

  it('SIGKILL for typetun while the helper is stopped', async () => {
    const seconds = mark();
    const job = world.start([world.config, '--', 'sleep', seconds]);
    const sleepers = (): number[] =>
      processes(`sleep\0${seconds}`).filter((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1').trim() === 'sleep');
    await until('sleep', () => sleepers().length > 0);
    const sleeper = sleepers()[0]!;
    const helper = parentOf(sleeper);
    process.kill(helper, 'SIGSTOP');
    job.child.kill('SIGKILL');
    await job.exited;
    await until('everything to end', () => !isAlive(helper) && !isAlive(sleeper));
  });
});

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

describe('typetun exec: what it cannot do, it says in one line', { skip, timeout: TIMEOUT_MS }, () => {
  async function refused(options: Parameters<World['exec']>[1], pattern: RegExp): Promise<void> {
    const { code, stdout, stderr } = await world.exec(['echo', 'ran'], options);
    assert.deepEqual([code, stdout], [125, ''], stderr);
    assert.match(stderr, pattern);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  }

  it('hooks', () =>
    refused({ config: world.writeConfig({ lines: ['PostUp = touch hook'] }) }, /line 5: PostUp is a hook/));
  it('a wrong line', () =>
    refused({ config: world.writeConfig({ lines: ['Adress = 1'] }) }, /line 5: Line unrecognized/));
  it('no such file', () => refused({ config: '/no/such/file' }, /\/no\/such\/file cannot be read \(ENOENT\)/));
  it('a directory', () => refused({ config: '/etc' }, /\/etc cannot be read \(EISDIR\)/));
  it('no such name', () => refused({ config: 'nowhere' }, /\/etc\/wireguard\/nowhere\.conf cannot be read/));
  it('an endpoint that has no address', () =>
    refused(
      { config: world.writeConfig({ endpoint: 'no-such-host.invalid:1' }) },
      /line 8: .*no-such-host\.invalid:1/,
    ));
  it('a port that is taken', async () => {
    const config = world.writeConfig({ lines: ['ListenPort = 40000'] });
    const job = world.start([config, '--', 'sh', '-c', 'echo up; exec sleep 60']);
    await job.prints('up');
    await refused({ config }, /UDP port 40000 is in use/);
    job.child.kill('SIGTERM');
    assert.equal((await job.end(20_000)).code, 143);
  });
  it('a TUN that is closed to the user', () =>
    refused({ prepare: 'chmod 600 /dev/net/tun' }, /\/dev\/net\/tun is closed to this user \(EACCES\): .*chmod 0666/));
  it('no TUN at all', () =>
    refused({ prepare: 'mount -t tmpfs tmpfs /dev/net' }, /there is no \/dev\/net\/tun: .*modprobe tun/));
  it('user namespaces that are switched off', () =>
    refused(
      // The limit is one of each user namespace: in one of its own it can be 0 without touching the machine.
      {
        root: true,
        config: world.writeConfig({ owner: 0 }),
        prepare: `
exec unshare --user --map-root-user sh -c '
echo 0 > /proc/sys/user/max_user_namespaces
exec setpriv --bounding-set=-all --inh-caps=-all "$@"' sh "$@"`,
      },
      /user namespaces are switched off here \(user\.max_user_namespaces is 0\): .*"sysctl user\.max_user_namespaces=15000"/,
    ));
});

describe('typetun exec: what it does differently, it says', { skip, timeout: TIMEOUT_MS }, () => {
  it('FwMark without the right to set it; a file that others can read', async () => {
    const config = world.writeConfig({ lines: ['FwMark = 0x1234'], mode: 0o644 });
    const { code, stdout, stderr } = await world.sh(`ping -n -q -c 1 ${SERVER[0]} >/dev/null; echo $?`, { config });
    assert.deepEqual([code, stdout], [0, '0\n']);
    assert.match(stderr, /FwMark 0x1234 needs CAP_NET_ADMIN, and is left out/);
    assert.match(stderr, /is world accessible/);
  });

  it('as root: the command is root, the mark is set, and typetun itself keeps two capabilities', async () => {
    const config = world.writeConfig({ lines: ['FwMark = 0x1234'] });
    const seconds = mark();
    const job = world.start(
      [config, '--', 'sh', '-c', `id -u; ping -n -q -c 1 ${SERVER[0]} >/dev/null && echo up; exec sleep ${seconds}`],
      {
        root: true,
      },
    );
    await job.prints(/^0\nup\n/);
    assert.equal(job.stderr, '');
    const status = readFileSync(`/proc/${job.child.pid}/status`, 'latin1');
    assert.match(status, /^CapEff:\s*0000000000001400$/m, 'CAP_NET_BIND_SERVICE and CAP_NET_ADMIN');
    job.child.kill('SIGTERM');
    assert.equal((await job.end(20_000)).code, 143);
    assert.deepEqual(processes(`sleep\0${seconds}`), []);
  });
});
