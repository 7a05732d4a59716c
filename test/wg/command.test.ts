/**
 * `typetun wg` as a command, and on a typetun device: pipes, files, terminals, name servers, and where it follows a
 * newer stock tool than Debian's, or refuses what can only be a mistake.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { commandOf, missing, withPrivateRun } from '../netns/environment.js';
import { startDevice } from './device.js';
import { KEYS, PRIVATE } from './generate.js';
import { type Call, ours, oursSpawned, reset, type Said, spawned, stateOf, stock } from './tools.js';

const NAME = 'ttcmd';
const [PEER, OTHER] = KEYS as [string, string];
const DONE: Said = { code: 0, stdout: '', stderr: '' };
const TYPETUN = commandOf('typetun')!;

withPrivateRun(import.meta.filename, () => {
  describe('typetun wg', { skip: missing(['wg', 'script']) }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'typetun-wg-command-'));
    let end: () => Promise<void>;
    before(async () => {
      end = await startDevice(NAME);
    });
    after(async () => {
      await end();
      rmSync(directory, { recursive: true });
    });

    let count = 0;
    const file = (text: string, mode = 0o600): string => {
      const path = join(directory, `file${count++}`);
      writeFileSync(path, text, { mode });
      return path;
    };
    const wg = (...args: string[]): Promise<Said> => ours({ args });
    const wgFails = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await wg(...args);
      assert.deepEqual([code, stdout], [1, '']);
      return stderr;
    };
    const shown = async (field: string): Promise<string> => (await wg('show', NAME, field)).stdout;
    /** Both tools as processes, with `wg` standing for each in a shell's words. */
    async function bothInShell(script: string, env: Readonly<Record<string, string>> = {}): Promise<Said[]> {
      const mine = `wg() { ${TYPETUN.map((word) => `'${word}'`).join(' ')} wg "$@"; }`;
      const run = (prefix: string): Promise<Said> =>
        spawned('bash', { args: ['--norc', '-c', `${prefix}\n${script}`], env });
      return [await run(mine), await run('')];
    }

    it('adds and takes single allowed IPs, on the command line and in files', async () => {
      await reset(NAME);
      assert.deepEqual(await wg('set', NAME, 'peer', PEER, 'allowed-ips', '10.0.0.0/8,10.1.0.0/16'), DONE);
      assert.deepEqual(await wg('set', NAME, 'peer', PEER, 'allowed-ips', '+10.2.0.0/16,-10.1.0.0/16,fd00::/8'), DONE);
      assert.equal(await shown('allowed-ips'), `${PEER}\t10.0.0.0/8 10.2.0.0/16 fd00::/8\n`);
      const path = file(`[Peer]\nPublicKey=${PEER}\nAllowedIPs = -10.0.0.0/8, +10.3.0.0/16\n`);
      assert.deepEqual(await wg('addconf', NAME, path), DONE);
      assert.equal(await shown('allowed-ips'), `${PEER}\t10.2.0.0/16 10.3.0.0/16 fd00::/8\n`);
      assert.deepEqual(await wg('syncconf', NAME, file(`[Peer]\nPublicKey=${PEER}\nAllowedIPs=-fd00::/8\n`)), DONE);
      assert.equal(await shown('allowed-ips'), `${PEER}\t10.2.0.0/16 10.3.0.0/16\n`);
      assert.deepEqual(await wg('set', NAME, 'peer', PEER, 'allowed-ips', '192.0.2.0/24'), DONE);
      assert.equal(await shown('allowed-ips'), `${PEER}\t192.0.2.0/24\n`);
    });

    it('syncconf clears a preshared key and a keepalive that the file has no longer', async () => {
      await reset(NAME);
      const full = `[Peer]\nPublicKey=${PEER}\nPresharedKey=${PRIVATE}\nPersistentKeepalive=7\nAllowedIPs=::/0\n`;
      assert.deepEqual(await wg('setconf', NAME, file(full)), DONE);
      assert.deepEqual(await wg('syncconf', NAME, file(`[Peer]\nPublicKey=${PEER}\nAllowedIPs=::/0\n`)), DONE);
      assert.equal((await shown('dump')).split('\n')[1], `${PEER}\t(none)\t(none)\t::/0\t0\t0\t0\toff`);
    });

    it('show all endpoints names the interface in each line', async () => {
      await reset(NAME);
      await wg('set', NAME, 'peer', PEER, 'peer', OTHER);
      const { stdout } = await wg('show', 'all', 'endpoints');
      assert.equal(stdout, `${NAME}\t${PEER}\t(none)\n${NAME}\t${OTHER}\t(none)\n`);
    });

    it('a file with an error in its last line changes nothing', async () => {
      await reset(NAME);
      await wg('set', NAME, 'listen-port', '7', 'peer', PEER, 'allowed-ips', '::/0');
      const before = await stateOf(NAME);
      for (const last of [
        'AllowedIPs=10.0.0.0/33',
        'Foo=1',
        'PersistentKeepalive=x',
        '[Peer]',
        '[Pear]',
        'Endpoint=a',
        'ListenPort=5',
      ]) {
        const path = file(`[Interface]\nListenPort=9\nFwMark=9\n[Peer]\nPublicKey=${OTHER}\nAllowedIPs=::/0\n${last}`);
        for (const command of ['setconf', 'addconf', 'syncconf']) {
          assert.match(await wgFails(command, NAME, path), /\n(Configuration parsing error|Invalid configuration)\n$/);
          assert.equal(await stateOf(NAME), before, `${command} ${last}`);
        }
      }
    });

    it('refuses what can only be a mistake, and says what', async () => {
      for (const port of ['65536', '99999999999999999999']) {
        assert.equal(await wgFails('set', NAME, 'listen-port', port), `Port is not 0-65535: \`${port}'\n`);
        const endpoint = `192.0.2.1:${port}`;
        assert.match(await wgFails('set', NAME, 'peer', PEER, 'endpoint', endpoint), /^Port is not 0-65535: `192/);
      }
      const nul = file('[Interface]\nListenPort=5\0\n');
      assert.equal(await wgFails('setconf', NAME, nul), 'The file has a NUL byte\nConfiguration parsing error\n');
      assert.equal(await wgFails('setconf', NAME, directory), 'fopen: Is a directory\n');
      const large = file('');
      truncateSync(large, 2 ** 30);
      assert.match(await wgFails('setconf', NAME, large), /^The configuration is larger than 134217728 bytes\n/);
    });

    it('does not print a secret key that is wrong', async () => {
      const almost = `${PRIVATE.slice(0, 42)}l=`;
      const config = file(`[Interface]\nPrivateKey = ${almost}\n`);
      for (const args of [
        ['set', NAME, 'private-key', file(`${almost}\n`)],
        ['set', NAME, 'peer', PEER, 'preshared-key', file(almost)],
        ['setconf', NAME, config],
      ]) {
        const said = await wgFails(...args);
        assert.match(said, /^Key is not the correct length or format: `\(hidden\)'\n/);
        assert.ok(!said.includes(almost.slice(0, 10)));
      }
    });

    it('reads keys from pipes, once, also where a name has to be looked up', async () => {
      await reset(NAME);
      const words = `set ${NAME} private-key <(echo ${PRIVATE}) peer ${PEER} preshared-key <(echo ${OTHER})`;
      const [mine] = await bothInShell(`wg ${words} endpoint localhost:domain`);
      assert.deepEqual(mine, DONE);
      assert.equal(await shown('private-key'), `${PRIVATE}\n`);
      assert.equal(await shown('preshared-keys'), `${PEER}\t${OTHER}\n`);
      assert.match(await shown('endpoints'), /\t(127\.0\.0\.1|\[::1\]):53\n/);
      const [theirs] = await bothInShell(`wg set ${NAME} private-key /dev/stdin <<< ${OTHER}`);
      assert.deepEqual(theirs, DONE);
      assert.match(await shown('private-key'), /^SLMvSo/);
    });

    it('makes keys that the stock tool takes, and derives the same public ones', async () => {
      for (let i = 0; i < 5; i++) {
        const { stdout: key } = await wg('genkey');
        assert.match(key, /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\n$/);
        assert.deepEqual(await ours({ args: ['pubkey'], input: key }), await stock({ args: ['pubkey'], input: key }));
        const bytes = Buffer.from(key, 'base64');
        assert.deepEqual([bytes[0]! & 7, bytes[31]! & 0xc0], [0, 0x40], 'clamped');
        assert.match((await wg('genpsk')).stdout, /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\n$/);
      }
      assert.notEqual((await wg('genpsk')).stdout, (await wg('genpsk')).stdout);
    });

    const INPUTS = [
      '',
      '\n',
      'abc\n',
      PRIVATE,
      `${PRIVATE}\n`,
      `${PRIVATE}\n\n`,
      `${PRIVATE} \t\r\n`,
      ` ${PRIVATE}`,
      `${PRIVATE}x`,
      `${PRIVATE} x`,
      `${PRIVATE}\n${PRIVATE}\n`,
      `${PRIVATE.slice(0, 43)}\n`,
      PRIVATE.slice(0, 43),
      PRIVATE.replace('k=', 'l='),
      PRIVATE.replace('n', '*'),
      `${'A'.repeat(43)}=`,
      `${'/'.repeat(42)}8=`,
      `${PRIVATE.slice(0, 20)}\0${PRIVATE.slice(21)}`,
    ];
    for (const input of INPUTS) {
      it(`pubkey answers ${JSON.stringify(input.slice(0, 60))} as the stock tool`, async () => {
        assert.deepEqual(await ours({ args: ['pubkey'], input }), await stock({ args: ['pubkey'], input }));
      });
    }

    it('warns as the stock tool where a key goes to a file that others may use', async () => {
      const path = join(directory, 'out');
      for (const mode of ['600', '640', '604', '602', '601', '660', '644', '700']) {
        const script = `touch ${path}; chmod ${mode} ${path}; for c in genkey genpsk; do wg $c > ${path}; done; wc -c < ${path}`;
        const [mine, theirs] = await bothInShell(script);
        assert.deepEqual(mine, theirs, mode);
        const open = (Number.parseInt(mode, 8) & 7) !== 0;
        assert.equal(mine!.stderr.includes('world accessible'), open, mode);
      }
      const [mine, theirs] = await bothInShell('wg genkey > /dev/null');
      assert.deepEqual([mine, theirs], [DONE, DONE]);
    });

    it('paints on a terminal, and nowhere else', async () => {
      await wg('set', NAME, 'listen-port', '7', 'peer', PEER, 'allowed-ips', '::/0');
      // script(1) runs its command by a shell of its own.
      const onTerminal = (words: readonly string[], mode?: string): string =>
        execFileSync('script', ['-qec', words.map((word) => `'${word}'`).join(' '), '/dev/null'], {
          env: { PATH: process.env['PATH'], ...(mode !== undefined && { WG_COLOR_MODE: mode }) },
          stdio: ['ignore', 'pipe', 'inherit'],
        }).toString();
      for (const mode of [undefined, 'auto', 'never', 'always', 'x']) {
        const mine = onTerminal([...TYPETUN, 'wg', 'show', NAME], mode);
        assert.equal(mine, onTerminal(['wg', 'show', NAME], mode), mode ?? 'unset');
        assert.equal(mine.includes('\x1b['), mode !== 'never');
      }
      const { stdout } = await oursSpawned({ args: ['show', NAME], env: { WG_COLOR_MODE: 'auto' } });
      assert.ok(!stdout.includes('\x1b['));
    });

    it('is called by a symlink named wg', async () => {
      const link = join(directory, 'wg');
      symlinkSync(TYPETUN.at(-1)!, link);
      const call: Call = { args: [link, 'show', NAME, 'dump'] };
      assert.deepEqual(await spawned(process.execPath, call), await wg('show', NAME, 'dump'));
      assert.match(
        (await spawned(process.execPath, { args: [link, '--version'] })).stdout,
        /^typetun v\d+\.\d+\.\d+\n$/,
      );
      assert.deepEqual(await spawned(process.execPath, { args: [link, 'help'] }), await stock({ args: ['help'] }));
    });

    it('ends quietly when nobody reads what it writes', async () => {
      await reset(NAME);
      const peers = Array.from({ length: 4_000 }, (_, i) => {
        const key = Buffer.alloc(32);
        key.writeUInt32BE(i + 1);
        return `[Peer]\nPublicKey=${key.toString('base64')}\nAllowedIPs=10.${i >> 8}.${i & 255}.0/24\n`;
      });
      assert.deepEqual(await wg('setconf', NAME, file(peers.join(''))), DONE);
      // A pipe holds 64 KiB, and this is more.
      const [mine] = await bothInShell(`wg show ${NAME} dump | head -c 10; echo " \${PIPESTATUS[0]}"`);
      assert.deepEqual([mine!.stderr, mine!.stdout], ['', '(none)\t(no 141\n']);
      const [whole] = await bothInShell(`wg show ${NAME} dump | (sleep 0.3; wc -l)`);
      assert.equal(whole!.stdout.trim(), '4001');
    });

    it('fails where what it writes has no room', async () => {
      const [mine] = await bothInShell('wg genkey > /dev/full');
      assert.deepEqual([mine!.code, mine!.stderr], [1, 'typetun: ENOSPC: no space left on device, write\n']);
    });

    it('writes JSON by a schema with a version', async () => {
      await reset(NAME);
      assert.deepEqual(
        await wg(
          'setconf',
          NAME,
          file(
            `[Interface]\nPrivateKey=${PRIVATE}\nListenPort=5\nFwMark=6\n[Peer]\nPublicKey=${PEER}\nPresharedKey=${OTHER}\nAllowedIPs=10.0.0.0/8,::/0\nEndpoint=[2001:db8::1]:5\nPersistentKeepalive=7\n[Peer]\nPublicKey=${OTHER}\n`,
          ),
        ),
        DONE,
      );
      const of = async (env: Record<string, string>, ...args: string[]): Promise<unknown> =>
        JSON.parse((await ours({ args: ['show', ...args], env })).stdout);
      const zero = { latestHandshake: null, rxBytes: 0, txBytes: 0 };
      const expected = (privateKey: string, presharedKey: string): unknown => ({
        version: 1,
        interfaces: [
          {
            name: NAME,
            publicKey: 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=',
            privateKey,
            listenPort: 5,
            fwmark: 6,
            peers: [
              {
                publicKey: PEER,
                presharedKey,
                endpoint: '[2001:db8::1]:5',
                allowedIps: ['10.0.0.0/8', '::/0'],
                ...zero,
                persistentKeepalive: 7,
              },
              { publicKey: OTHER, presharedKey: null, endpoint: null, allowedIps: [], ...zero, persistentKeepalive: 0 },
            ],
          },
        ],
      });
      assert.deepEqual(await of({}, NAME, '--json'), expected('(hidden)', '(hidden)'));
      assert.deepEqual(await of({}, '--json'), expected('(hidden)', '(hidden)'));
      assert.deepEqual(await of({ WG_HIDE_KEYS: 'never' }, 'all', '--json'), expected(PRIVATE, OTHER));
      assert.deepEqual(await of({}, 'interfaces', '--json'), { version: 1, interfaces: [NAME] });
      assert.match(await wgFails('show', NAME, 'dump', '--json'), /^Usage: wg show /);
    });

    it("leaves the kernel's devices to the stock tool, in one line", async (t) => {
      try {
        execFileSync('ip', ['link', 'add', 'ttkernel', 'type', 'wireguard'], { stdio: 'ignore' });
      } catch {
        t.skip('this kernel has no WireGuard');
        return;
      }
      t.after(() => execFileSync('ip', ['link', 'delete', 'ttkernel']));
      for (const args of [
        ['show', 'ttkernel'],
        ['set', 'ttkernel', 'listen-port', '5'],
        ['showconf', 'ttkernel'],
      ]) {
        assert.match(await wgFails(...args), /^ttkernel is a device of the kernel: use the wg of wireguard-tools/);
      }
      assert.match((await wg('show')).stderr, /^ttkernel is a device of the kernel/);
    });

    describe('with a name server', () => {
      /** Answers by the first label: 3 there is no such name, 2 the server failed, 0 without an address. */
      const CODES: Readonly<Record<string, number>> = { nx: 3, fails: 2, empty: 0, refuses: 5 };
      const server = createSocket('udp4', (question, from) => {
        const code = CODES[question.toString('latin1', 13, 13 + question[12]!)] ?? 0;
        const head = Buffer.from([question[0]!, question[1]!, 0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
        server.send(Buffer.concat([head, question.subarray(12)]), from.port, from.address);
      });
      before(async () => {
        execFileSync('mount', [
          '--bind',
          file('nameserver 127.0.0.1\noptions timeout:2 attempts:1\n', 0o644),
          '/etc/resolv.conf',
        ]);
        await new Promise<void>((resolve) => server.bind(53, '127.0.0.1', resolve));
      });
      after(() => server.close());

      const rows: [label: string, retries: string, waits: number][] = [
        ['nx', '3', 0],
        ['empty', '3', 0],
        ['fails', '0', 0],
        ['fails', '2', 2],
        ['refuses', '1', 1],
      ];
      for (const [label, retries, waits] of rows) {
        it(`says of a name that ${label}, with ${retries} retries, what the stock tool says, and waits as long`, async () => {
          const env = { WG_ENDPOINT_RESOLUTION_RETRIES: retries };
          const args = ['set', NAME, 'peer', PEER, 'endpoint', `${label}.example:5`];
          const config = file(`[Peer]\nPublicKey=${PEER}\nEndpoint=${label}.example:5\nAllowedIPs=10.0.0.1/8\n`);
          const started = Date.now();
          // Not in this process: the name server is in it.
          const mine = await oursSpawned({ args, env });
          const took = Date.now() - started;
          assert.deepEqual(mine, await stock({ args, env }));
          assert.equal(mine.stderr.split('Trying again in').length - 1, waits);
          const least = [0, 1000, 2200][waits]!;
          assert.ok(took >= least, `${took} ms, and the waits alone are ${least}`);
          if (waits > 1) return;
          const file_ = { args: ['setconf', NAME, config], env };
          assert.deepEqual(await oursSpawned(file_), await stock(file_));
        });
      }

      for (const value of ['abc', '-1', '1x', '0x2', '2147483648', '']) {
        it(`takes ${JSON.stringify(value)} for a number of retries as the stock tool does`, async () => {
          const call: Call = {
            args: ['set', NAME, 'peer', PEER, 'endpoint', 'fails.example:5'],
            env: { WG_ENDPOINT_RESOLUTION_RETRIES: value },
          };
          assert.deepEqual(await oursSpawned(call), await stock(call));
          const plain = { ...call, args: ['set', NAME, 'peer', PEER, 'endpoint', '192.0.2.1:5'] };
          assert.deepEqual(await oursSpawned(plain), await stock(plain));
        });
      }
    });

    it('leaves no file behind that others may read', () => assert.equal(statSync(directory).mode & 0o077, 0));
  });
});
