import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BadAnswer, StatusReader, type UapiInterface, type UapiPeer } from '../../src/uapi/status.js';
import { randomFrom } from './helpers.js';

const KEY = 'c532c04180526ba9c0cbd4b87bda6b7e8d3adb0e9f86d2f4e70b81c9d04b15ae';
const ANSWER = `private_key=${KEY}
listen_port=51820
fwmark=7
public_key=${KEY}
preshared_key=${KEY}
protocol_version=1
endpoint=[fe80::1%lo]:5
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=18446744073709551615
rx_bytes=1
persistent_keepalive_interval=25
allowed_ip=10.0.0.0/8
allowed_ip=fd00::/64
public_key=${KEY}
errno=0

`;

interface Read {
  readonly errno: number | undefined;
  readonly status: readonly (UapiInterface | UapiPeer)[];
}

/** Reads an answer in chunks of `size`, which are zeroed behind it as a client does. */
function read(text: Uint8Array, size: number): Read {
  const status: (UapiInterface | UapiPeer)[] = [];
  const keep = (it: UapiInterface | UapiPeer): unknown => status.push(it);
  const reader = new StatusReader({ interface: keep, peer: keep }, (name) => (name === 'lo' ? 1 : undefined));
  let errno: number | undefined;
  for (let at = 0; at < text.length && errno === undefined; at += size) {
    const chunk = text.slice(at, at + size);
    errno = reader.push(chunk);
    chunk.fill(0);
  }
  return { errno, status };
}

test('StatusReader reads the same from chunks of any size', () => {
  const whole = read(Buffer.from(ANSWER), 10_000);
  assert.equal(whole.errno, 0);
  assert.equal(whole.status.length, 3);
  for (const size of [1, 2, 3, 7, 64, 100]) assert.deepEqual(read(Buffer.from(ANSWER), size), whole, `${size}`);
});

test('StatusReader keeps no key once it is wiped', () => {
  const keys: Uint8Array[] = [];
  const reader = new StatusReader({
    interface: ({ privateKey }) => keys.push(privateKey!),
    peer: ({ presharedKey }) => keys.push(presharedKey),
  });
  reader.push(Buffer.from(ANSWER));
  assert.ok(keys[0]!.some((byte) => byte !== 0) && keys[1]!.some((byte) => byte !== 0));
  reader.wipe();
  for (const key of keys) assert.ok(key.every((byte) => byte === 0));
});

test('StatusReader takes any bytes for an answer or a bad one', () => {
  const random = randomFrom(4);
  let bad = 0;
  for (let round = 0; round < 20_000; round++) {
    const text = [...Buffer.from(ANSWER)];
    for (let i = random(4); i > 0; i--) {
      text.splice(random(text.length), random(3), ...(random(2) === 0 ? [] : [random(256)]));
    }
    try {
      read(Uint8Array.from(text), 1 + random(600));
    } catch (error) {
      assert.ok(error instanceof BadAnswer, String(error));
      bad++;
    }
  }
  assert.ok(bad > 1_000 && bad < 19_000, `${bad} of 20,000 were bad`);
});
