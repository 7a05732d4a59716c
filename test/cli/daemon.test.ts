import assert from 'node:assert/strict';
import type { StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, type TestOptions, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withNetns } from '../../src/linux/netns.js';
import { TunDevice } from '../../src/linux/tun.js';
import { Client } from '../uapi/helpers.js';
import { descriptorTarget, Place, type Result, type Running, TYPETUN, until, whyNot } from './daemons.js';

const reason = whyNot();
const options: TestOptions = { timeout: 60_000, ...(reason !== undefined && { skip: reason }) };

function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'typetun-cli-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function assertEnded(result: Result, code: number): void {
  assert.deepEqual({ code: result.code, signal: result.signal }, { code, signal: null }, result.stdout + result.stderr);
}

async function ask(path: string, text: string): Promise<string | undefined> {
  const client = new Client(path);
  const answer = await client.send(text).answer();
  client.close();
  return answer;
}

test('typetun returns when the device is there and its socket listens', options, async (t) => {
  const place = await Place.make(t);
  const result = await place.typetun().result;
  assertEnded(result, 0);
  assert.equal(result.stdout + result.stderr, '');
  assert.ok(await place.hasDevice());
  assert.match((await ask(place.socket, 'get=1\n\n'))!, /errno=0\n$/);
  const { stdout } = await place.start('wg', ['show', place.name, 'dump']).result;
  assert.match(stdout, /^\(none\)\t\(none\)\t\d+\toff\n$/);
  process.kill(place.daemon()!, 'SIGTERM');
  await place.allGone();
});

test('typetun in the background holds on to nothing of its caller', options, async (t) => {
  const place = await Place.make(t);
  const directory = temporaryDirectory(t);
  // The shell waits for the end of the output, not of the process.
  const script = `cd ${directory} && out=$(${TYPETUN} ${place.name} 2>&1); echo "code $? [$out]"`;
  const { stdout } = await place.start('bash', ['-c', script]).result;
  assert.equal(stdout, 'code 0 []\n');
  const pid = place.daemon()!;
  for (const fd of [0, 1, 2]) assert.equal(descriptorTarget(pid, fd), '/dev/null');
  assert.equal(readFileSync(`/proc/${pid}/limits`, 'utf8').match(/Max core file size\s+(\d+)\s+(\d+)/)?.[2], '0');
  const [, , , , , session] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/\(.*\)/, 'x')
    .split(' ');
  assert.equal(Number(session), pid);
  assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8').slice(0, 8), 'typetun ');
});

test('typetun starts from a working directory that was deleted', options, async (t) => {
  const place = await Place.make(t);
  const script = `cd ${temporaryDirectory(t)} && mkdir gone && cd gone && rmdir ../gone && exec ${TYPETUN} ${place.name}`;
  assertEnded(await place.start('bash', ['-c', script]).result, 0);
  assert.equal(readlinkSync(`/proc/${place.daemon()}/cwd`), '/');
});

test('typetun in the background logs where its caller does, if LOG_LEVEL is set', options, async (t) => {
  const place = await Place.make(t);
  const file = join(temporaryDirectory(t), 'log');
  const fd = openSync(file, 'w');
  const running = place.typetun([place.name], { LOG_LEVEL: 'verbose' }, { stdio: ['ignore', fd, fd] });
  closeSync(fd);
  assertEnded(await running.result, 0);
  process.kill(place.daemon()!, 'SIGUSR2');
  await until(() => readFileSync(file, 'utf8').includes('drops: '));
  process.kill(place.daemon()!, 'SIGINT');
  await place.allGone();
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  for (const line of lines) {
    assert.match(line, new RegExp(`^(DEBUG|INFO): \\(${place.name}\\) \\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d .+`));
  }
  assert.match(lines.at(-1)!, /Shutting down$/);
});

test('typetun keeps no output with LOG_LEVEL=silent', options, async (t) => {
  const place = await Place.make(t);
  const { stdout } = await place.typetun([place.name], { LOG_LEVEL: 'silent' }).result;
  assert.equal(stdout, '');
  assert.equal(descriptorTarget(place.daemon()!, 1), '/dev/null');
});

test('typetun in the foreground ends cleanly by SIGTERM and SIGINT', options, async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const place = await Place.make(t);
    const running = await place.foreground();
    const client = new Client(place.socket);
    assert.match((await client.send('get=1\n\n').answer())!, /errno=0\n$/);
    running.child.kill(signal);
    assertEnded(await running.result, 0);
    await client.hungUp();
    await place.allGone();
  }
});

