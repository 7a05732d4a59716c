/**
 * What the stock `wg` and ours make of answers that no typetun device gives: times, amounts, colours, order,
 * errors. A socket in a private `/var/run/wireguard` answers both the same, at the same second.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, linkSync, mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { socketPath, UAPI_DIRECTORY } from '../../src/uapi/paths.js';
import { missing, withPrivateRun } from '../netns/environment.js';
import { type Call, ours, type Said, spawned, stock } from './tools.js';

const KEY = 'c532c04180526ba9c0cbd4b87bda6b7e8d3adb0e9f86d2f4e70b81c9d04b15ae';
const PRIVATE = 'c8098c7933c5c5a25cb5ed78b62df3cce350ab7e85dd9ad5854880601ddf0669';
const peer = (lines: string, key = KEY): string => `public_key=${key}\n${lines}`;
const numbered = (n: number): string => KEY.slice(0, 62) + n.toString(16).padStart(2, '0');
const END = 'errno=0\n\n';
/** The longest tick that kernels are built with is 10 ms; a late one counts as well. */
const TICK_MS = 30;

/** A UAPI server that gives what it was told to, whatever it is asked. */
class Answering {
  readonly #server: Server;
  get = END;
  set = END;
  /** The last request. */
  asked = '';

  constructor(name: string) {
    this.#server = createServer((socket) => {
      let text = '';
      socket.on('error', () => {});
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        text += chunk;
        if (!text.endsWith('\n\n')) return;
        this.asked = text;
        socket.end(text.startsWith('get=1') ? this.get : this.set, 'latin1');
      });
    });
    this.#server.listen(socketPath(name));
  }

  close(): void {
    this.#server.close();
  }
}

const NAME = 'ttansw';

