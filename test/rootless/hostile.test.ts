/** What clients and servers cannot do to forwards and proxies. Both networks are this process's own here. */
import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Credentials } from '../../src/rootless/forwards/credentials.js';
import { type Listener, startForward } from '../../src/rootless/forwards/forward.js';
import { startHttpProxy } from '../../src/rootless/forwards/http.js';
import { type Network, OUTSIDE } from '../../src/rootless/forwards/network.js';
import { startSocks } from '../../src/rootless/forwards/socks.js';
import { until } from '../netns/harness.js';

const LOOPBACK = '127.0.0.1';
const TIMEOUT_MS = 30_000;
const opened: { close(): unknown }[] = [];

afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

function portOf({ address }: Listener): number {
  return Number(address.split(':').at(-1));
}

/** A network that tells how many of its UDP sockets are open. */
class Counting {
  open = 0;
  total = 0;
  readonly network: Network;

  constructor(lookup: Network['lookup'] = OUTSIDE.lookup) {
    const bindUdp: Network['bindUdp'] = async (options) => {
      const socket = await OUTSIDE.bindUdp(options);
      this.open++;
      this.total++;
      socket.once('close', () => this.open--);
      return socket;
    };
    this.network = { ...OUTSIDE, lookup, bindUdp };
  }
}

async function udp(): Promise<UdpSocket> {
  const socket = createSocket('udp4');
  opened.push(socket);
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  return socket;
}

/** Says all of it, and then no more. @returns all that is answered, in hexadecimal */
async function talk(port: number, ...chunks: readonly Buffer[]): Promise<string> {
  const socket = connect({ port, host: LOOPBACK, allowHalfOpen: true });
  let got = '';
  socket.setEncoding('hex').on('data', (some: string) => {
    got += some;
  });
  socket.on('error', () => {});
  socket.on('end', () => socket.destroy());
  for (const chunk of chunks) socket.write(chunk);
  socket.end();
  await once(socket, 'close');
  return got;
}

const hex = (digits: string): Buffer => Buffer.from(digits, 'hex');
const GREETING = hex('050100');

describe('-L /udp', { timeout: TIMEOUT_MS }, () => {
  it('a target that there is no way to ends nothing, and leaves no socket', async () => {
    // IPv6 by a socket of IPv4: connect(2) refuses.
    const to = new Counting(async () => [{ address: '::1', family: 4 }]);
    const spec = { protocol: 'udp', port: 0, host: 'nowhere', hostPort: 53 } as const;
    const forward = await startForward(OUTSIDE, to.network, spec, LOOPBACK);
    opened.push(forward);
    const client = await udp();
    for (let count = 1; count <= 5; count++) {
      client.send('datagram', portOf(forward), LOOPBACK);
      await until('a socket to be opened', () => to.total === count);
      await until('it to be closed', () => to.open === 0);
    }
  });

  it('many senders that come during a look-up wait for that one', async () => {
    let [lookups, arrived] = [0, 0];
    let found = (): void => {};
    const lookup = async (): ReturnType<Network['lookup']> => {
      lookups++;
      await new Promise<void>((resolve) => {
        found = resolve;
      });
      return [{ address: LOOPBACK, family: 4 }];
    };
    const server = await udp();
    server.on('message', () => arrived++);
    const spec = { protocol: 'udp', port: 0, host: 'a.example', hostPort: server.address().port } as const;
    const forward = await startForward(OUTSIDE, { ...OUTSIDE, lookup }, spec, LOOPBACK);
    opened.push(forward);
    for (let sender = 0; sender < 20; sender++) (await udp()).send('datagram', portOf(forward), LOOPBACK);
    await until('a look-up', () => lookups > 0);
    await sleep(200);
    assert.equal(lookups, 1);
    await until('datagrams to arrive', () => {
      found();
      return arrived === 20;
    });
  });
});