test('typetun stays in the foreground with WG_PROCESS_FOREGROUND=1', options, async (t) => {
  const place = await Place.make(t);
  const running = place.typetun([place.name], { WG_PROCESS_FOREGROUND: '1' });
  await until(() => existsSync(place.socket));
  running.child.kill();
  assertEnded(await running.result, 0);
  await place.allGone();
});

test('typetun ends when its socket is removed', options, async (t) => {
  const place = await Place.make(t);
  const running = await place.foreground();
  rmSync(place.socket);
  assertEnded(await running.result, 0);
  await place.allGone();
});

test('typetun ends when its device is deleted, up or down', options, async (t) => {
  for (const state of ['down', 'up']) {
    const place = await Place.make(t);
    const running = await place.foreground();
    await place.ip('link', 'set', place.name, state);
    await place.ip('link', 'del', place.name);
    assertEnded(await running.result, 0);
    await place.allGone();
  }
});

test('typetun starts anew at once where its device was deleted', options, async (t) => {
  const place = await Place.make(t);
  const again = `ip link del ${place.name} && ${TYPETUN} ${place.name}`;
  assertEnded(await place.typetun().result, 0);
  for (let round = 0; round < 5; round++) assertEnded(await place.start('sh', ['-c', again]).result, 0);
  assert.match((await ask(place.socket, 'get=1\n\n'))!, /errno=0\n$/);
  await place.ip('link', 'del', place.name);
  await place.allGone();
});

test('typetun is not harmed by SIGHUP, SIGUSR1, SIGUSR2 and a closed output', options, async (t) => {
  const place = await Place.make(t);
  const running = await place.foreground({ LOG_LEVEL: 'verbose' });
  running.child.stdout!.destroy();
  running.child.stderr!.destroy();
  for (let round = 0; round < 5; round++) {
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) running.child.kill(signal);
    assert.equal(await ask(place.socket, 'set=1\nnonsense=1\n\n'), 'errno=-22\n');
    assert.equal(await ask(place.socket, `set=1\nlisten_port=0\nfwmark=${round}\n\n`), 'errno=0\n');
  }
  running.child.kill();
  assertEnded(await running.result, 0);
  await place.allGone();
});

test('typetun is not harmed by a signal that comes while it starts', options, async (t) => {
  const place = await Place.make(t);
  const running = place.typetun(['-f', place.name]);
  await until(() => place.daemon() !== undefined || running.child.exitCode !== null);
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.kill(place.daemon()!, signal);
  await until(() => existsSync(place.socket) || running.child.signalCode !== null);
  assert.match((await ask(place.socket, 'get=1\n\n'))!, /errno=0\n$/);
  running.child.kill();
  assertEnded(await running.result, 0);
});

test('typetun waits for nobody who does not read its log', options, async (t) => {
  const place = await Place.make(t);
  const running = await place.foreground({ LOG_LEVEL: 'verbose' });
  running.child.stdout!.pause();
  const client = new Client(place.socket);
  // About 100 bytes of log each: far more than pipe and buffer hold.
  for (let round = 0; round < 300; round++) {
    client.send('set=1\nnonsense=1\n\n'.repeat(100));
    for (let i = 0; i < 100; i++) assert.equal(await client.answer(), 'errno=-22\n');
  }
  client.close();
  running.child.kill();
  await until(() => !existsSync(place.socket));
  running.child.stdout!.resume();
  assertEnded(await running.result, 0);
});

test('typetun does not open the debugger of Node.js', options, async (t) => {
  const place = await Place.make(t);
  await place.foreground();
  process.kill(place.daemon()!, 'SIGUSR1');
  await sleep(500);
  const { stdout } = await place.start('ss', ['-Hltn']).result;
  assert.equal(stdout, '');
});

test('typetun replaces a stale socket, and refuses a live one', options, async (t) => {
  const place = await Place.make(t);
  const first = await place.foreground();
  const second = await place.typetun().result;
  assertEnded(second, 1);
  const inUse = 'is in use by a running daemon: end it, or choose another interface name';
  assert.equal(second.stderr, `typetun: ${place.socket} ${inUse}\n`);
  assert.match((await ask(place.socket, 'get=1\n\n'))!, /errno=0\n$/);
  process.kill(place.daemon()!, 'SIGKILL');
  await first.result;
  assert.ok(existsSync(place.socket));
  assertEnded(await place.typetun().result, 0);
  assert.match((await ask(place.socket, 'get=1\n\n'))!, /errno=0\n$/);
});

