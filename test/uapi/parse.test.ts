import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceChange } from '../../src/core/change.js';
import { UAPI_INVALID, UAPI_PROTOCOL, UAPI_TOO_BIG } from '../../src/uapi/errno.js';
import { SetParser } from '../../src/uapi/parse.js';
import { bytes, format, parse, randomFrom } from './helpers.js';
import { MemoryDevice } from './memory-device.js';

const KEY_A = 'e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a';
const KEY_B = '58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376';
const PEER = `public_key=${KEY_A}\n`;
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

function change(text: string): DeviceChange {
  const result = parse(text);
  assert.ok('change' in result, `${text}: ${JSON.stringify(result)}`);
  // Views of slabs become plain arrays, so that deepEqual compares what they hold.
  return structuredClone(result.change);
}

test('SetParser reads the example of the protocol description', () => {
  const text =
    `private_key=${KEY_A}\nlisten_port=12912\nfwmark=0\nreplace_peers=true\n` +
    `public_key=${KEY_B}\npreshared_key=${KEY_A}\nprotocol_version=1\nreplace_allowed_ips=true\n` +
    `allowed_ip=192.168.4.4/32\nendpoint=[abcd:23::33%2]:51820\npersistent_keepalive_interval=111\n` +
    `${PEER}remove=true\n\n`;
  for (const size of [1, 2, 7, 63, 64, 65, 1 << 20]) {
    const result = parse(text, size);
    assert.ok('change' in result);
    assert.deepEqual(structuredClone(result.change), {
      privateKey: hex(KEY_A),
      listenPort: 12912,
      fwmark: 0,
      replacePeers: true,
      peers: [
        {
          publicKey: hex(KEY_B),
          presharedKey: hex(KEY_A),
          replaceAllowedIps: true,
          allowedIps: [{ address: Uint8Array.of(192, 168, 4, 4), cidr: 32 }],
          endpoint: { address: hex('abcd0023000000000000000000000033'), port: 51820, scopeId: 2 },
          persistentKeepaliveInterval: 111,
        },
        { publicKey: hex(KEY_A), remove: true },
      ],
    });
  }
});

test('SetParser accepts what wireguard-go accepts', () => {
  assert.deepEqual(change('\n'), {});
  assert.deepEqual(change('\r\n'), {});
  assert.deepEqual(change('listen_port=00051820\r\n\r\n'), { listenPort: 51820 });
  assert.deepEqual(change('listen_port=1\nlisten_port=2\n\n'), { listenPort: 2 });
  assert.deepEqual(change('fwmark=4294967295\n\n'), { fwmark: 0xffffffff });
  assert.deepEqual(change(`private_key=${'0'.repeat(64)}\n\n`), { privateKey: new Uint8Array(32) });
  assert.deepEqual(change(`private_key=${KEY_A.toUpperCase()}\n\n`), { privateKey: hex(KEY_A) });
  assert.deepEqual(change(`${PEER}update_only=true\n\n`).peers, [{ publicKey: hex(KEY_A), updateOnly: true }]);
  assert.equal(change(`${PEER.repeat(3)}\n`).peers?.length, 3);
});

test('SetParser replaces allowed IPs where the line stands', () => {
  const [peer] = change(`${PEER}allowed_ip=1.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=2.0.0.0/8\n\n`).peers!;
  assert.equal(peer!.replaceAllowedIps, true);
  assert.deepEqual(peer!.allowedIps, [{ address: Uint8Array.of(2, 0, 0, 0), cidr: 8 }]);
});

test('SetParser clears host bits and knows prefixes to take away', () => {
  const rows: readonly [string, string, number, boolean?][] = [
    ['10.255.255.255/8', '0a000000', 8],
    ['10.255.255.255/9', '0a800000', 9],
    ['1.2.3.4/0', '00000000', 0],
    ['1.2.3.4/32', '01020304', 32],
    ['-1.2.3.4/31', '01020304', 31, true],
    ['ffff:ffff::/17', 'ffff8000000000000000000000000000', 17],
    ['-::/0', '00000000000000000000000000000000', 0, true],
    ['::1/128', '00000000000000000000000000000001', 128],
    ['::ffff:1.2.3.4/120', '00000000000000000000ffff01020300', 120],
  ];
  for (const [text, address, cidr, remove] of rows) {
    const ip = change(`${PEER}allowed_ip=${text}\n\n`).peers![0]!.allowedIps![0]!;
    assert.deepEqual(ip, remove ? { address: hex(address), cidr, remove } : { address: hex(address), cidr }, text);
  }
});

