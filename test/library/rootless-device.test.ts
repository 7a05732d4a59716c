/** Sockets through a tunnel, as node:net, node:dgram and node:http have them; as an ordinary user. See tunnel.ts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import type { RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { Server, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRootlessDevice, type RootlessDevice, SecretKey, TypetunError } from '../../src/index.js';
import { FULL } from '../netns/environment.js';
import { asOrdinaryUser } from '../rootless/user.js';
import { answerNames } from './name-server.js';
import { descendants, openDescriptors } from './network.js';
import { CLIENT, openTunnel, SERVER, type Tunnel } from './tunnel.js';

const CYCLES = FULL ? 20_000 : 2_000;

function hasCode(code: string, message = /./): (error: unknown) => boolean {
  return (error) => error instanceof TypetunError && error.code === code && message.test(error.message);
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** To the other side's end, and no further: an async iterator would destroy the socket. */
async function readToEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

asOrdinaryUser(import.meta.filename, () => {
  describe('RootlessDevice', { timeout: FULL ? 1_800_000 : 240_000 }, () => {
    let tunnel: Tunnel;
    let client: RootlessDevice;
    let server: RootlessDevice;
    before(async () => {
      tunnel = await openTunnel();
      ({ client, server } = tunnel);
    });
    after(() => tunnel.close());

    /** A listening server, closed at the end of `use`. */
    async function serving<T>(
      handle: (socket: Socket) => void,
      use: (port: number) => Promise<T>,
      options: object = {},
    ): Promise<T> {
      const listener = await server.listen(options);
      listener.on('connection', handle);
      try {
        return await use(portOf(listener));
      } finally {
        listener.close();
      }
    }

    it('connect and listen: real sockets and servers of node:net, IPv4 and IPv6', async () => {
      const seen: (string | undefined)[] = [];
      await serving(
        (socket) => {
          seen.push(socket.remoteAddress);
          socket.end(`hello ${socket.remoteAddress}`);
        },
        async (port) => {
          for (const host of [SERVER.v4, SERVER.v6]) {
            const socket = await client.connect({ host, port });
            assert.ok(socket instanceof Socket);
            assert.equal(socket.connecting, false);
            assert.equal(socket.remoteAddress, host);
            assert.equal(socket.remotePort, port);
            assert.match(await text(socket), /^hello /);
          }
        },
      );
      assert.deepEqual(seen, [`::ffff:${CLIENT.v4}`, CLIENT.v6]);
      const listener = await server.listen({ host: SERVER.v4 });
      assert.ok(listener instanceof Server);
      assert.deepEqual(listener.address(), { address: SERVER.v4, family: 'IPv4', port: portOf(listener) });
      listener.close();
      await once(listener, 'close');
      await assert.rejects(client.connect({ host: SERVER.v4, port: 1 }), hasCode('ECONNREFUSED'));
    });

    it('a half-closed socket: the other direction goes on to its end', async () => {
      const bytes = randomBytes(1 << 20);
      const back = await serving(
        async (socket) => socket.end(Buffer.concat([await readToEnd(socket), bytes])),
        async (port) => {
          const socket = await client.connect({ host: SERVER.v4, port });
          socket.end('first');
          return readToEnd(socket);
        },
        { allowHalfOpen: true },
      );
      assert.ok(back.equals(Buffer.concat([Buffer.from('first'), bytes])));
      // Without allowHalfOpen, the end of the other side is the end of both.
      await serving(
        (socket) => socket.end(),
        async (port) => {
          const socket = await client.connect({ host: SERVER.v4, port });
          socket.resume();
          await once(socket, 'close');
          assert.equal(socket.writableEnded, true);
        },
      );
      const open = await serving(
        (socket) => socket.end('bye').on('data', () => {}),
        async (port) => {
          const socket = await client.connect({ host: SERVER.v4, port, allowHalfOpen: true });
          assert.equal(`${await readToEnd(socket)}`, 'bye');
          const writable = socket.writable;
          socket.end();
          return writable;
        },
      );
      assert.equal(open, true);
    });

    it('back-pressure: a reader that waits stops the writer, and nothing is lost', async () => {
      const chunk = randomBytes(1 << 16);
      const hash = createHash('sha256');
      let accept: (socket: Socket) => void;
      const arrived = new Promise<Socket>((resolve) => {
        accept = resolve;
      });
      const sent = createHash('sha256');
      await serving(
        (socket) => accept(socket),
        async (port) => {
          const socket = await client.connect({ host: SERVER.v6, port });
          let written = 0;
          const write = (): boolean => {
            sent.update(chunk);
            written += chunk.length;
            return socket.write(chunk);
          };
          // Kernel buffers are full at some time, and then this process's own.
          while (write() || socket.writableLength < 4 * chunk.length) {
            assert.ok(written < 256 << 20);
            await new Promise((resolve) => setImmediate(resolve));
          }
          const drained = once(socket, 'drain');
          let received = 0;
          // Its helper may hand over the connection later than the kernel takes what is written to it.
          const accepted = await arrived;
          accepted.on('data', (data: Buffer) => {
            hash.update(data);
            received += data.length;
          });
          accepted.resume();
          await drained;
          socket.end();
          await once(accepted, 'end');
          assert.equal(received, written);
        },
        { pauseOnConnect: true },
      );
      assert.equal(hash.digest('hex'), sent.digest('hex'));
    });

    it('timeouts, resets and a connection that is given up', async () => {
      await serving(
        (socket) => socket.on('error', () => {}),
        async (port) => {
          const idle = await client.connect({ host: SERVER.v4, port });
          idle.setTimeout(50);
          await once(idle, 'timeout');
          assert.equal(idle.destroyed, false);
          idle.destroy();
        },
      );
      await serving(
        (socket) => socket.resetAndDestroy(),
        async (port) => {
          // As with net.connect: it may come before the connection is noticed, or after.
          const reset = client.connect({ host: SERVER.v4, port }).then((socket) => once(socket, 'error'));
          const [error] = await reset.catch((refused: unknown) => [refused]);
          assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
        },
      );
      // Nobody has this address: the device says so by ICMP, at once.
      await assert.rejects(client.connect({ host: '10.99.9.9', port: 9 }), hasCode('EHOSTUNREACH'));
      // Its peer has this one, and does not answer.
      const silent = SecretKey.generatePrivateKey().publicKey();
      await client.configure({ peers: [{ publicKey: silent, endpoint: '127.0.0.1:9', allowedIps: ['10.98.0.0/16'] }] });
      const signal = AbortSignal.timeout(200);
      await assert.rejects(client.connect({ host: '10.98.0.1', port: 9, signal }), { name: 'TimeoutError' });
      await assert.rejects(client.connect({ host: SERVER.v4, port: 9, signal: AbortSignal.abort() }), {
        name: 'AbortError',
      });
      await client.configure({ peers: [{ publicKey: silent, remove: true }] });
    });

    it('names are looked up inside the tunnel: for connect, lookup and UDP', async () => {
      const asked: string[] = [];
      const dns = await server.bindUdp({ host: SERVER.v4, port: 53 });
      answerNames(dns, asked);
      try {
        assert.deepEqual(await client.lookup('web.inside.test', 4), [{ address: SERVER.v4, family: 4 }]);
        const said = await serving(
          (socket) => socket.end('by name'),
          async (port) => text(await client.connect({ host: 'web.inside.test', port })),
        );
        assert.equal(said, 'by name');
        assert.ok(asked.includes('web.inside.test'));
        await assert.rejects(client.lookup('nothing.inside.test'), hasCode('ENOTFOUND'));

        const receiver = await server.bindUdp();
        const sender = await client.bindUdp();
        const heard = once(receiver, 'message');
        sender.send('to a name', receiver.address().port, 'udp.inside.test');
        const [message] = (await heard) as [Buffer];
        assert.equal(`${message}`, 'to a name');
        assert.ok(asked.includes('udp.inside.test'));
        receiver.close();
        sender.close();
      } finally {
        dns.close();
      }
    });

    it('UDP: a name to bind at is of the family that it has inside', async () => {
      const socket = await client.bindUdp({ host: 'localhost' });
      const { address, port } = socket.address();
      const heard = once(socket, 'message');
      socket.send('to itself', port, address);
      assert.equal(`${((await heard) as [Buffer])[0]}`, 'to itself');
      socket.close();
    });

    it('an address with an interface binds there, and not everywhere', async () => {
      const listener = await client.listen({ host: `${CLIENT.v6}%wg0` });
      assert.equal((listener.address() as AddressInfo).address, CLIENT.v6);
      listener.close();
    });

    it('UDP: datagrams of every size, both ways', async () => {
      const echo = await server.bindUdp({ host: '::', port: 7000 });
      echo.on('message', (message: Buffer, from: RemoteInfo) => echo.send(message, from.port, from.address));
      for (const [host, local] of [
        [SERVER.v4, CLIENT.v4],
        [SERVER.v6, '::'],
      ] as const) {
        const socket = await client.bindUdp({ host: local });
        for (const size of [0, 1, 1300, 9000, 60_000]) {
          const answered = once(socket, 'message');
          const sent = randomBytes(size);
          socket.send(sent, 7000, host);
          const [message, from] = (await answered) as [Buffer, RemoteInfo];
          assert.ok(message.equals(sent), `${size} bytes to ${host}`);
          assert.equal(from.address, host);
        }
        socket.close();
      }
      echo.close();
    });

    it(`${CYCLES} connections opened and closed leave no descriptor`, async () => {
      await serving(
        (socket) => socket.on('error', () => {}).end('x'),
        async (port) => {
          const cycle = async (i: number): Promise<void> => {
            const socket = await client.connect({ host: SERVER.v4, port });
            if (i % 3 === 0) socket.destroy();
            else await text(socket);
            if (!socket.closed) await once(socket, 'close');
          };
          const round = async (count: number): Promise<void> => {
            for (let i = 0; i < count; i += 20) await Promise.all(Array.from({ length: 20 }, (_, j) => cycle(i + j)));
          };
          await round(200);
          const helpers = descendants();
          const before = { own: openDescriptors(), helpers: helpers.map(descriptorsOf) };
          await round(CYCLES);
          while (openDescriptors() > before.own) await sleep(20);
          assert.deepEqual(helpers.map(descriptorsOf), before.helpers);
        },
      );
    });

    it('says what is wrong, whatever is called when', async () => {
      const wrong: readonly [() => Promise<unknown>, code: string, message: RegExp][] = [
        [() => client.connect({ host: '', port: 1 }), 'ERR_INVALID_ARGUMENT', /host: expected a host name/],
        [() => client.connect({ host: 'a b', port: 1 }), 'ERR_INVALID_ARGUMENT', /host/],
        [
          () => client.connect({ host: SERVER.v4, port: 0 }),
          'ERR_INVALID_ARGUMENT',
          /port: expected an integer from 1/,
        ],
        [() => client.connect({ host: SERVER.v4, port: 65_536 }), 'ERR_INVALID_ARGUMENT', /port/],
        [() => client.connect({ host: SERVER.v4, port: '80' as never }), 'ERR_INVALID_ARGUMENT', /port/],
        [() => client.connect(undefined as never), 'ERR_INVALID_ARGUMENT', /host, port/],
        [() => client.connect({ host: SERVER.v4, port: 1, localAddress: 'x' }), 'ERR_INVALID_ARGUMENT', /localAddress/],
        [() => client.connect({ host: SERVER.v4, port: 1, localAddress: '1.2.3.4' }), 'EADDRNOTAVAIL', /./],
        [() => client.connect({ host: SERVER.v4, port: 1, signal: {} as never }), 'ERR_INVALID_ARGUMENT', /signal/],
        [() => client.connect({ host: SERVER.v4, port: 1, noDelay: 1 as never }), 'ERR_INVALID_ARGUMENT', /noDelay/],
        // Two addresses were tried.
        [() => client.connect({ host: 'localhost', port: 1 }), 'ECONNREFUSED', /127\.0\.0\.1:1/],
        // That tunnel has no name server.
        [() => server.connect({ host: 'a.test', port: 1 }), 'ENOTFOUND', /a\.test: the tunnel has no name server/],
        [() => server.lookup('a.test'), 'ENOTFOUND', /no name server/],
        [() => server.bindUdp({ host: 'a.test' }), 'ENOTFOUND', /no name server/],
        [() => server.listen({ host: 'fe80::1%nowhere' }), 'EINVAL', /./],
        [() => client.lookup('localhost', 5 as never), 'ERR_INVALID_ARGUMENT', /family: expected 4 or 6/],
        [() => client.listen({ port: -1 }), 'ERR_INVALID_ARGUMENT', /port/],
        [() => client.listen({ keepAliveInitialDelay: -1 }), 'ERR_INVALID_ARGUMENT', /keepAliveInitialDelay/],
        [() => client.listen({ host: '192.0.2.1' }), 'EADDRNOTAVAIL', /./],
        [() => client.bindUdp({ host: 'no host' }), 'ERR_INVALID_ARGUMENT', /host/],
        [
          () => createRootlessDevice({ addresses: ['fd00::1'], mtu: 1279 }),
          'ERR_INVALID_ARGUMENT',
          /mtu: expected at least 1280 with IPv6/,
        ],
        [
          () => createRootlessDevice({ addresses: ['10.0.0.1'], dns: ['10.0.0.9'] as never }),
          'ERR_INVALID_ARGUMENT',
          /dns: expected \{ servers, search \}/,
        ],
        [() => createRootlessDevice({ addresses: ['10.0.0.1'], log: 7 as never }), 'ERR_INVALID_ARGUMENT', /log/],
        [() => createRootlessDevice({}), 'ERR_INVALID_ARGUMENT', /addresses: expected at least one/],
        [() => createRootlessDevice({ addresses: ['10.0.0.1; reboot'] }), 'ERR_INVALID_ARGUMENT', /addresses\[0\]/],
        [() => createRootlessDevice({ config: '[Interface]\nPostUp = x' }), 'ERR_UNSUPPORTED', /PostUp/],
        [
          () => createRootlessDevice({ addresses: ['10.0.0.1'], dns: { servers: ['dns.test'] } }),
          'ERR_INVALID_ARGUMENT',
          /dns\.servers\[0\]/,
        ],
        [
          () => createRootlessDevice({ addresses: ['10.0.0.1'], config: { fwmark: 7 } }),
          'EPERM',
          /a fwmark needs CAP_NET_ADMIN/,
        ],
      ];
      const before = descendants().length;
      for (const [call, code, message] of wrong) await assert.rejects(call(), hasCode(code, message), `${call}`);
      const first = await client.listen({ port: 4000 });
      await assert.rejects(client.listen({ port: 4000 }), hasCode('EADDRINUSE'));
      first.close();
      await once(first, 'close');
      // Bound by both before one of them listens.
      const both = await Promise.allSettled([1, 2].map(() => client.listen({ port: 4000 })));
      for (const each of both) {
        if (each.status === 'fulfilled') each.value.close();
        else assert.ok(hasCode('EADDRINUSE')(each.reason), `${each.reason}`);
      }
      assert.equal(descendants().length, before);
    });

    it('closes whole: sockets, servers, processes', async () => {
      const other = await openTunnel();
      const listener = await other.server.listen();
      const accepted = once(listener, 'connection') as Promise<[Socket]>;
      const socket = await other.client.connect({ host: SERVER.v4, port: portOf(listener) });
      const udp = await other.client.bindUdp();
      const closedByOwner = await other.client.bindUdp();
      const [there] = await accepted;
      there.on('error', () => {});
      const pending = other.client.connect({ host: SERVER.v4, port: portOf(listener) });
      const closed = Promise.all([
        once(socket, 'close'),
        once(udp, 'close'),
        once(listener, 'close'),
        once(there, 'close'),
      ]);
      const helpers = descendants().length;
      closedByOwner.close();
      await Promise.all([other.close(), assert.rejects(pending, hasCode('ERR_CLOSED'))]);
      await closed;
      assert.ok(descendants().length < helpers);
      for (const call of [
        () => other.client.connect({ host: SERVER.v4, port: 1 }),
        () => other.client.listen(),
        () => other.client.bindUdp(),
        () => other.client.lookup('x'),
        () => other.client.status(),
      ]) {
        await assert.rejects(call(), hasCode('ERR_CLOSED'));
      }
      await other.client.close();
    });

    it('a killed helper ends the device with an error, and nothing stays', async () => {
      const before = descendants();
      const device = await createRootlessDevice({ addresses: ['10.1.1.1/32'] });
      const mine = descendants().filter((pid) => !before.includes(pid));
      assert.ok(mine.length > 0);
      const failed = once(device, 'error').catch((error: unknown) => [error]);
      const errors: unknown[] = [];
      device.on('error', (error) => errors.push(error));
      const closed = new Promise<void>((resolve) => device.on('close', resolve));
      execFileSync('kill', ['-KILL', `${mine.at(-1)}`]);
      // Before this process can have noticed.
      const calls = [1, 2, 3].map(() =>
        assert.rejects(device.connect({ host: '10.1.1.1', port: 1 }), hasCode('ERR_CLOSED')),
      );
      await Promise.all(calls);
      await closed;
      await failed;
      assert.ok(hasCode('ERR_DEVICE')(errors[0]), `${errors[0]}`);
      assert.deepEqual(
        descendants().filter((pid) => !before.includes(pid)),
        [],
      );
    });
  });
});

function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return -1;
  }
}