test('typetun ends with status 1 and no socket when the data worker crashes', options, async (t) => {
  const place = await Place.make(t);
  const hook = join(temporaryDirectory(t), 'crash.cjs');
  // In the worker, and there alone, the next message from the main thread is one too many.
  writeFileSync(
    hook,
    `const threads = require('node:worker_threads');
    if (!threads.isMainThread) {
      threads.receiveMessageOnPort = () => { throw new Error('crash of the test'); };
      require('node:module').syncBuiltinESMExports();
    }`,
  );
  const running = await place.foreground({ NODE_OPTIONS: `--require ${hook}` });
  await ask(place.socket, 'get=1\n\n');
  const result = await running.result;
  assertEnded(result, 1);
  assert.match(result.stdout, /^ERROR: .*The data worker failed: Error: crash of the test/m);
  await place.allGone();
});

test('typetun takes an open TUN device and a listening socket, in the background too', options, async (t) => {
  for (const flags of [['-f'], []]) {
    const place = await Place.make(t);
    const netns = openSync(`/run/netns/${place.namespace}`, 'r');
    const tun = withNetns(netns, () => TunDevice.create('tugiven'));
    closeSync(netns);
    const path = join(temporaryDirectory(t), 'given.sock');
    const server = createServer();
    server.listen(`${path}.first`);
    await once(server, 'listening');
    linkSync(`${path}.first`, path);
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const environment = { WG_TUN_FD: '3', WG_UAPI_FD: '4', LOG_LEVEL: 'verbose' };
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', tun.fd, fd];
    const running = place.typetun([...flags, place.name], environment, { stdio });
    await until(() => running.stdout.includes('UAPI listener started'));
    assert.match(running.stdout, /^DEBUG: \(tugiven\) /m);
    // From here on they are the daemon's alone.
    tun.close();
    server.close();
    assert.match((await ask(path, 'get=1\n\n'))!, /errno=0\n$/);
    process.kill(place.daemon()!, 'SIGTERM');
    assertEnded(await running.result, 0);
    await until(async () => !(await place.ip('-o', 'link')).includes('tugiven'));
  }
});

test('typetun refuses descriptors that are none', options, async (t) => {
  const place = await Place.make(t);
  for (const [environment, text] of [
    [{ WG_TUN_FD: 'x' }, 'WG_TUN_FD is not the number of a file descriptor'],
    [{ WG_UAPI_FD: '-1' }, 'WG_UAPI_FD is not the number of a file descriptor'],
    [{ WG_TUN_FD: '0' }, 'WG_TUN_FD is not an open TUN device without packet information (TUNGETIFF: ENOTTY)'],
  ] as const) {
    for (const flags of [['-f'], []]) {
      const result = await place.typetun([...flags, place.name], environment).result;
      assertEnded(result, 1);
      assert.equal(result.stderr, `typetun: ${text}\n`);
    }
  }
  assert.ok(!(await place.hasDevice()) && !existsSync(place.socket));
});

test('typetun says what is missing: rights, /dev/net/tun, a free name', options, async (t) => {
  const place = await Place.make(t);
  const nobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups --';
  // How the device is on this machine says nothing: each row has its own.
  const hidden = (script: string): string[] => ['--mount', 'sh', '-c', `mount -t tmpfs none /dev/net && ${script}`];
  const made = (mode: string, script: string): string[] =>
    hidden(`mknod -m ${mode} /dev/net/tun c 10 200 && ${script}`);
  const noTun = 'there is no /dev/net/tun: load the tun module ("modprobe tun"), or pass the device into the container';
  const rows: readonly [string, readonly string[], string][] = [
    [
      'unshare',
      made('0666', `exec ${nobody} ${TYPETUN} ${place.name}`),
      `no permission to make ${place.name}: run as root, or with CAP_NET_ADMIN ("--cap-add NET_ADMIN" for a container)`,
    ],
    ['unshare', hidden(`exec ${TYPETUN} ${place.name}`), noTun],
    [
      'unshare',
      made('0600', `exec ${nobody} ${TYPETUN} ${place.name}`),
      '/dev/net/tun cannot be opened (EACCES): run as root, or allow the device for this container',
    ],
    [
      'unshare',
      made('0666', `mount -o remount,nodev /dev/net && exec ${TYPETUN} ${place.name}`),
      '/dev/net/tun cannot be opened (EACCES): run as root, or allow the device for this container',
    ],
    [TYPETUN, ['lo'], 'the interface name lo is taken: choose another, or remove it ("ip link delete lo")'],
  ];
  for (const [command, args, text] of rows) {
    const result = await place.start(command, args).result;
    assertEnded(result, 1);
    assert.equal(result.stderr, `typetun: ${text}\n`);
    assert.equal(result.stdout, '');
  }
  assert.ok(!(await place.hasDevice()) && !existsSync(place.socket));
});