test('SetParser reads endpoints', () => {
  const rows: readonly [string, string, number, number?][] = [
    ['192.0.2.1:51820', 'c0000201', 51820],
    ['192.0.2.1:0', 'c0000201', 0],
    ['192.0.2.1:065535', 'c0000201', 65535],
    ['[::1]:1', '00000000000000000000000000000001', 1],
    ['[fe80::1%eth0]:1', 'fe800000000000000000000000000001', 1, 2],
    ['[fe80::1%7]:1', 'fe800000000000000000000000000001', 1, 7],
    // A socket of one family cannot send to a mapped address; the address it stands for is what is meant.
    ['[::ffff:192.0.2.1]:1', 'c0000201', 1],
  ];
  for (const [text, address, port, scopeId] of rows) {
    const endpoint = change(`${PEER}endpoint=${text}\n\n`).peers![0]!.endpoint;
    const expected = { address: hex(address), port };
    assert.deepEqual(endpoint, scopeId === undefined ? expected : { ...expected, scopeId }, text);
  }
});

const INVALID: readonly string[] = [
  'unknown=1',
  '=1',
  'errno=0',
  'PRIVATE_KEY=1',
  'private_key=',
  `private_key=${KEY_A.slice(1)}`,
  `private_key=${KEY_A}0`,
  `private_key=${KEY_A.slice(1)}g`,
  `private_key= ${KEY_A.slice(1)}`,
  `private_key =${KEY_A}`,
  'listen_port=',
  'listen_port=65536',
  'listen_port=-1',
  'listen_port=+1',
  'listen_port=1 ',
  'listen_port=0x10',
  'listen_port=1_0',
  'listen_port=1e3',
  'fwmark=',
  'fwmark=4294967296',
  'fwmark=0x1',
  'fwmark=99999999999999999999999999',
  'replace_peers=false',
  'replace_peers=',
  'replace_peers=true ',
  'replace_peers=TRUE',
  'public_key=',
  `public_key=${KEY_A}00`,
  // A peer's keys before any peer, the device's inside one.
  'endpoint=1.2.3.4:5',
  'allowed_ip=1.2.3.4/32',
  'protocol_version=1',
  'remove=true',
  `${PEER}listen_port=1`,
  `${PEER}private_key=${KEY_A}`,
  `${PEER}replace_peers=true`,
  ...[
    'preshared_key=',
    `preshared_key=${KEY_A.slice(2)}`,
    'protocol_version=',
    'protocol_version=0',
    'protocol_version=2',
    'protocol_version=11',
    'protocol_version=01',
    'remove=false',
    'remove=1',
    'update_only=false',
    'replace_allowed_ips=yes',
    'persistent_keepalive_interval=',
    'persistent_keepalive_interval=off',
    'persistent_keepalive_interval=65536',
    'persistent_keepalive_interval=-1',
    'last_handshake_time_sec=1',
    'rx_bytes=1',
    'endpoint=',
    'endpoint=1.2.3.4',
    'endpoint=1.2.3.4:',
    'endpoint=1.2.3.4:65536',
    'endpoint=1.2.3.4:+5',
    'endpoint=[1.2.3.4]:5',
    'endpoint=::1:5',
    'endpoint=[::1]',
    'endpoint=[::1:5',
    'endpoint=::1]:5',
    'endpoint=[]:5',
    'endpoint=[fe80::1%]:5',
    'endpoint=[fe80::1%none]:5',
    'endpoint=[fe80::1%4294967296]:5',
    'endpoint=1.2.3.4%lo:5',
    'endpoint=example.com:5',
    'endpoint=:5',
    'allowed_ip=',
    'allowed_ip=-',
    'allowed_ip=/',
    'allowed_ip=1.2.3.4',
    'allowed_ip=1.2.3.4/',
    'allowed_ip=1.2.3.4/33',
    'allowed_ip=1.2.3.4/08',
    'allowed_ip=1.2.3.4/-1',
    'allowed_ip=1.2.3.4/+1',
    'allowed_ip=1.2.3.4/24/24',
    'allowed_ip=+1.2.3.4/32',
    'allowed_ip=--1.2.3.4/32',
    'allowed_ip=::/129',
    'allowed_ip=::/0128',
    'allowed_ip=fe80::%lo/64',
  ].map((line) => PEER + line),
  `listen_port=${'0'.repeat(2000)}`,
];

test('SetParser refuses bad lines with EINVAL, wherever the good ones stand', () => {
  for (const text of INVALID) {
    for (const [whole, size] of [
      [`${text}\n\n`, 1 << 20],
      [`fwmark=1\n${text}\n${PEER}\n`, 5],
    ] as const) {
      const result = parse(whole, size);
      assert.ok('errno' in result, text);
      assert.equal(result.errno, UAPI_INVALID, text);
    }
  }
});

test('SetParser refuses a line without = with EPROTO', () => {
  for (const text of ['listen_port', ' ', 'get', '\x00\x01\xff']) {
    const result = parse(`${text}\n\n`);
    assert.ok('errno' in result);
    assert.equal(result.errno, UAPI_PROTOCOL);
  }
});