withPrivateRun(import.meta.filename, () => {
  describe('wg and typetun wg, given odd answers', { skip: missing(['wg', 'setpriv']) }, () => {
    let device: Answering;
    before(() => {
      mkdirSync(UAPI_DIRECTORY, { recursive: true });
      device = new Answering(NAME);
    });
    after(() => device.close());

    /**
     * Both, at one second of the clock. time(2) gives the second as of the kernel's last tick, so that for some
     * milliseconds `wg` may still be in the second before.
     */
    async function same(call: Call, label: string): Promise<Said> {
      for (;;) {
        const now = Math.floor(Date.now() / 1000);
        const early = TICK_MS - (Date.now() % 1000);
        if (early > 0) await setTimeout(early);
        const theirs = await stock(call);
        if (Math.floor(Date.now() / 1000) !== now) continue;
        assert.deepEqual(await ours({ ...call, now }), theirs, label);
        return theirs;
      }
    }

    /** As {@link same} for what a device answers that says `lines` of its one peer. */
    async function show(lines: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
      device.get = `${peer(lines)}${END}`;
      const { code, stdout } = await same({ args: ['show', NAME], env }, lines);
      assert.equal(code, 0);
      await same({ args: ['show', NAME, 'dump'], env }, lines);
      return stdout;
    }

    const UNITS = [1, 60, 3600, 86_400, 31_536_000];
    const AGES = [
      0, 2, 59, 61, 62, 119, 3599, 3661, 7322, 90_061, 172_800, 63_158_461, 1_700_000_000, -1, -2, -100_000,
    ];

    it('word the time since a handshake alike, at every boundary', async () => {
      const ages = new Set([...AGES, ...UNITS.flatMap((unit) => [unit - 1, unit, unit + 1, 2 * unit])]);
      const seen = new Set<string>();
      for (const age of ages) {
        for (const env of [{}, { WG_COLOR_MODE: 'always' }]) {
          const text = await show(`last_handshake_time_sec=${Math.floor(Date.now() / 1000) - age}\n`, env);
          seen.add(/latest handshake.*: (.*)/.exec(text)?.[1] ?? '');
        }
      }
      assert.ok([...seen].some((text) => text === 'Now') && [...seen].some((text) => text.includes('wound backward')));
      assert.ok(seen.size > 50, `${seen.size} wordings`);
      await show('last_handshake_time_sec=9223372036854775807\n');
      await show('last_handshake_time_sec=1\nlast_handshake_time_nsec=999999999\n');
      await show('last_handshake_time_sec=0\nlast_handshake_time_nsec=5\n');
    });

    it('word amounts alike, up to 2^64 - 1 and where a half is rounded', async () => {
      const amounts = [0n, 1n, 2n, 10n, 1000n, 5_243n + 2n ** 20n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];
      for (const power of [10n, 20n, 30n, 40n, 50n]) {
        for (const more of [-1n, 0n, 1n]) amounts.push(2n ** power + more);
        // 1.125, 1.375, 2.625: exactly between two hundredths.
        for (const eighths of [9n, 11n, 21n]) amounts.push((2n ** power * eighths) / 8n);
        // 1023.995 of a unit.
        amounts.push((2n ** power * 1_023_995n) / 1000n, (2n ** power * 1_023_994n) / 1000n);
      }
      for (const bytes of amounts) await show(`rx_bytes=${bytes}\ntx_bytes=${2n ** 64n - 1n - bytes}\n`);
      assert.match(await show(`rx_bytes=${2n ** 64n - 1n}\n`), /16777216\.00 TiB received, 0 B sent/);
    });

    it('word keepalives alike', async () => {
      for (const seconds of [0, 1, 2, 59, 60, 61, 119, 120, 3599, 3600, 3601, 3661, 65535]) {
        await show(`persistent_keepalive_interval=${seconds}\n`);
        await show(`persistent_keepalive_interval=${seconds}\n`, { WG_COLOR_MODE: 'always' });
      }
    });

    it('write addresses alike', async () => {
      const ips = [
        '::/0',
        '::1/128',
        '::5:6/128',
        '::1.2.3.4/128',
        '::ffff:1.2.3.4/128',
        '::ffff:0:1/128',
        '1::/16',
        '::1:0:0/96',
        '1:0:0:2::/64',
        '1:0:0:2:0:0:0:3/128',
        '2001:DB8::A/128',
        '0.0.0.0/0',
        '255.255.255.255/32',
      ];
      await show(ips.map((ip) => `allowed_ip=${ip}\n`).join(''));
      for (const endpoint of ['1.2.3.4:0', '[::1]:65535', '[fe80::1%lo]:5', '[::1.2.3.4]:5', '[::ffff:1.2.3.4]:5']) {
        await show(`endpoint=${endpoint}\n`);
      }
    });

    it('show keys and colours as the environment says', async () => {
      const psk = `preshared_key=${PRIVATE}\nendpoint=[::1]:5\nallowed_ip=::/0\nallowed_ip=10.0.0.0/8\n`;
      for (const value of ['always', 'never', 'auto', '', 'Always', 'NEVER']) {
        device.get = `private_key=${PRIVATE}\nlisten_port=5\nfwmark=7\n${peer(psk)}${END}`;
        for (const args of [['show', NAME], ['show'], ['showconf', NAME], []]) {
          await same({ args, env: { WG_HIDE_KEYS: value } }, value);
          await same({ args, env: { WG_COLOR_MODE: value } }, value);
        }
      }
      device.get = `private_key=${'0'.repeat(64)}\n${peer(`preshared_key=${'0'.repeat(64)}\n`)}${END}`;
      for (const args of [
        ['show', NAME],
        ['show', NAME, 'dump'],
        ['showconf', NAME],
      ])
        await same({ args }, 'zeros');
    });

    it('sort peers alike: by handshake, those alike as they come', async () => {
      const times = [
        [0, 0],
        [5, 1],
        [0, 7],
        [5, 2],
        [5, 1],
        [9, 0],
        [0, 0],
        [5, 2],
      ];
      device.get = times
        .map(([seconds, nanoseconds], i) =>
          peer(`last_handshake_time_sec=${seconds}\nlast_handshake_time_nsec=${nanoseconds}\n`, numbered(i)),
        )
        .join('')
        .concat(END);
      for (const args of [
        ['show', NAME],
        ['show', NAME, 'peers'],
        ['show', NAME, 'dump'],
        ['showconf', NAME],
      ]) {
        await same({ args }, args.join(' '));
      }
    });

    const STRANGE = [
      '',
      '\n',
      END,
      'errno=0',
      'errno=0\n',
      'errno=5\n\n',
      'errno=95\n\n',
      'errno=9999\n\n',
      'errno=-5\n\n',
      'listen_port=5\n\n',
      `listen_port=70000\n${END}`,
      `listen_port=-1\n${END}`,
      `listen_port=5x\n${END}`,
      `fwmark=4294967296\n${END}`,
      `foo=1\n${END}`,
      `foo\n${END}`,
      `=\n${END}`,
      `errno=0\nlisten_port=5\n\n`,
      `public_key=zz\n${END}`,
      `public_key=${KEY}0\n${END}`,
      `private_key=${PRIVATE.slice(1)}\n${END}`,
      `allowed_ip=1.2.3.4/5\n${END}`,
      peer(`listen_port=5\n${END}`),
      peer(`allowed_ip=1.2.3.4\n${END}`),
      peer(`allowed_ip=1.2.3.4/33\n${END}`),
      peer(`allowed_ip=1.2.3/24\n${END}`),
      peer(`endpoint=1.2.3.4\n${END}`),
      peer(`rx_bytes=-1\n${END}`),
      peer(`last_handshake_time_sec=-5\n${END}`),
      peer(`last_handshake_time_sec=18446744073709551615\n${END}`),
      peer(`persistent_keepalive_interval=65536\n${END}`),
      peer(`protocol_version=2\n${END}`),
      peer(`preshared_key=xx\n${END}`),
      peer(peer(END)),
    ];
    for (const answer of STRANGE) {
      it(`take ${JSON.stringify(answer.replaceAll(KEY, 'KEY'))} for the same`, async () => {
        device.get = answer;
        for (const args of [
          ['show', NAME],
          ['show', NAME, 'dump'],
          ['show'],
          ['show', 'all', 'allowed-ips'],
          ['showconf', NAME],
        ]) {
          await same({ args }, args.join(' '));
        }
      });
    }

    for (const answer of [
      END,
      'errno=-98\n\n',
      'errno=-22\nx=1\n\n',
      'x=1\nerrno=-22\n\n',
      'errno=5\n\n',
      'errno=0',
      'x=0\n\n',
      '',
      'errno=-x\n\n',
      'errno=-9999\n\n',
      'errno=-0\n\n',
    ]) {
      it(`take ${JSON.stringify(answer)} to a set for the same`, async () => {
        device.set = answer;
        await same({ args: ['set', NAME, 'listen-port', '5'] }, answer);
        assert.equal(device.asked, 'set=1\nlisten_port=5\n\n');
        device.set = END;
      });
    }

    const WORDS = [
      ['help'],
      ['--help'],
      ['-h'],
      ['help', 'x'],
      ['-h', 'x'],
      ['nothing'],
      [''],
      ['SHOW'],
      ...['show', 'showconf', 'setconf', 'addconf', 'syncconf', 'genkey', 'genpsk', 'pubkey'].flatMap((word) => [
        [word, '--help'],
        [word, '-h'],
        [word, 'help'],
        [word, 'a', 'b', 'c'],
        [word, ''],
        [word, 'nothing', 'nothing'],
        [word, '../x'],
        [word, 'x'.repeat(40)],
        [word, '/'],
      ]),
      ['show', 'interfaces'],
      ['show', 'interfaces', 'peers'],
      ['show', 'all', 'interfaces'],
      ['show', 'all', 'bogus'],
      ['show', NAME, 'bogus'],
      ['show', NAME, 'peers', 'more'],
      ['show', 'all', 'peers', 'more'],
      ['showconf'],
      ['setconf'],
      ['setconf', NAME],
      ['setconf', NAME, '/nonexistent'],
    ];
    for (const args of WORDS) {
      it(`answer ${JSON.stringify(args).slice(0, 60)} alike`, async () => {
        device.get = `private_key=${PRIVATE}\nlisten_port=5\n${END}`;
        await same({ args }, args.join(' '));
      });
    }

    it('go on where one of several devices fails, and fail where all do', async (t) => {
      const second = new Answering(`${NAME}2`);
      t.after(() => second.close());
      for (const [first, other] of [
        [END, 'errno=5\n\n'],
        ['errno=5\n\n', END],
        ['errno=5\n\n', ''],
        [`listen_port=5\n${peer('')}${END}`, `listen_port=6\n${END}`],
      ] as const) {
        device.get = first;
        second.get = other;
        for (const args of [
          ['show'],
          ['show', 'all', 'dump'],
          ['show', 'all', 'peers'],
          ['show', 'interfaces'],
          ['show', 'all', 'bogus'],
        ]) {
          await same({ args }, `${args} ${first} ${other}`);
          await same({ args, env: { WG_COLOR_MODE: 'always' } }, `${args} ${first} ${other}`);
        }
      }
    });

    it('see sockets behind links, and pass over what is no socket', async () => {
      device.get = `listen_port=5\n${END}`;
      writeFileSync(socketPath('ttfile'), '');
      mkdirSync(socketPath('ttfolder'));
      symlinkSync(`${NAME}.sock`, socketPath('ttlink'));
      symlinkSync('nowhere', socketPath('ttloose'));
      for (const name of ['ttfile', 'ttfolder', 'ttlink', 'ttloose']) await same({ args: ['show', name] }, name);
      await same({ args: ['show', 'interfaces'] }, 'interfaces');
      unlinkSync(socketPath('ttlink'));
    });

    it('remove a socket that nobody listens on, whichever command meets it', async () => {
      for (const run of [stock, ours]) {
        for (const args of [
          ['show', 'ttstale'],
          ['show'],
          ['show', 'interfaces'],
          ['set', 'ttstale', 'listen-port', '5'],
        ]) {
          await stale('ttstale');
          await run({ args });
          assert.ok(!existsSync(socketPath('ttstale')), args.join(' '));
        }
      }
    });

    it('say the same to a user who may not ask', async () => {
      const someone =
        (command: string): ((args: readonly string[]) => Promise<Said>) =>
        (args) =>
          spawned('setpriv', { args: ['--reuid=65534', '--regid=65534', '--clear-groups', command, ...args] });
      device.get = `listen_port=5\n${END}`;
      const theirs = someone('wg');
      const mine = (args: readonly string[]): Promise<Said> => someone(process.execPath)([RUN_WG, ...args]);
      for (const args of [['show', NAME], ['show'], ['show', 'interfaces'], ['set', NAME, 'listen-port', '5']]) {
        chmodSync(socketPath(NAME), 0o700);
        assert.deepEqual(await mine(args), await theirs(args), args.join(' '));
      }
      chmodSync(UAPI_DIRECTORY, 0o700);
      for (const args of [['show', NAME], ['show'], ['show', 'interfaces']]) {
        assert.deepEqual(await mine(args), await theirs(args), args.join(' '));
      }
      chmodSync(UAPI_DIRECTORY, 0o755);
    });
  });
});

/** A program that is nothing but ours, for a user who may read it. */
const RUN_WG = new URL('./run-wg.js', import.meta.url).pathname;

async function stale(name: string): Promise<void> {
  const path = socketPath(name);
  const server = createServer();
  // Closing removes only the name that it was told.
  await new Promise<void>((resolve) => server.listen(`${path}.new`, resolve));
  linkSync(`${path}.new`, path);
  await new Promise((resolve) => server.close(resolve));
}
