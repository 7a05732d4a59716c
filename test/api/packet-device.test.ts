import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, createPacketDevice, type DeviceConfig, SecretKey, TypetunError } from '../../src/api/core.js';
import { ipPacket } from '../core/simulator.js';
import { createPair } from './pair.js';

const nothing = { onDatagram: () => {}, onPacket: () => {} };

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof TypetunError && error.code === code;
}

describe('PacketDevice', () => {
  it('carries packets both ways, and says what happens', () => {
    const { a, b } = createPair();
    const events: string[] = [];
    for (const [name, { device }] of Object.entries({ a, b })) {
      device.on('handshake', ({ publicKey }) => events.push(`${name} handshake ${publicKey === a.publicKey}`));
      device.on('endpointChanged', ({ endpoint }) => events.push(`${name} ${endpoint}`));
    }
    const there = ipPacket('10.0.0.1', '10.0.0.2', 1000);
    const back = ipPacket('fd00::2', 'fd00::1', 100);
    a.device.sendPacket(there);
    b.device.sendPacket(back);
    assert.deepEqual(b.packets, [there]);
    assert.deepEqual(a.packets, [back]);
    assert.deepEqual(events, ['b 192.0.2.1:1001', 'b handshake true', 'a handshake false']);
  });

  it('tells its state as it was configured, and takes it back', async () => {
    const { a, b } = createPair();
    a.device.sendPacket(ipPacket('10.0.0.1', '10.0.0.2', 10));
    const status = await a.device.status();
    assert.equal(status.publicKey, a.publicKey);
    assert.equal(status.listenPort, 1001);
    const [peer] = status.peers;
    assert.ok(peer?.presharedKey);
    assert.equal(peer.publicKey, b.publicKey);
    assert.equal(peer.endpoint, '[2001:db8::2]:1002');
    assert.deepEqual(peer.allowedIps, ['10.0.0.2/32', 'fd00::2/128']);
    assert.ok(peer.lastHandshakeTimeMs > 0 && peer.rxBytes > 0 && peer.txBytes > 0);
    const copy = createPacketDevice({ ...nothing, config: status });
    const { peers, drops, ...rest } = copy.statusSync();
    assert.equal(rest.privateKey?.equals(status.privateKey as SecretKey), true);
    assert.deepEqual(
      { ...rest, privateKey: 0 },
      { publicKey: a.publicKey, listenPort: 1001, fwmark: 0, privateKey: 0 },
    );
    assert.deepEqual(drops, {});
    assert.equal(peers[0]?.presharedKey?.equals(peer.presharedKey), true);
    await copy.close();
  });

  it('takes the text of a wg-quick file, and refuses its hooks', () => {
    const key = SecretKey.generatePrivateKey();
    const publicKey = SecretKey.generatePrivateKey().publicKey();
    const file = `[Interface]
PrivateKey = ${key.toBase64()}
Address = 10.0.0.1/24
MTU = 1300
[Peer]
PublicKey = ${publicKey}
Endpoint = [2001:db8::1]:7
AllowedIPs = 10.0.0.0/24, fd00::/64
PersistentKeepalive = 25
`;
    for (const config of [file, new TextEncoder().encode(file)]) {
      const status = createPacketDevice({ ...nothing, config }).statusSync();
      assert.ok(status.privateKey?.equals(key));
      const [peer] = status.peers;
      assert.equal(peer?.publicKey, publicKey);
      assert.equal(peer.endpoint, '[2001:db8::1]:7');
      assert.deepEqual(peer.allowedIps, ['10.0.0.0/24', 'fd00::/64']);
      assert.equal(peer.persistentKeepaliveInterval, 25);
    }
    assert.throws(
      () => createPacketDevice({ ...nothing, config: `${file}[Interface]\nPreUp = true\n` }),
      (error) => hasCode('ERR_UNSUPPORTED')(error) && /line 11: PreUp/.test((error as Error).message),
    );
    assert.throws(
      () => createPacketDevice({ ...nothing, config: `${file}Endpont = 1.2.3.4:5\n` }),
      (error) => error instanceof ConfigError && error.code === 'ERR_CONFIG_LINE' && error.line === 10,
    );
  });

  it('gives up on a silent peer after 90 seconds, and says so', () => {
    const pair = createPair();
    const silent: number[] = [];
    pair.a.device.on('peerSilent', ({ flushedPackets }) => silent.push(flushedPackets));
    pair.isCut = true;
    pair.a.device.sendPacket(ipPacket('10.0.0.1', '10.0.0.2', 10));
    pair.advance(89_000);
    assert.deepEqual(silent, []);
    pair.advance(20_000);
    assert.deepEqual(silent, [1]);
    assert.ok(pair.sent >= 18 && pair.sent <= 20, `${pair.sent} initiations`);
  });

  it('tells of a prefix that moved from one peer to another', () => {
    const { a, b } = createPair();
    const third = SecretKey.generatePrivateKey().publicKey();
    const moved: unknown[] = [];
    a.device.on('allowedIpMoved', (event) => moved.push(event));
    a.device.configureSync({ peers: [{ publicKey: third, allowedIps: ['10.0.0.2/32'] }] });
    assert.deepEqual(moved, [{ allowedIp: '10.0.0.2/32', from: b.publicKey, to: third }]);
  });

  it('drops and counts what is wrong, from either side', () => {
    const { a } = createPair();
    a.device.receiveDatagram(new Uint8Array(65_535).fill(7), { address: '198.51.100.1', port: 9 });
    a.device.receiveDatagram(new Uint8Array(0), { address: '198.51.100.1', port: 9 });
    a.device.sendPacket(new Uint8Array(3));
    a.device.sendPacket(ipPacket('10.0.0.1', '10.9.9.9', 10));
    a.device.sendPacket(new Uint8Array(70_000));
    const { drops } = a.device.statusSync();
    assert.deepEqual(drops, { badInnerPacketOut: 1, noPeer: 1, tooLong: 1, tooShort: 1, badType: 1 });
    // Who sent to nobody is told by ICMP, as a kernel would.
    assert.equal(a.packets.length, 1);
  });

  it('answers to calls out of its own callbacks', () => {
    const { a, b } = createPair();
    const echo = ipPacket('10.0.0.2', '10.0.0.1', 500);
    b.device.on('handshake', () => b.device.sendPacket(echo));
    a.device.on('handshake', () =>
      a.device.configureSync({ peers: [{ publicKey: b.publicKey, allowedIps: ['10.7.0.0/16'] }] }),
    );
    a.device.sendPacket(ipPacket('10.0.0.1', '10.0.0.2', 10));
    assert.deepEqual(a.packets, [echo]);
    assert.ok(a.device.statusSync().peers[0]?.allowedIps.includes('10.7.0.0/16'));
  });

  it('goes on when a callback throws, and does not hide that', async () => {
    const uncaught: unknown[] = [];
    const hear = (error: unknown): void => void uncaught.push(error);
    const { a, b } = createPair();
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', hear);
    b.device.on('handshake', () => {
      throw new Error('a listener failed');
    });
    a.device.sendPacket(ipPacket('10.0.0.1', '10.0.0.2', 10));
    b.packets.push = () => {
      throw new Error('a callback failed');
    };
    a.device.sendPacket(ipPacket('10.0.0.1', '10.0.0.2', 10));
    a.device.receiveDatagram(new Uint8Array(1), { address: '192.0.2.9', port: 1 });
    await sleep(10);
    process.removeListener('uncaughtException', hear);
    for (const listener of before) process.on('uncaughtException', listener);
    assert.deepEqual(
      uncaught.map((error) => (error as Error).message),
      ['a listener failed', 'a callback failed'],
    );
    assert.equal(b.device.statusSync().drops['badTag'], undefined);
  });

  it('runs its timers itself when no clock is given', async () => {
    const key = SecretKey.generatePrivateKey();
    const sent: Uint8Array[] = [];
    const device = createPacketDevice({
      ...nothing,
      onDatagram: (datagram) => sent.push(datagram),
      config: {
        privateKey: key,
        peers: [
          {
            publicKey: SecretKey.generatePrivateKey().publicKey(),
            endpoint: '192.0.2.1:1',
            persistentKeepaliveInterval: 1,
          },
        ],
      },
    });
    // The first goes out at once, the second after 5 seconds and its jitter.
    while (sent.length < 2) await sleep(100);
    assert.deepEqual(
      sent.map((datagram) => datagram.length),
      [148, 148],
    );
    await device.close();
  });

  it('is closed once, by close, `await using` or a signal', async () => {
    const controller = new AbortController();
    const device = createPacketDevice({ ...nothing, signal: controller.signal });
    const closed = once(device as never, 'close');
    controller.abort();
    await closed;
    assert.equal(device.closed, true);
    await device.close();
    for (const call of [
      () => device.configureSync({}),
      () => device.statusSync(),
      () => device.sendPacket(new Uint8Array(20)),
      () => device.receiveDatagram(new Uint8Array(20), { address: '192.0.2.1', port: 1 }),
    ]) {
      assert.throws(call, hasCode('ERR_CLOSED'));
    }
    await assert.rejects(device.status(), hasCode('ERR_CLOSED'));
    assert.throws(() => createPacketDevice({ ...nothing, signal: AbortSignal.abort() }), { name: 'AbortError' });
    let inside: { closed: boolean };
    {
      await using scoped = createPacketDevice(nothing);
      inside = scoped;
      assert.equal(inside.closed, false);
    }
    assert.equal(inside.closed, true);
  });

  it('says what was expected, and changes nothing', () => {
    const publicKey = SecretKey.generatePrivateKey().publicKey();
    const device = createPacketDevice({ ...nothing, config: { listenPort: 7, peers: [{ publicKey }] } });
    const wrong: readonly [config: object, code: string, message: RegExp][] = [
      [{ listenPort: 65_536 }, 'ERR_INVALID_ARGUMENT', /listenPort: expected an integer from 0 to 65535, got 65536/],
      [{ listenPort: '1' }, 'ERR_INVALID_ARGUMENT', /listenPort/],
      [{ fwmark: -1 }, 'ERR_INVALID_ARGUMENT', /fwmark/],
      [[], 'ERR_INVALID_ARGUMENT', /configuration: expected an object, got an array/],
      [{ replacePeers: 1 }, 'ERR_INVALID_ARGUMENT', /replacePeers: expected true or false/],
      [{ listenport: 1 }, 'ERR_INVALID_ARGUMENT', /expected the properties privateKey, listenPort.*got "listenport"/],
      [{ peers: {} }, 'ERR_INVALID_ARGUMENT', /peers: expected an array, got an object of Object/],
      [{ peers: [null] }, 'ERR_INVALID_ARGUMENT', /peers\[0\]: expected an object, got null/],
      [{ peers: [{}] }, 'ERR_INVALID_ARGUMENT', /peers\[0\]\.publicKey/],
      [{ peers: [{ publicKey: 'x' }] }, 'ERR_INVALID_KEY', /peers\[0\]\.publicKey: expected 32 bytes/],
      [{ peers: [{ publicKey: new Uint8Array(31) }] }, 'ERR_INVALID_KEY', /bytes of length 31/],
      [{ privateKey: 'c2VjcmV0IHNlY3JldCBzZWNyZXQ=' }, 'ERR_INVALID_KEY', /^(?!.*c2VjcmV0)/],
      [
        { peers: [{ publicKey, endpoint: 'example.com:1' }] },
        'ERR_INVALID_ENDPOINT',
        /address:port .*"example\.com:1"/,
      ],
      [{ peers: [{ publicKey, endpoint: '1.2.3.4' }] }, 'ERR_INVALID_ENDPOINT', /peers\[0\]\.endpoint/],
      [{ peers: [{ publicKey, allowedIps: ['10.0.0.0/33'] }] }, 'ERR_INVALID_ALLOWED_IP', /allowedIps\[0\]/],
      [{ peers: [{ publicKey, allowedIps: '10.0.0.0/8' }] }, 'ERR_INVALID_ARGUMENT', /expected an array/],
      [{ peers: [{ publicKey, persistentKeepaliveInterval: 0.5 }] }, 'ERR_INVALID_ARGUMENT', /0\.5/],
    ];
    for (const [config, code, message] of wrong) {
      const isWhole = Array.isArray(config) || 'listenPort' in config;
      const change: object = isWhole ? config : { ...config, listenPort: 8 };
      assert.throws(
        () => device.configureSync(change as DeviceConfig),
        (error) => hasCode(code)(error) && message.test((error as Error).message),
        JSON.stringify(config),
      );
    }
    assert.equal(device.statusSync().listenPort, 7);
    for (const options of [undefined, {}, { ...nothing, mtu: 5 }, { ...nothing, now: 7 }, { ...nothing, signal: {} }]) {
      assert.throws(() => createPacketDevice(options as never), hasCode('ERR_INVALID_ARGUMENT'));
    }
    for (const bytes of [null, 'text', [1], new ArrayBuffer(20)] as never[]) {
      assert.throws(() => device.sendPacket(bytes), hasCode('ERR_INVALID_ARGUMENT'));
      const from = { address: '192.0.2.1', port: 1 };
      assert.throws(() => device.receiveDatagram(bytes, from), hasCode('ERR_INVALID_ARGUMENT'));
    }
  });
});