describe('-D', { timeout: TIMEOUT_MS }, () => {
  async function socks(inside: Network = OUTSIDE, credentials?: Credentials): Promise<number> {
    const listener = await startSocks(inside, LOOPBACK, 0, credentials);
    opened.push(listener);
    return portOf(listener);
  }

  it('a greeting without methods is refused, however much comes behind it', async () => {
    const port = await socks();
    assert.equal(await talk(port, hex('0500')), '05ff');
    assert.equal(await talk(port, Buffer.concat([hex('0500'), Buffer.alloc(100_000)])), '05ff');
  });

  it('an empty password is one', async () => {
    const login = hex('01047573657200');
    const answers = async (pair: string): Promise<string> =>
      talk(await socks(OUTSIDE, new Credentials(Buffer.from(pair))), hex('050102'), login);
    assert.equal(await answers('user:'), '05020100');
    assert.equal(await answers('user:secret'), '05020101');
  });

  it('a name without a letter is a host that is not reached', async () => {
    const answer = await talk(await socks(), GREETING, hex('05010003000050'));
    assert.equal(answer, '050005040001000000000000');
  });

  /** @returns the connection that keeps the association, and the relay's port */
  async function associate(port: number): Promise<{ control: Socket; relay: number }> {
    const control = connect(port, LOOPBACK);
    opened.push({ close: () => control.destroy() });
    control.write(GREETING);
    await once(control, 'data');
    control.write(hex('05030001000000000000'));
    const [answer] = (await once(control, 'data')) as [Buffer];
    return { control, relay: answer.readUInt16BE(8) };
  }

  it('UDP: an association that ends during a look-up leaves no socket', async () => {
    let found: (() => void) | undefined;
    const inside = new Counting(async () => {
      await new Promise<void>((resolve) => {
        found = resolve;
      });
      return [{ address: LOOPBACK, family: 4 }];
    });
    const { control, relay } = await associate(await socks(inside.network));
    const client = await udp();
    client.send(hex('0000000301610007'), relay, LOOPBACK);
    await until('the look-up', () => found !== undefined);
    control.destroy();
    await sleep(100);
    found?.();
    await sleep(100);
    await until('sockets to be closed', () => inside.open === 0);
  });

  it('UDP: no more than 64 datagrams wait for look-ups', async () => {
    let lookups = 0;
    const lookup = (): Promise<never> => {
      lookups++;
      return new Promise(() => {});
    };
    const { relay } = await associate(await socks({ ...OUTSIDE, lookup }));
    const client = await udp();
    for (let name = 100; name < 200; name++) {
      client.send(Buffer.concat([hex('0000000303'), Buffer.from(`${name}`), hex('0007')]), relay, LOOPBACK);
    }
    await until('look-ups', () => lookups >= 64);
    await sleep(200);
    assert.equal(lookups, 64);
  });

  it('UDP: what failed for one datagram is tried again for the next', async () => {
    const server = await udp();
    const failing = <T>(work: () => Promise<T>): (() => Promise<T>) => {
      let calls = 0;
      return async () => {
        if (++calls === 1) throw new Error('not now');
        return work();
      };
    };
    const lookup = failing<readonly { address: string; family: number }[]>(async () => [
      { address: LOOPBACK, family: 4 },
    ]);
    const bindUdp = failing(() => OUTSIDE.bindUdp({ host: LOOPBACK }));
    const { relay } = await associate(await socks({ ...OUTSIDE, lookup, bindUdp }));
    const message = hex('0000000301610000');
    message.writeUInt16BE(server.address().port, 6);
    const client = await udp();
    let arrived = false;
    server.once('message', () => {
      arrived = true;
    });
    await until('a datagram to arrive', () => {
      client.send(message, relay, LOOPBACK);
      return arrived;
    });
  });

  it("UDP: an association is its client's, and not of others at the same address", async () => {
    const [server, client, other] = [await udp(), await udp(), await udp()];
    const { relay } = await associate(await socks());
    const message = Buffer.concat([hex('000000017f000001'), Buffer.alloc(2), Buffer.from('hi')]);
    message.writeUInt16BE(server.address().port, 8);
    client.send(message, relay, LOOPBACK);
    const [, from] = (await once(server, 'message')) as [Buffer, RemoteInfo];
    other.send(message, relay, LOOPBACK);
    server.on('message', () => assert.fail("the other's datagram went through"));
    await sleep(100);
    other.on('message', () => assert.fail("the other got the client's answer"));
    server.send('answer', from.port, LOOPBACK);
    const [answer] = (await once(client, 'message')) as [Buffer];
    assert.equal(answer.toString('latin1', 10), 'answer');
  });
});

describe('--http-proxy', { timeout: TIMEOUT_MS }, () => {
  const answers: Readonly<Record<string, string>> = {
    '/good': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    '/status': 'HTTP/1.1 042 What\r\nContent-Length: 0\r\n\r\n',
    '/switch': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    '/nothing': '',
  };
  let server: Server;
  let proxy: Listener;

  before(async () => {
    server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (data) => socket.end(answers[/ (\/\w+)/.exec(String(data))?.[1] ?? ''] ?? ''));
    });
    server.listen(0, LOOPBACK);
    await once(server, 'listening');
    proxy = await startHttpProxy(OUTSIDE, LOOPBACK, 0, undefined);
  });
  after(() => {
    proxy.close();
    server.close();
  });

  /** @returns status and body */
  async function get(path: string): Promise<string> {
    const { port } = server.address() as { port: number };
    const request = httpGet({
      host: LOOPBACK,
      port: portOf(proxy),
      path: `http://${LOOPBACK}:${port}${path}`,
      agent: false,
    });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return `${response.statusCode} ${await text(response)}`;
  }

  for (const path of ['/status', '/switch', '/nothing']) {
    it(`an answer that is none (${path}) is a bad gateway, and the next request goes on`, async () => {
      assert.match(await get(path), /^502 /);
      assert.equal(await get('/good'), '200 ok');
    });
  }
});
