import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log, logLevel, timestamp } from '../../src/cli/log.js';
import { USAGE } from '../../src/cli/messages.js';
import { EngineError } from '../../src/engine/index.js';
import {
  bindFailure,
  isInterfaceName,
  type SystemProbe,
  startFailure,
  unsupported,
} from '../../src/engine/messages.js';
import { UapiError } from '../../src/uapi/server.js';

const PROBE: SystemProbe = { nameExists: false, tunFdGiven: false };
const failure = (code: string, probe: Partial<SystemProbe> = {}): string =>
  startFailure('wg0', new EngineError(code, `TUNSETIFF: ${code}`), { ...PROBE, ...probe });

test('startFailure says what is missing and how to get it, in one line', () => {
  const taken = 'the interface name wg0 is taken: choose another, or remove it ("ip link delete wg0")';
  const noTun = 'there is no /dev/net/tun: load the tun module ("modprobe tun"), or pass the device into the container';
  const rows: readonly [string, string][] = [
    [
      failure('EPERM'),
      'no permission to make wg0: run as root, or with CAP_NET_ADMIN ("--cap-add NET_ADMIN" for a container)',
    ],
    [failure('ENOENT', { tunError: 'ENOENT' }), noTun],
    [failure('ENODEV', { tunError: 'ENODEV' }), noTun],
    [
      failure('EACCES', { tunError: 'EACCES' }),
      '/dev/net/tun cannot be opened (EACCES): run as root, or allow the device for this container',
    ],
    [
      failure('EPERM', { tunError: 'EPERM' }),
      '/dev/net/tun cannot be opened (EPERM): run as root, or allow the device for this container',
    ],
    [failure('EBUSY'), taken],
    [failure('EINVAL', { nameExists: true }), taken],
    [failure('EINVAL'), 'cannot make wg0: TUNSETIFF: EINVAL'],
    [
      failure('EBADFD', { tunFdGiven: true }),
      'WG_TUN_FD is not an open TUN device without packet information (TUNSETIFF: EBADFD)',
    ],
    [
      startFailure('wg0', new UapiError('ERR_SOCKET_IN_USE', '/run/wg0.sock', 'x'), PROBE),
      '/run/wg0.sock is in use by a running daemon: end it, or choose another interface name',
    ],
    [
      startFailure('wg0', new UapiError('ERR_SOCKET_PATH', '/run/wg0.sock', 'x'), PROBE),
      '/run/wg0.sock is in the way, and is not a socket: remove it',
    ],
    [
      startFailure('wg0', Object.assign(new Error('x'), { code: 'EACCES', path: '/var/run/wireguard' }), PROBE),
      'cannot make the socket in /var/run/wireguard (EACCES): run as root',
    ],
    [startFailure('wg0', new EngineError('ERR_AEAD_UNKNOWN', 'as it says itself'), PROBE), 'as it says itself'],
  ];
  for (const [text, expected] of rows) {
    assert.equal(text, expected);
    assert.doesNotMatch(text, /\n/);
  }
});

test('bindFailure says which port it is, and what can be done', () => {
  assert.equal(
    bindFailure(51820, 98),
    'UDP port 51820 is in use: set another listen port, or free this one and set the interface down and up',
  );
  assert.equal(bindFailure(80, 13), 'UDP port 80 cannot be bound (EACCES): the interface stays without a socket');
});

test('unsupported refuses other systems, processors and musl, in one line each', () => {
  assert.equal(unsupported('linux', 'x64', false), undefined);
  assert.equal(unsupported('linux', 'arm64', false), undefined);
  assert.equal(unsupported('darwin', 'arm64', false), 'typetun runs on Linux, this is darwin');
  assert.equal(unsupported('linux', 'riscv64', false), 'typetun runs on x64 and arm64 processors, this is riscv64');
  assert.equal(
    unsupported('linux', 'x64', true),
    'typetun needs a Node.js that was built for glibc, this one was built for musl',
  );
});

test('isInterfaceName knows the names that wg-quick and the kernel allow', () => {
  for (const name of ['wg0', 'a', 'A-b_c=d+e.f', '...', 'x'.repeat(15)]) assert.ok(isInterfaceName(name), name);
  for (const name of ['', '.', '..', 'x'.repeat(16), 'a/b', 'a b', 'wg%d', 'ü', 'a\n']) {
    assert.ok(!isInterfaceName(name), name);
  }
});

test('logLevel treats what it does not know as error', () => {
  for (const level of ['verbose', 'debug', 'error', 'silent']) assert.equal(logLevel(level), level);
  for (const level of ['', 'DEBUG', 'info', undefined]) assert.equal(logLevel(level), 'error');
});

test('Log writes what its level lets through', (t) => {
  const lines: string[] = [];
  t.mock.method(process.stdout, 'write', (text: string) => lines.push(text));
  const counts = (['silent', 'error', 'debug', 'verbose'] as const).map((level) => {
    lines.length = 0;
    const log = new Log(level, 'wg0');
    log.error('e');
    log.debug('d');
    log.always('a');
    return lines.map((line) => line.slice(0, 5)).join(' ');
  });
  t.mock.reset();
  assert.deepEqual(counts, ['INFO:', 'ERROR INFO:', 'ERROR DEBUG INFO:', 'ERROR DEBUG INFO:']);
});

test("timestamp is wireguard-go's", () => {
  assert.equal(timestamp(new Date(2026, 0, 2, 3, 4, 5)), '2026/01/02 03:04:05');
});

test('USAGE names every option, variable and signal, within 100 columns', () => {
  const words = [
    '--foreground',
    '--offload',
    '--version',
    '--help',
    'LOG_LEVEL',
    'WG_PROCESS_FOREGROUND',
    'WG_TUN_FD',
    'WG_UAPI_FD',
  ];
  for (const word of [...words, 'TYPETUN_AEAD', 'TYPETUN_OFFLOAD', 'SIGTERM', 'SIGUSR2'])
    assert.ok(USAGE.includes(word), word);
  for (const line of USAGE.split('\n')) assert.ok(line.length <= 100, line);
});