test('typetun refuses a TUN that another process holds', options, async (t) => {
  const place = await Place.make(t);
  await place.foreground();
  // With a socket of its own there is nothing else that could be in the way.
  const { stderr } = await place.typetun(['-f', place.name], { WG_UAPI_FD: '0' }).result;
  assert.match(stderr, /is taken: choose another/);
});

test('typetun makes nothing with a cipher back end that does not exist', options, async (t) => {
  const place = await Place.make(t);
  const result = await place.typetun([place.name], { TYPETUN_AEAD: 'rot13' }).result;
  assertEnded(result, 1);
  assert.match(result.stderr, /^typetun: TYPETUN_AEAD=rot13.*\n$/);
  assert.ok(!(await place.hasDevice()) && !existsSync(place.socket));
});

/** Another program on a UDP port, of IPv4 and of IPv6. */
async function holdPort(place: Place, port: number): Promise<Running> {
  const holder = place.start('ncat', ['-u', '-l', `${port}`]);
  await until(async () => (await place.start('ss', ['-Hlun']).result).stdout.includes(`:${port}`));
  return holder;
}

test('typetun whose port is taken says so once, and comes up with another one', options, async (t) => {
  const place = await Place.make(t);
  const running = await place.foreground({ LOG_LEVEL: 'verbose' });
  assert.equal(await ask(place.socket, 'set=1\nlisten_port=12346\n\n'), 'errno=0\n');
  const holder = await holdPort(place, 12346);
  await place.ip('link', 'set', place.name, 'up');
  const text = /ERROR: .* UDP port 12346 is in use: set another listen port, or free this one .*\n/g;
  await until(() => text.test(running.stdout));
  // A port that is taken as well changes nothing.
  assert.equal(await ask(place.socket, 'set=1\nlisten_port=12346\n\n'), 'errno=-98\n');
  assert.match((await ask(place.socket, 'get=1\n\n'))!, /^listen_port=12346$/m);
  // As any other event: it looks again, and has nothing new to say.
  await place.ip('link', 'set', place.name, 'mtu', '1300');
  await until(() => running.stdout.includes('MTU updated: 1300'));
  assert.equal(running.stdout.match(text)?.length, 1, running.stdout);
  assert.equal(await ask(place.socket, 'set=1\nlisten_port=12347\n\n'), 'errno=0\n');
  await until(() => running.stdout.includes('listening on port 12347'));
  // Or this one is free, and the interface set down and up. While it is down, any port can be set.
  await place.ip('link', 'set', place.name, 'down');
  assert.equal(await ask(place.socket, 'set=1\nlisten_port=12346\n\n'), 'errno=0\n');
  holder.child.kill();
  await holder.result;
  await place.ip('link', 'set', place.name, 'up');
  await until(() => running.stdout.includes('listening on port 12346'));
});

test('typetun serves UAPI clients from its real device', options, async (t) => {
  const place = await Place.make(t);
  await place.foreground();
  const key = `${'0'.repeat(62)}01`;
  const set = `set=1\nprivate_key=${key}\nlisten_port=12345\npublic_key=${'ab'.repeat(32)}\nallowed_ip=10.0.0.0/8\n`;
  assert.equal(await ask(place.socket, `${set}endpoint=[fe80::1%lo]:5\n\n`), 'errno=0\n');
  const before = await ask(place.socket, 'get=1\n\n');
  assert.match(before!, /^private_key=[0-9a-f]{64}\nlisten_port=12345\npublic_key=/);
  assert.match(before!, /\nendpoint=\[fe80::1%lo\]:5\n/);
  // Everything is checked before anything is changed.
  for (const bad of ['fwmark=x', `public_key=${key}\nallowed_ip=1`, 'nonsense']) {
    assert.match((await ask(place.socket, `set=1\nlisten_port=1\nreplace_peers=true\n${bad}\n\n`))!, /^errno=-/);
  }
  assert.equal(await ask(place.socket, 'get=1\n\n'), before);
  await place.ip('link', 'set', place.name, 'up');
  const holder = await holdPort(place, 12346);
  assert.equal(await ask(place.socket, 'set=1\nlisten_port=12346\n\n'), 'errno=-98\n');
  assert.equal(await ask(place.socket, 'get=1\n\n'), before);
  holder.child.kill();
});
