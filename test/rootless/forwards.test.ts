/**
 * Forwards and proxies of `typetun exec`: programs in namespace c, outside of the tunnel, reach the server at its far
 * end, and the other way round. world.ts draws it.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseExec } from '../../src/cli/exec/arguments.js';
import { Credentials } from '../../src/rootless/forwards/credentials.js';
import { parseForward, parseListen } from '../../src/rootless/forwards/spec.js';
import { FULL } from '../netns/environment.js';
import { type Job, missing, until } from '../netns/harness.js';
import { NotifySocket } from './notify.js';
import { contentOf, Ports } from './server.js';
import { noUser } from './user.js';
import { CLIENT, SERVER, World } from './world.js';

const MB = 1_000_000;
const TIMEOUT_MS = FULL ? 1_800_000 : 240_000;
const CLIENT_SCRIPT = fileURLToPath(new URL('./client.js', import.meta.url));
const skip = noUser(['curl', 'ncat']) || missing([], ['wireguard-go']);

describe('parseForward, parseListen', () => {
  for (const [text, expected] of [
    ['80:h:81', { protocol: 'tcp', port: 80, host: 'h', hostPort: 81 }],
    ['0:10.0.0.1:65535/tcp', { protocol: 'tcp', port: 0, host: '10.0.0.1', hostPort: 65535 }],
    ['127.0.0.2:53:h:53/udp', { protocol: 'udp', bind: '127.0.0.2', port: 53, host: 'h', hostPort: 53 }],
    ['[::1]:1:[fd00::1]:2', { protocol: 'tcp', bind: '::1', port: 1, host: 'fd00::1', hostPort: 2 }],
    ['*:1:h:2', { protocol: 'tcp', bind: '::', port: 1, host: 'h', hostPort: 2 }],
    [':1:h:2', { protocol: 'tcp', bind: '::', port: 1, host: 'h', hostPort: 2 }],
  ] as const) {
    it(text, () => assert.deepEqual(parseForward(text), expected));
  }
  for (const text of [
    '',
    '80',
    'h:81',
    '1:h',
    '65536:h:1',
    '1:h:0',
    '1:h:65536',
    '1::2',
    'a:h:1',
    '1:2:3:4:5',
    'fd00::1:1:h:2',
    '1:h:2/sctp',
    '1:[::1:2',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseForward(text), /expected \[BIND:\]PORT:HOST:HOSTPORT/));
  }
  it('places to listen at', () => {
    assert.deepEqual(parseListen('1080'), { port: 1080 });
    assert.deepEqual(parseListen('[::1]:0'), { bind: '::1', port: 0 });
    assert.deepEqual(parseListen('*:1'), { bind: '::', port: 1 });
    for (const text of ['', 'x', '1:2:3', '::1:80', '99999'])
      assert.throws(() => parseListen(text), /expected \[BIND:\]PORT/);
  });
});

describe('parseExec', () => {
  it('options before and behind the configuration; the rest is the command', () => {
    const line = parseExec(['-L1:h:2', '-v', 'c', '-D', '3', '--http-proxy=4', '--', '-L', 'x']);
    assert.deepEqual([line.config, line.verbose, line.command], ['c', true, ['-L', 'x']]);
    assert.deepEqual([line.local.length, line.socks, line.http], [1, [{ port: 3 }], [{ port: 4 }]]);
    assert.deepEqual(parseExec(['c', 'curl', '-v', '--', 'x']).command, ['curl', '-v', '--', 'x']);
  });
  for (const [words, message] of [
    [[], /expected a configuration and a command/],
    [['c'], /expected a configuration and a command/],
    [['--', 'x'], /expected a configuration and a command/],
    [['-q', 'c', 'x'], /unknown option -q/],
    [['c', '-L'], /-L needs a value/],
    [['--proxy-auth', 'f', 'c', 'x'], /--proxy-auth is for -D/],
  ] as const) {
    it(`refuses ${JSON.stringify(words)}`, () => assert.throws(() => parseExec(words), message));
  }
});

it('Credentials: one line, its end stripped, wiped; anything else is refused', () => {
  const file = Buffer.from('me:pass:word\r\n');
  const credentials = new Credentials(file);
  assert.ok(file.every((byte) => byte === 0));
  assert.ok(credentials.allows(Buffer.from('me:pass:word')));
  for (const wrong of ['me:pass', 'me:pass:word\n', '', ':']) assert.ok(!credentials.allows(Buffer.from(wrong)), wrong);
  for (const text of ['', ':x', 'nocolon', 'a:b\nc:d', `a:${'b'.repeat(600)}`]) {
    assert.throws(() => new Credentials(Buffer.from(text)), /expected one line/);
  }
});

describe('typetun exec: forwards and proxies', { skip, timeout: TIMEOUT_MS }, () => {
  let world: World;
  let service: Job;
  /** Ports by what the lines of the start call them. */
  const port = (what: string): number => Number(new RegExp(`^${what}.*:(\\d+)$`, 'm').exec(service.stdout)?.[1]);
  const outside = (script: string): Promise<string> => world.lab.in('c', script);
  const descriptors = (): number => readdirSync(`/proc/${service.child.pid}/fd`).length;

  before(async () => {
    world = await World.make();
    await world.serve('c', ['127.0.0.1']);
    service = world.start([
      ...['-L', `0:${SERVER[0]}:${Ports.http}`, '-L', `[::1]:0:[${SERVER[1]}]:${Ports.echo}`],
      ...['-L', `0:${SERVER[0]}:${Ports.echo}/udp`, '-L', `0:${SERVER[0]}:1`],
      ...['-R', `9000:127.0.0.1:${Ports.echo}`, '-R', `9000:127.0.0.1:${Ports.echo}/udp`],
      ...['-D', '0', '--http-proxy', '0', world.config],
    ]);
    await service.prints(/^ready$/m);
  });
  after(() => world?.close());

  const ways: readonly (readonly [name: string, curl: () => string])[] = [
    ['-L', () => `http://127.0.0.1:${port(`-L to ${SERVER[0]}:8080/tcp`)}`],
    ['-D, an address', () => `-x socks5h://127.0.0.1:${port('SOCKS5')} http://${SERVER[0]}:${Ports.http}`],
    ['-D, IPv6', () => `-x socks5h://127.0.0.1:${port('SOCKS5')} http://[${SERVER[1]}]:${Ports.http}`],
    ['--http-proxy, CONNECT', () => `-p -x http://127.0.0.1:${port('HTTP')} http://[${SERVER[1]}]:${Ports.http}`],
    ['--http-proxy, an http: URL', () => `-x http://127.0.0.1:${port('HTTP')} http://${SERVER[0]}:${Ports.http}`],
  ];
  for (const [index, [name, curl]] of ways.entries()) {
    it(`${name}: ten downloads at a time are whole`, async () => {
      const size = FULL ? 10 * MB : 2 * MB;
      const got = await outside(`for i in $(seq 10); do curl -gsS ${curl()}/${index}/${size} | sha256sum & done; wait`);
      const expected = createHash('sha256');
      for (const chunk of contentOf(index, size)) expected.update(chunk);
      const digest = expected.digest('hex');
      assert.deepEqual(
        got.split('\n').map((line) => line.split(' ')[0]),
        Array(10).fill(digest),
      );
    });
  }

  it('-L: each direction ends by itself', async () => {
    const target = `::1 ${port(`-L to \\[${SERVER[1]}\\]:7/tcp`)}`;
    // ncat sends its end after the input, and then reads what the echo server still has to say.
    const got = await outside(`head -c 3000000 /dev/zero | ncat ${target} | wc -c`);
    assert.equal(got, '3000000');
  });

  it('-L: a target that refuses closes the connection', async () => {
    assert.equal(await outside(`ncat 127.0.0.1 ${port(`-L to ${SERVER[0]}:1/tcp`)} </dev/null || true`), '');
  });

  it("-L: a reader that does not read holds the sender up, and not typetun's memory", async () => {
    const memory = (): number =>
      Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${service.child.pid}/status`, 'latin1'))?.[1]);
    const before = memory();
    const url = `http://127.0.0.1:${port(`-L to ${SERVER[0]}:8080/tcp`)}/1/${300 * MB}`;
    await outside(`curl -sS ${url} | sleep 2 || true`);
    assert.ok(memory() - before < 100_000, `${memory() - before} KiB more`);
  });

  it('-L /udp: datagrams there and back', async () => {
    const target = port(`-L to ${SERVER[0]}:7/udp`);
    assert.equal(await outside(`${process.execPath} ${CLIENT_SCRIPT} udp 127.0.0.1 ${target} datagram`), 'datagram');
  });

  it('-R: programs in the tunnel reach one here; each direction ends by itself', async () => {
    for (const address of [CLIENT[0], CLIENT[1]]) {
      assert.equal(await world.lab.in('s', `head -c 3000000 /dev/zero | ncat ${address} 9000 | wc -c`), '3000000');
    }
  });

  it('-R /udp: datagrams there and back', async () => {
    const got = await world.lab.in('s', `${process.execPath} ${CLIENT_SCRIPT} udp ${CLIENT[0]} 9000 datagram`);
    assert.equal(got, 'datagram');
  });

  for (const host of [...SERVER, 'server.example']) {
    it(`-D: UDP ASSOCIATE to ${host}`, async () => {
      // The DNS server knows every name, by an address that is nobody's: the datagram is sent, and not answered.
      if (host === 'server.example') {
        const words = [process.execPath, CLIENT_SCRIPT, 'socks-udp', `${port('SOCKS5')}`, host, '7', 'x'];
        const client = world.lab.spawn('c', words);
        await world.server.prints(`query ${host}`);
        await client.terminate(5000);
        assert.equal(client.output, '');
        return;
      }
      const got = await outside(`${process.execPath} ${CLIENT_SCRIPT} socks-udp ${port('SOCKS5')} ${host} 7 text`);
      assert.equal(got, `${host.includes(':') ? 4 : 1} text`);
    });
  }

  it('the proxies say what was not reached', async () => {
    const refused = `http://${SERVER[0]}:1/`;
    const curl = (words: string): Promise<string> => outside(`curl -sS ${words} 2>&1 || true`);
    assert.match(await curl(`-x socks5h://127.0.0.1:${port('SOCKS5')} ${refused}`), /\(5\)/, 'connection refused');
    assert.match(await curl(`-p -x http://127.0.0.1:${port('HTTP')} ${refused}`), /502/);
    assert.match(await curl(`-x http://127.0.0.1:${port('HTTP')} ${refused}`), /was not reached: ECONNREFUSED/);
    assert.match(await curl(`http://127.0.0.1:${port('HTTP')}/`), /this is a proxy/);
    assert.match(await curl(`-x socks4://127.0.0.1:${port('SOCKS5')} ${refused}`), /curl: /);
  });

  it(`${FULL ? 20_000 : 2_000} connections leave no descriptor behind`, async () => {
    await outside('sleep 0.5');
    const before = descriptors();
    const rounds = FULL ? 20 : 2;
    for (let round = 0; round < rounds; round++) {
      for (const url of [
        `http://127.0.0.1:${port(`-L to ${SERVER[0]}:8080/tcp`)}`,
        `-x socks5h://127.0.0.1:${port('SOCKS5')} http://${SERVER[0]}:8080`,
      ]) {
        await outside(
          `curl -sS -Z --parallel-max 50 -H 'Connection: close' -o /dev/null ${url}/[1-500]/100 2>/dev/null`,
        );
      }
    }
    await until(
      () => `descriptors to be closed: ${descriptors()}, ${before} before`,
      () => descriptors() <= before + 2,
    );
  });

  it('SIGTERM: exit status 0, and all is gone', async () => {
    service.child.kill('SIGTERM');
    assert.equal((await service.end(20_000)).code, 0);
    assert.equal(service.stderr, '');
  });

  it('readiness is told to the service manager; a proxy with a password asks for it', async () => {
    const path = join(world.directory, 'notify');
    const manager = new NotifySocket(path);
    const auth = join(world.directory, 'auth');
    writeFileSync(auth, 'name:secret\n', { mode: 0o644 });
    service = world.start(['-D', '0', '--http-proxy', '0', '--proxy-auth', auth, world.config], {
      env: { NOTIFY_SOCKET: path },
    });
    await service.prints(/^ready$/m);
    assert.equal(manager.receive(), 'READY=1');
    const curl = (words: string): Promise<string> =>
      outside(
        `curl -s -o /dev/null -w '%{http_code} %{http_connect}' ${words} http://${SERVER[0]}:${Ports.http}/1/10 2>/dev/null || true`,
      ).catch(String);
    const [socks, http] = [`socks5h://127.0.0.1:${port('SOCKS5')}`, `http://127.0.0.1:${port('HTTP')}`];
    assert.match(await curl(`-x ${socks}`), /^000/);
    assert.match(await curl(`-x ${socks} -U name:wrong`), /^000/);
    assert.match(await curl(`-x ${socks} -U name:secret`), /^200/);
    assert.match(await curl(`-x ${http}`), /^407/);
    assert.match(await curl(`-x ${http} -U name:secret`), /^200/);
    assert.match(await curl(`-p -x ${http} -U x:secret`), /^000 407/);
    assert.match(await curl(`-p -x ${http} -U name:secret`), /^200 200/);
    service.child.kill('SIGTERM');
    await service.end(20_000);
    assert.equal(manager.receive(), 'STOPPING=1');
    manager.close();
  });

  it('with a command, forwards last as long as it does; a port that is taken is said', async () => {
    const { code, stdout, stderr } = await world.sh('echo output', {
      options: ['-L', `*:0:${SERVER[0]}:80`, '-D', '*:0'],
    });
    assert.deepEqual([code, stdout], [0, 'output\n']);
    assert.match(
      stderr,
      /^typetun: warning: the SOCKS5 proxy at :: is open to whoever reaches it: see --proxy-auth\n$/,
    );
    const first = world.start(['-D', '40123', world.config]);
    await first.prints(/^ready$/m);
    const second = await world.sh('echo ran', { options: ['-D', '40123'] });
    assert.deepEqual([second.code, second.stdout], [125, '']);
    assert.match(second.stderr, /^typetun: SOCKS5 at port 40123: cannot listen there \(EADDRINUSE\)\n$/);
    first.child.kill('SIGINT');
    assert.equal((await first.end(20_000)).code, 0);
  });
});
