/**
 * The namespace by itself, without a tunnel behind its TUN:
 *
 *   this process ── helper ── commands, sockets
 *                      | wg0 10.99.0.2/24, fd99::2/64, default routes
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { addressOf, allocate } from '../../src/linux/ffi.js';
import { RLIMIT_NOFILE, setrlimit } from '../../src/linux/libc.js';
import { RootlessNamespace } from '../../src/rootless/namespace.js';
import { until } from '../netns/job.js';
import { mark, processes, theSleep } from './processes.js';
import { asOrdinaryUser } from './user.js';

const ADDRESSES = ['10.99.0.2/24', 'fd99::2/64'];
const ROUTES = ['0.0.0.0/0', '::/0'];

/** Runs a shell script inside. @returns what it printed, and how it ended */
async function sh(namespace: RootlessNamespace, script: string): Promise<{ output: string; code: number | null }> {
  const path = `${process.env['HOME']}/output-${process.pid}`;
  const fd = openSync(path, 'w+');
  const nothing = openSync('/dev/null', 'r');
  try {
    const running = await namespace.run(['sh', '-c', script], { streams: [nothing, fd, fd] });
    const { code } = await running.exited;
    return { output: readFileSync(path, 'utf8'), code };
  } finally {
    closeSync(fd);
    closeSync(nothing);
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

asOrdinaryUser(import.meta.filename, () => {
  describe('RootlessNamespace', { timeout: 180_000 }, () => {
    let namespace: RootlessNamespace;

    before(async () => {
      namespace = await RootlessNamespace.open({
        addresses: ADDRESSES,
        routes: ROUTES,
        mtu: 1380,
        dns: { servers: ['10.99.0.1', 'fd99::1'], search: ['example.test'] },
      });
    });
    after(() => namespace.close());

    it('open: hands over a TUN whose other side has the addresses, routes and MTU', async () => {
      assert.match(readlinkSync(`/proc/self/fd/${namespace.tunFd}`), /\/net\/tun$/);
      const { output } = await sh(namespace, 'ip -o address; ip route; ip -6 route; cat /sys/class/net/wg0/mtu');
      for (const part of ['10.99.0.2/24', 'fd99::2/64', '127.0.0.1/8', 'default dev wg0']) {
        assert.ok(output.includes(part), `${part} in ${output}`);
      }
      assert.match(output, /\n1380\n/);
    });

    it('open: shows loopback and the tunnel, and no other interface', async () => {
      const { output } = await sh(namespace, 'ip -o link | cut -d: -f2; ls /sys/class/net');
      assert.deepEqual([...new Set(output.split(/\s+/).filter(Boolean))].sort(), ['lo', 'wg0']);
    });

    it("open: names are looked up by the tunnel's servers and the files alone", async () => {
      const { output } = await sh(
        namespace,
        'cat /etc/resolv.conf; grep ^hosts: /etc/nsswitch.conf; getent hosts localhost',
      );
      assert.match(output, /nameserver 10\.99\.0\.1\nnameserver fd99::1\nsearch example\.test\n/);
      assert.match(output, /^hosts: files dns$/m);
      assert.match(output, /^(::1|127\.0\.0\.1)\s+localhost/m);
    });

    it('run: the command is the user, who has no power over the network', async () => {
      const { output, code } = await sh(
        namespace,
        'id -u; id -g; ip link set wg0 down; ip route add 192.0.2.1 dev lo; exit 7',
      );
      assert.match(output, new RegExp(`^${process.getuid?.()}\n${process.getgid?.()}\n`));
      assert.equal(output.match(/Operation not permitted/g)?.length, 2);
      assert.equal(code, 7);
    });

    it('run: a signal ends the command and is told', async () => {
      const running = await namespace.run(['sleep', '600']);
      running.signal('SIGTERM');
      assert.deepEqual(await running.exited, { code: null, signal: 15 });
    });

    it('run: no zombie is left of orphans', async () => {
      await sh(namespace, 'for i in 1 2 3 4 5; do (sleep 0.05 & ) ; done');
      await until('no zombie', async () => !/^Z/m.test((await sh(namespace, 'ps -eo stat,comm')).output));
    });

    it('listen, connect: data goes both ways, and each end sees the end of the other', async () => {
      const server = await namespace.listen({ host: '::1', allowHalfOpen: true });
      server.on('connection', (socket: Socket) => {
        let got = '';
        socket.on('data', (chunk) => {
          got += chunk;
        });
        socket.on('end', () => socket.end(`got ${got}`));
      });
      const { port } = server.address() as AddressInfo;
      const client = await namespace.connect({ host: 'localhost', port, allowHalfOpen: true });
      client.end('half');
      assert.equal(await text(client), 'got half');
      server.close();
    });

    it('connect: what the server says first is not lost', async () => {
      const server = await namespace.listen({ host: '127.0.0.1' });
      server.on('connection', (socket) => socket.end('welcome'));
      const { port } = server.address() as AddressInfo;
      for (let i = 0; i < 50; i++) {
        assert.equal(await text(await namespace.connect({ host: '127.0.0.1', port })), 'welcome');
      }
      server.close();
    });

    it("listen: ports below 1024 are nobody else's inside", async () => {
      const server = await namespace.listen({ port: 22 });
      assert.equal((server.address() as AddressInfo).port, 22);
      server.close();
    });

    it('bindUdp: sockets talk to each other', async () => {
      const [a, b] = await Promise.all([namespace.bindUdp({ host: '::1' }), namespace.bindUdp({ host: '::1' })]);
      const got = new Promise<string>((resolve) => a.once('message', (message) => resolve(message.toString())));
      b.send('over', a.address().port, '::1');
      assert.equal(await got, 'over');
      a.close();
      b.close();
    });

    it('lookup, connect, listen: what fails says why by its code', async () => {
      await assert.rejects(namespace.connect({ host: '127.0.0.1', port: 1 }), { code: 'ECONNREFUSED' });
      await assert.rejects(namespace.listen({ host: '192.0.2.1' }), { code: 'EADDRNOTAVAIL' });
      assert.deepEqual((await namespace.lookup('localhost', 4))[0], { address: '127.0.0.1', family: 4 });
    });

    it('connect: an abort gives up at once, and nothing stays open', async () => {
      const before = openDescriptors();
      await assert.rejects(namespace.connect({ host: '10.99.0.99', port: 9, signal: AbortSignal.timeout(50) }), {
        name: 'TimeoutError',
      });
      assert.equal(openDescriptors(), before);
    });

    it('connect: 3,000 connections, 300 at a time, leak no descriptor', async () => {
      const server = await namespace.listen({ host: '127.0.0.1' });
      server.on('connection', (socket) => socket.resume().end());
      const { port } = server.address() as AddressInfo;
      const before = openDescriptors();
      for (let round = 0; round < 10; round++) {
        const sockets = await Promise.all(
          Array.from({ length: 300 }, () => namespace.connect({ host: '127.0.0.1', port })),
        );
        await Promise.all(sockets.map((socket) => text(socket)));
      }
      await until(
        () => `descriptors to be closed: ${openDescriptors()}, ${before} before`,
        () => openDescriptors() <= before + 2,
      );
      const helpers = async (): Promise<number> => Number((await sh(namespace, 'ls /proc/1/fd | wc -l')).output);
      await until('the helper to have few descriptors', async () => (await helpers()) < 40);
      server.close();
    });
  });

  it('close: all is gone, a grandchild in a session of its own too; what is asked afterwards is refused', async () => {
    const namespace = await RootlessNamespace.open({ addresses: ADDRESSES, routes: [] });
    const seconds = mark();
    await sh(namespace, `setsid sleep ${seconds} &`);
    await theSleep(seconds);
    await namespace.close();
    assert.deepEqual(processes(`sleep\0${seconds}`), []);
    await assert.rejects(namespace.connect({ host: '127.0.0.1', port: 1 }), { code: 'ERR_CLOSED' });
    closeSync(namespace.tunFd);
  });

  it('open: with no more than a few descriptors left it is an error, and leaves nothing', async () => {
    const before = openDescriptors();
    // With 6 and 7, Node.js itself leaves pipes of the process open that it could not start.
    for (const free of [1, 2, 3, 4, 5]) {
      const giveBack = leaveFree(free);
      try {
        await assert.rejects(RootlessNamespace.open({ addresses: ADDRESSES, routes: ROUTES }), {
          name: 'RootlessError',
          code: 'EMFILE',
        });
      } finally {
        giveBack();
      }
    }
    assert.equal(openDescriptors(), before);
  });

  it('open: an impossible route is an error with the words of ip, and leaves nothing', async () => {
    const before = openDescriptors();
    await assert.rejects(RootlessNamespace.open({ addresses: ADDRESSES, routes: ['10.0.0.1/99'] }), (error: Error) =>
      /^ip.*: .*10\.0\.0\.1\/99/.test(error.message),
    );
    assert.equal(openDescriptors(), before);
  });
});

/** Takes all descriptors but a few that this process may have. @returns what gives them back */
function leaveFree(count: number): () => void {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const [, soft = '', hard = ''] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits) ?? [];
  const setSoftLimit = (value: bigint): void => {
    const memory = allocate(16);
    new BigUint64Array(memory.buffer).set([value, BigInt(hard)]);
    assert.equal(setrlimit(RLIMIT_NOFILE, addressOf(memory)), 0);
    memory.fill(0);
  };
  const taken: number[] = [];
  while ((taken.at(-1) ?? 0) < 200) taken.push(openSync('/dev/null', 'r'));
  setSoftLimit(BigInt(taken.at(-1)! + 1));
  for (let i = 0; i < count; i++) closeSync(taken.pop()!);
  return () => {
    setSoftLimit(BigInt(soft));
    for (const fd of taken) closeSync(fd);
  };
}
