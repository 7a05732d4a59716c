/** Requests whose connection is still being made, beside the same ones without a tunnel. See tunnel.ts. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, createServer, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { Agent as UndiciAgent } from 'undici';
import { SecretKey } from '../../src/index.js';
import { addressOf, allocate, loadLibrary } from '../../src/linux/ffi.js';
import { asOrdinaryUser } from '../rootless/user.js';
import { openTunnel, SERVER, type Tunnel } from './tunnel.js';

/** Of a peer that does not answer. */
const SILENT = '10.98.0.1';

const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const getsockopt = loadLibrary(null).func('getsockopt', 'int', ['int', 'int', 'int', 'pointer', 'pointer']);

/** tcp(7). */
function hasNoDelay(socket: Socket): boolean {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const answer = allocate(8);
  const size = new DataView(answer.buffer);
  size.setUint32(4, 4, true);
  assert.equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, addressOf(answer), addressOf(answer) + 4), 0);
  return answer[0] !== 0;
}

/** What a request tells until it is closed. */
async function story(started: ClientRequest, handle: (started: ClientRequest) => void = () => {}): Promise<string[]> {
  const told: string[] = [];
  started.on('timeout', () => told.push('timeout'));
  started.on('error', (error: NodeJS.ErrnoException) => told.push(`error ${error.code} ${error.message}`));
  started.on('response', (response: IncomingMessage) => response.resume());
  const closed = new Promise((resolve) => started.on('close', resolve));
  handle(started);
  started.end();
  await closed;
  return told;
}

