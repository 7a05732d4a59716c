import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerWriter, formatEndpoint, writeInterface, writePeer } from '../../src/uapi/format.js';
import { peerStatus } from './helpers.js';

const text = (writer: AnswerWriter): string => Buffer.from(writer.bytes()).toString('latin1');

test('writeInterface and writePeer keep the order of keys that tools know', () => {
  const writer = new AnswerWriter();
  writeInterface(writer, { privateKey: new Uint8Array(32).fill(0xab), listenPort: 51820, fwmark: 51820 });
  const peer = peerStatus({
    endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 1 },
    lastHandshakeTimeMs: 1_700_000_000_123,
    persistentKeepaliveInterval: 25,
    rxBytes: Number.MAX_SAFE_INTEGER,
    txBytes: 2 ** 40,
    allowedIps: [
      { address: Uint8Array.of(10, 0, 0, 0), cidr: 8 },
      { address: new Uint8Array(16), cidr: 0 },
    ],
  });
  assert.equal(writePeer(writer, peer, 0), -1);
  writer.errno(0);
  assert.equal(
    text(writer),
    `private_key=${'ab'.repeat(32)}\nlisten_port=51820\nfwmark=51820\n` +
      `public_key=${'01'.repeat(32)}\npreshared_key=${'00'.repeat(32)}\nprotocol_version=1\nendpoint=192.0.2.1:1\n` +
      'last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=123000000\n' +
      'tx_bytes=1099511627776\nrx_bytes=9007199254740991\npersistent_keepalive_interval=25\n' +
      'allowed_ip=10.0.0.0/8\nallowed_ip=::/0\nerrno=0\n\n',
  );
});

test('writeInterface leaves out what is not set', () => {
  const writer = new AnswerWriter();
  writeInterface(writer, { listenPort: 0, fwmark: 0 });
  assert.equal(writer.length, 0);
});

test('writePeer stops when the buffer is full and goes on where it stopped', () => {
  const allowedIps = Array.from({ length: 5000 }, (_, i) => ({
    address: Uint8Array.of(10, 0, i >> 8, i & 0xff),
    cidr: 32,
  }));
  const peer = peerStatus({ allowedIps });
  const writer = new AnswerWriter(2048);
  let whole = '';
  let pieces = 0;
  for (let next = writePeer(writer, peer, 0); next >= 0; next = writePeer(writer, peer, next)) {
    assert.ok(writer.length > 0 && writer.length <= 2048);
    whole += text(writer);
    writer.clear();
    pieces++;
  }
  whole += text(writer);
  assert.ok(pieces > 50);
  assert.equal(whole.match(/^public_key=/gm)?.length, 1);
  assert.deepEqual(
    whole.match(/^allowed_ip=.*$/gm),
    allowedIps.map(({ address }) => `allowed_ip=${address.join('.')}/32`),
  );
});

test('AnswerWriter.clear zeroes what was written', () => {
  const writer = new AnswerWriter(2048);
  writer.hexLine('private_key', new Uint8Array(32).fill(0xff));
  const view = writer.bytes();
  writer.clear();
  assert.ok(view.every((byte) => byte === 0));
  assert.equal(writer.length, 0);
});

test('formatEndpoint names the interface of a link-local address', () => {
  const address = Uint8Array.from({ length: 16 }, (_, i) => [0xfe, 0x80][i] ?? (i === 15 ? 1 : 0));
  assert.equal(formatEndpoint({ address, port: 5, scopeId: 0 }), '[fe80::1]:5');
  assert.equal(formatEndpoint({ address, port: 5, scopeId: 3 }), '[fe80::1%3]:5');
  assert.equal(
    formatEndpoint({ address, port: 5, scopeId: 3 }, () => 'eth0'),
    '[fe80::1%eth0]:5',
  );
});
