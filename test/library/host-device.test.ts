/**
 * Host devices, made by the library in a network of this process, and one of them moved on:
 *
 *   network of the test                     namespace tulibPID
 *   [tlaPID] 10.88.0.1, fd88::1             [tlbPID] 10.88.0.2, fd88::2
 *   127.0.0.1: both UDP sockets (tlb was born here)
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createHostDevice, type DeviceConfig, type HostDevice, SecretKey, TypetunError } from '../../src/index.js';
import { missing, withNamespaces } from '../netns/environment.js';
import { enterNewNetwork, ip, openDescriptors } from './network.js';

const ID = process.pid;
const NS = `tulib${ID}`;
const TIMEOUT_MS = 240_000;

const exec = promisify(execFile);

/** Not in step: the socket's server is on this thread. */
async function wg(...words: string[]): Promise<string> {
  return (await exec('wg', words)).stdout.trim();
}

function socketOf(name: string): string {
  return `/var/run/wireguard/${name}.sock`;
}

function hasCode(code: string, message = /./): (error: unknown) => boolean {
  return (error) => error instanceof TypetunError && error.code === code && message.test(error.message);
}

withNamespaces(import.meta.filename, () => {
  const skip = missing(['wg', 'ip', 'ping']);
  describe('createHostDevice', { skip, timeout: TIMEOUT_MS }, () => {
    before(() => {
      enterNewNetwork();
      ip(`netns add ${NS}`);
    });
    after(() => ip(`netns delete ${NS}`));

    it('carries packets to a device elsewhere, tells events, and mirrors the UAPI', async () => {
      const keys = { a: SecretKey.generatePrivateKey(), b: SecretKey.generatePrivateKey() };
      const psk = SecretKey.generatePresharedKey();
      await using b = await createHostDevice({
        name: `tlb${ID}`,
        up: false,
        config: {
          privateKey: keys.b,
          peers: [{ publicKey: keys.a.publicKey(), presharedKey: psk, allowedIps: ['10.88.0.1', 'fd88::1'] }],
        },
      });
      ip(`link set ${b.name} netns ${NS}`);
      for (const words of [`address add 10.88.0.2/24 dev ${b.name}`, `link set ${b.name} up`]) ip(`-n ${NS} ${words}`);
      // Its sockets are bound when it is up, which is noticed elsewhere after half a second at most.
      let port = 0;
      while (port === 0) {
        port = (await b.status()).listenPort;
        await sleep(50);
      }
      await using a = await createHostDevice({
        name: `tla${ID}`,
        config: `[Interface]
PrivateKey = ${keys.a.toBase64()}
Address = 10.88.0.1/24, fd88::1/64
MTU = 1300
`,
      });
      const handshakes = [once(a, 'handshake'), once(b, 'handshake')];
      const roamed = once(b, 'endpointChanged');
      await a.configure({
        peers: [
          {
            publicKey: keys.b.publicKey(),
            presharedKey: psk,
            endpoint: `localhost:${port}`,
            allowedIps: ['10.88.0.2', 'fd88::2/128'],
            persistentKeepaliveInterval: 21,
          },
        ],
      });
      await exec('ping', ['-n', '-q', '-c', '2', '-i', '0.1', '-w', '10', '10.88.0.2']);
      assert.deepEqual(await Promise.all(handshakes), [
        [{ publicKey: keys.b.publicKey() }],
        [{ publicKey: keys.a.publicKey() }],
      ]);
      const status = await a.status();
      assert.deepEqual(await roamed, [{ publicKey: keys.a.publicKey(), endpoint: `127.0.0.1:${status.listenPort}` }]);

      const [peer] = status.peers;
      assert.ok(peer);
      const dump = (await wg('show', a.name, 'dump')).split('\n').map((line) => line.split('\t'));
      assert.deepEqual(dump, [
        [keys.a.toBase64(), keys.a.publicKey(), `${status.listenPort}`, 'off'],
        [
          keys.b.publicKey(),
          psk.toBase64(),
          `127.0.0.1:${port}`,
          '10.88.0.2/32,fd88::2/128',
          `${Math.floor(peer.lastHandshakeTimeMs / 1000)}`,
          `${peer.rxBytes}`,
          `${peer.txBytes}`,
          '21',
        ],
      ]);
      assert.ok(status.privateKey?.equals(keys.a));
      assert.match(ip(`link show ${a.name}`), /UP.*mtu 1300/);

      await wg('set', a.name, 'peer', keys.b.publicKey(), 'persistent-keepalive', '0');
      assert.equal((await a.status()).peers[0]?.persistentKeepaliveInterval, 0);
      // What came out goes in.
      await a.configure(await a.status());
      assert.deepEqual((await a.status()).peers[0]?.allowedIps, ['10.88.0.2/32', 'fd88::2/128']);
    });

    it('closes, and leaves nothing: by close, a signal, ip(8), or the removal of its socket', async () => {
      const name = `tlc${ID}`;
      const ways: readonly [string, (device: HostDevice, abort: AbortController) => unknown][] = [
        ['close', (device) => device.close()],
        ['signal', (_, abort) => abort.abort()],
        ['ip', () => ip(`link delete ${name}`)],
        ['socket', () => rmSync(socketOf(name))],
      ];
      for (const [way, end] of ways) {
        const abort = new AbortController();
        const device = await createHostDevice({ name, signal: abort.signal });
        assert.ok(existsSync(socketOf(name)));
        const closed = once(device, 'close');
        await end(device, abort);
        await closed;
        assert.equal(device.closed, true, way);
        assert.ok(!existsSync(socketOf(name)), way);
        assert.throws(() => ip(`link show ${name}`), way);
        await assert.rejects(device.status(), hasCode('ERR_CLOSED'), way);
        await assert.rejects(device.configure({}), hasCode('ERR_CLOSED'), way);
        await device.close();
      }
    });

    it('leaves nothing when it is aborted at any moment of its making', async () => {
      const name = `tlh${ID}`;
      let made = 0;
      // Steps that grow: the slower the machine, the longer the making.
      for (let delayMs = 0; made === 0; delayMs += Math.max(8, delayMs / 16)) {
        const abort = new AbortController();
        const making = createHostDevice({ name, addresses: ['10.6.6.6/24'], signal: abort.signal });
        setTimeout(() => abort.abort(new Error('changed my mind')), delayMs);
        const device = await making.catch((error: Error) => assert.equal(error.message, 'changed my mind'));
        made += device ? 1 : 0;
        await device?.close();
        assert.ok(!existsSync(socketOf(name)), `${delayMs}`);
        assert.throws(() => ip(`link show ${name}`), `${delayMs}`);
      }
    });

    it('goes with a process that ends without closing it, and so does its socket', async () => {
      const name = `tli${ID}`;
      const index = JSON.stringify(new URL('../../src/index.js', import.meta.url));
      const program = (how: string): string =>
        `import { createHostDevice } from ${index};
        await createHostDevice({ name: '${name}', up: false });
        console.log('made');
        ${how}`;
      for (const [how, code] of [
        ['process.exit(3)', 3],
        ['throw new Error()', 1],
      ] as const) {
        const words = ['--input-type=module', '--eval', program(how)];
        await assert.rejects(exec(process.execPath, words), (error: unknown) => {
          const ended = error as { code: number; stdout: string };
          return ended.code === code && ended.stdout === 'made\n';
        });
        assert.ok(!existsSync(socketOf(name)), how);
        assert.throws(() => ip(`link show ${name}`), how);
      }
    });

    it('takes a file that leaves routes to others', async () => {
      for (const table of ['auto', 'off']) {
        const config = `[Interface]\nTable = ${table}\nSaveConfig = false\nFwMark = 7`;
        await using device = await createHostDevice({ name: `tlj${ID}`, uapi: false, config });
        assert.equal((await device.status()).fwmark, 7);
      }
    });

    it('gives every descriptor back', async () => {
      const cycle = async (): Promise<void> => {
        await using device = await createHostDevice({ name: `tld${ID}`, uapi: false, config: { listenPort: 0 } });
        await device.status();
      };
      await cycle();
      const open = openDescriptors();
      for (let i = 0; i < 20; i++) await cycle();
      // Worker threads of Node.js that end give theirs back a moment later.
      while (openDescriptors() > open) await sleep(20);
    });

    it('says why a device cannot be, and leaves nothing', async () => {
      const name = `tle${ID}`;
      const config: DeviceConfig = { privateKey: SecretKey.generatePrivateKey() };
      await using first = await createHostDevice({ name, config: { ...config, listenPort: 4321 } });
      await assert.rejects(createHostDevice({ name }), hasCode('ERR_SOCKET_IN_USE', /in use by a running daemon/));
      await assert.rejects(createHostDevice({ name, uapi: false }), hasCode('EBUSY', /name .* is taken/));
      const other = { name: `tlf${ID}`, uapi: false };
      const publicKey = SecretKey.generatePrivateKey().publicKey();
      const wrong: readonly [options: object, code: string, message: RegExp][] = [
        [{ name: 'a/b' }, 'ERR_INVALID_ARGUMENT', /is not an interface name/],
        [{ config: '[Interface]\nPostUp = true' }, 'ERR_UNSUPPORTED', /line 2: PostUp: .*wg-quick/],
        [{ config: '[Interface]\nDNS = 10.0.0.1' }, 'ERR_UNSUPPORTED', /line 2: DNS/],
        [{ config: '[Interface]\nTable = 1234' }, 'ERR_UNSUPPORTED', /^Table: .*wg-quick/],
        [{ config: '[Interface]\nSaveConfig = true' }, 'ERR_UNSUPPORTED', /^SaveConfig: .*wg-quick/],
        [{ mtu: 67 }, 'ERR_INVALID_ARGUMENT', /mtu/],
        [{ addresses: ['10.0.0.1/33'] }, 'ERR_INVALID_ARGUMENT', /addresses\[0\]/],
        [{ addresses: ['10.0.0.1 dev lo'] }, 'ERR_INVALID_ARGUMENT', /addresses\[0\]/],
        [{ addresses: ['10.5.5.5/24', '10.5.5.5/24'] }, 'ERR_DEVICE', /ip address add 10\.5\.5\.5\/24/],
        [{ config: { listenPort: 4321 } }, 'EADDRINUSE', /port is in use/],
        [{ config: { listenPort: -1 } }, 'ERR_INVALID_ARGUMENT', /listenPort/],
        [{ config: { peers: [{ publicKey, endpoint: 'no-such-host.invalid:1' }] } }, 'ERR_RESOLVE', /no-such-host/],
        [{ config: { peers: [{ publicKey, endpoint: 'localhost:65536' }] } }, 'ERR_INVALID_ENDPOINT', /localhost/],
      ];
      for (const [options, code, message] of wrong) {
        await assert.rejects(
          createHostDevice({ ...other, ...options }),
          hasCode(code, message),
          JSON.stringify(options),
        );
        assert.throws(() => ip(`link show ${other.name}`));
      }
      await assert.rejects(createHostDevice({ ...other, signal: AbortSignal.abort() }), { name: 'AbortError' });
      const late = new AbortController();
      const making = createHostDevice({ ...other, signal: late.signal });
      setImmediate(() => late.abort(new Error('changed my mind')));
      await assert.rejects(making, /changed my mind/);
      assert.throws(() => ip(`link show ${other.name}`));

      const server = createServer().listen(0);
      server.close();
      await assert.rejects(first.configure({ listenPort: 70_000 }), hasCode('ERR_INVALID_ARGUMENT'));
      assert.equal((await first.status()).listenPort, 4321);
    });

    it('carries out changes in the order of the calls', async () => {
      await using device = await createHostDevice({ name: `tlg${ID}`, uapi: false });
      await Promise.all(Array.from({ length: 50 }, (_, i) => device.configure({ fwmark: i })));
      assert.equal((await device.status()).fwmark, 49);
    });
  });
});