asOrdinaryUser(import.meta.filename, () => {
  describe('requests through a tunnel', { timeout: 180_000 }, () => {
    let tunnel: Tunnel;
    let listener: Server;
    let port = 0;
    const accepted = new Set<Socket>();
    const http = createServer(async (message, response) => response.end(await text(message)));
    before(async () => {
      tunnel = await openTunnel();
      const publicKey = SecretKey.generatePrivateKey().publicKey();
      const peers = [{ publicKey, endpoint: '127.0.0.1:9', allowedIps: [`${SILENT}/32`] }];
      await tunnel.client.configure({ peers });
      listener = await tunnel.server.listen({ host: SERVER.v4 });
      listener.on('connection', (socket: Socket) => {
        accepted.add(socket);
        http.emit('connection', socket);
      });
      port = (listener.address() as AddressInfo).port;
    });
    after(() => tunnel.close());

    const ways: Readonly<Record<string, readonly [RequestOptions, ((started: ClientRequest) => void)?]>> = {
      timeout: [{ timeout: 100 }, (started) => started.on('timeout', () => started.destroy(new Error('late')))],
      destroy: [{}, (started) => setTimeout(() => started.destroy(), 50)],
      signal: [{ signal: AbortSignal.timeout(50) }],
    };
    for (const [way, [options, handle]] of Object.entries(ways)) {
      it(`are ended by their ${way} as others are, also before there is a connection`, async () => {
        // Without a tunnel: a connection that is made at once, and never answered.
        const deaf = createNetServer().listen(0, '127.0.0.1');
        await once(deaf, 'listening');
        const { signal: _, ...plain } = options;
        const again = way === 'signal' ? { signal: AbortSignal.timeout(50) } : {};
        const expected = await story(
          request({ ...plain, ...again, host: '127.0.0.1', port: (deaf.address() as AddressInfo).port }),
          handle,
        );
        deaf.close();
        const agent = tunnel.client.createHttpAgent();
        const fresh = way === 'signal' ? { signal: AbortSignal.timeout(50) } : {};
        const told = await story(request({ ...plain, ...fresh, host: SILENT, port: 80, agent }), handle);
        assert.deepEqual(told, expected);
        assert.deepEqual(Object.keys(agent.sockets), []);
        assert.equal((agent as unknown as { totalSocketCount: number }).totalSocketCount, 0);
      });
    }

    it("tell the agent's own timeout, connected or not", async () => {
      const agent = tunnel.client.createHttpAgent({ timeout: 100 });
      const late = (started: ClientRequest): void => {
        started.on('timeout', () => started.destroy());
      };
      const told = ['timeout', 'error ECONNRESET socket hang up'];
      assert.deepEqual(await story(request({ host: SILENT, port: 80, agent }), late), told);
      const deaf = await tunnel.server.listen({ host: SERVER.v4 });
      deaf.on('connection', (socket: Socket) => socket.on('error', () => {}));
      const there = { host: SERVER.v4, port: (deaf.address() as AddressInfo).port };
      assert.deepEqual(await story(request({ ...there, agent }), late), told);
      deaf.close();
    });

    it('open no more connections than they may, and go on after one that failed', async () => {
      const agent = tunnel.client.createHttpAgent({ keepAlive: true, maxSockets: 2 });
      accepted.clear();
      const answers = await Promise.all(
        Array.from({ length: 10 }, async (_, i) => {
          const started = request({ host: SERVER.v4, port, agent, method: 'POST' }).end(`${i}`);
          const [response] = (await once(started, 'response')) as [IncomingMessage];
          return text(response);
        }),
      );
      assert.deepEqual(
        answers,
        Array.from({ length: 10 }, (_, i) => `${i}`),
      );
      assert.equal(accepted.size, 2);
      agent.destroy();

      const single = tunnel.client.createHttpAgent({ maxSockets: 1 });
      const told = await Promise.all(
        Array.from({ length: 3 }, () => story(request({ host: SERVER.v4, port: 1, agent: single }))),
      );
      for (const each of told) assert.match(each.join(), /^error ECONNREFUSED connect ECONNREFUSED 10\.77\.0\.1:1$/);
      assert.deepEqual([Object.keys(single.sockets), Object.keys(single.requests)], [[], []]);
    });

    it('end with an agent that is destroyed while they connect', async () => {
      const agent = tunnel.client.createHttpAgent();
      const told = await story(request({ host: SILENT, port: 80, agent }), () => setTimeout(() => agent.destroy(), 50));
      assert.deepEqual(told, ['error ECONNRESET socket hang up']);
    });

    it('send small writes at once, as connections of Node.js do', async () => {
      const agent = tunnel.client.createHttpAgent();
      const started = request({ host: SERVER.v4, port, agent, method: 'POST' }).end('x');
      const [response] = (await once(started, 'response')) as [IncomingMessage];
      assert.equal(hasNoDelay(response.socket), true);
      assert.equal(await text(response), 'x');
      for (const noDelay of [true, false]) {
        const other = await tunnel.server.listen({ host: SERVER.v4, noDelay });
        const arrived = once(other, 'connection') as Promise<[Socket]>;
        const to = { host: SERVER.v4, port: (other.address() as AddressInfo).port };
        const socket = await tunnel.client.connect({ ...to, noDelay });
        const [accepted] = await arrived;
        assert.deepEqual([hasNoDelay(socket), hasNoDelay(accepted)], [noDelay, noDelay]);
        socket.destroy();
        other.close();
      }
    });

    it('fetch gives up after connectTimeout', async () => {
      const dispatcher = tunnel.client.createDispatcher(UndiciAgent, { connectTimeout: 100 });
      const init = { dispatcher } as unknown as RequestInit;
      await assert.rejects(fetch(`http://${SILENT}/`, init), (error) => {
        const { code, message } = (error as Error).cause as NodeJS.ErrnoException;
        return code === 'ETIMEDOUT' && /10\.98\.0\.1:.*within 100 ms/.test(message);
      });
      await dispatcher.close();
      assert.throws(() => tunnel.client.createDispatcher(UndiciAgent, { connectTimeout: -1 }), {
        code: 'ERR_INVALID_ARGUMENT',
      });
    });
  });
});