test('SetParser names no value of a key in what it reports', () => {
  const secret = KEY_A.slice(0, 63);
  for (const text of [
    `private_key=${secret}`,
    `${secret}=1`,
    secret,
    `x=${secret}`,
    `${PEER}preshared_key=${secret}`,
  ]) {
    const result = parse(`${text}\n\n`);
    assert.ok('message' in result);
    assert.doesNotMatch(result.message, /[0-9a-f]{8}/);
  }
});

test('SetParser.wipe leaves no key behind', () => {
  const parser = new SetParser();
  parser.push(bytes(`private_key=${KEY_A}\n${PEER}preshared_key=${KEY_B}\n\n`), 0);
  const result = parser.finish();
  assert.ok('change' in result);
  const { privateKey, peers } = result.change;
  const presharedKey = peers![0]!.presharedKey;
  assert.deepEqual(Buffer.from(presharedKey!).toString('hex'), KEY_B);
  parser.wipe();
  assert.ok(privateKey!.every((byte) => byte === 0));
  assert.ok(presharedKey!.every((byte) => byte === 0));
});

test('SetParser stops behind its blank line', () => {
  const parser = new SetParser();
  const text = bytes('xxlisten_port=1\n\nget=1\n\n');
  assert.equal(parser.push(text, 2), text.length - 'get=1\n\n'.length);
  assert.deepEqual(parser.finish(), { change: { listenPort: 1 } });
});

test('SetParser keeps its caps', () => {
  const limits = { maxRequestBytes: 1000, maxPeers: 3, maxAllowedIps: 4 };
  const ip = 'allowed_ip=::/0\n';
  assert.ok('change' in parse(`${PEER.repeat(3)}${ip.repeat(4)}\n`, 100, limits));
  for (const text of [PEER.repeat(4), PEER + ip.repeat(5), 'fwmark=1\n'.repeat(112), 'x'.repeat(1001)]) {
    for (const size of [1, 100, 10_000]) {
      const result = parse(`${text}\n`, size, limits);
      assert.ok('errno' in result);
      assert.equal(result.errno, UAPI_TOO_BIG);
    }
  }
});

test('SetParser ends every prefix and every random request with an errno, and never throws', () => {
  const text = `private_key=${KEY_A}\n${PEER}endpoint=[fe80::1%eth0]:5\nallowed_ip=-10.0.0.0/8\n\n`;
  for (let end = 0; end < text.length; end++) {
    const result = parse(text.slice(0, end), 1 + (end % 9));
    assert.ok('errno' in result, `prefix of ${end}`);
    assert.equal(result.errno, UAPI_PROTOCOL);
  }
  const random = randomFrom(3);
  const original = bytes(text);
  let refused = 0;
  for (let round = 0; round < 20_000; round++) {
    const mutant = original.slice();
    for (let i = random(4); i >= 0; i--) mutant[random(mutant.length)] = random(256);
    if ('errno' in parse(mutant, 1 + random(100))) refused++;
  }
  assert.ok(refused > 15_000);
});

test('SetParser does work in proportion to its input', () => {
  // Of the processor, so that what else the machine does is not counted; long enough for its ticks of 10 ms.
  const time = (lines: number): number => {
    const text = bytes(`${PEER}${'allowed_ip=10.0.0.0/8\n'.repeat(lines)}\n`);
    const start = process.cpuUsage();
    assert.ok('change' in parse(text, 4096));
    return process.cpuUsage(start).user;
  };
  time(150_000);
  const ratio = Math.min(time(1_200_000), time(1_200_000)) / Math.min(...[1, 2, 3].map(() => time(150_000)));
  // 8 is linear, 64 quadratic.
  assert.ok(ratio < 30, `8 times the input took ${ratio.toFixed(1)} times the work`);
});

test('SetParser reads back whatever was formatted', async () => {
  const random = randomFrom(23);
  const key = (): Uint8Array => Uint8Array.from({ length: 32 }, () => random(256));
  const address = (): Uint8Array => Uint8Array.from({ length: random(2) === 0 ? 4 : 16 }, () => 1 + random(255));
  for (let round = 0; round < 200; round++) {
    const device = new MemoryDevice();
    device.apply({
      ...(random(4) > 0 && { privateKey: key() }),
      listenPort: random(65536),
      fwmark: random(2) * random(0xffffffff),
      peers: Array.from({ length: random(6) }, () => ({
        publicKey: key(),
        ...(random(2) > 0 && { presharedKey: key() }),
        ...(random(2) > 0 && { endpoint: { address: address(), port: random(65536) } }),
        persistentKeepaliveInterval: random(65536),
        allowedIps: Array.from({ length: random(100) }, () => {
          const ip = address();
          return { address: ip, cidr: ip.length * 8 };
        }),
      })),
    });
    const text = await format(device, 2048 + random(4096));
    assert.equal(text, await format(device));
    const copy = new MemoryDevice();
    copy.apply(change(`${text.replaceAll(/^(?:last_handshake_time_n?sec|[rt]x_bytes)=.*\n/gm, '')}\n`));
    assert.equal(await format(copy), text);
  }
});
