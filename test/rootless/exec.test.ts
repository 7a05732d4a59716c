/** `typetun exec` as an ordinary user, through a tunnel to wireguard-go: world.ts draws it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { FULL } from '../netns/environment.js';
import { Job, missing, until } from '../netns/harness.js';
import { isAlive, mark, parentOf, processes, theSleep } from './processes.js';
import { contentOf, Ports } from './server.js';
import { asUser, INSIDE, noUser, UID } from './user.js';
import { OUTSIDE, type RunOptions, SERVER, World } from './world.js';

const MB = 1_000_000;
const TIMEOUT_MS = FULL ? 1_800_000 : 240_000;
const skip = noUser(['curl', 'getent', 'ncat']) || missing([], ['wireguard-go']);

let world: World;
before(async () => {
  if (!skip) world = await World.make();
});
after(() => world?.close());

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
    await world.server.prints(`query ${name}`);
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
    const sleeper = await theSleep(seconds);
    const helper = parentOf(sleeper);
    process.kill(helper, 'SIGSTOP');
    job.child.kill('SIGKILL');
    await job.exited;
    await until('everything to end', () => !isAlive(helper) && !isAlive(sleeper));
  });
});

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
  it('a name that is not UTF-8', () =>
    refused({ config: '/caf\ufffd.conf' }, /cannot be read \(the name of a configuration has to be UTF-8\)/));
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
    const sleeper = await theSleep(seconds);
    const caps = (pid: number): string | undefined =>
      /^CapEff:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    assert.equal(caps(parentOf(sleeper)), '0000000000000420', 'the helper has CAP_KILL and CAP_NET_BIND_SERVICE');
    assert.equal(caps(sleeper), caps(process.pid));
    job.child.kill('SIGTERM');
    assert.equal((await job.end(20_000)).code, 143);
    assert.deepEqual(processes(`sleep\0${seconds}`), []);
  });

  it('as root that has less than root usually has', async () => {
    const prepare = 'exec setpriv --bounding-set=-kill,-net_bind_service --inh-caps=-all "$@"';
    const config = world.writeConfig({ owner: 0 });
    const { code, stdout, stderr } = await world.sh(`ping -n -q -c 1 ${SERVER[0]} >/dev/null; echo $?`, {
      root: true,
      prepare,
      config,
    });
    assert.deepEqual([code, stdout, stderr], [0, '0\n', '']);
  });
});
