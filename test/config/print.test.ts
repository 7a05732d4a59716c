import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeKey, encodeKey, parseConfig, printConfig } from '../../src/config/index.js';
import { randomFrom } from '../uapi/helpers.js';

const CONFIG = `[Interface]
ListenPort = 51820
FwMark = 0xca6c
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
AllowedIPs = 10.0.0.0/8, 2001:db8::/32
Endpoint = [2001:db8::1]:5
PersistentKeepalive = 25

[Peer]
PublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
`;

const print = (config: Parameters<typeof printConfig>[0], lines?: string): string =>
  Buffer.from(printConfig(config, lines)).toString();

describe('printConfig', () => {
  it('writes what it read', () => {
    const { peers, ...rest } = parseConfig(CONFIG);
    const printable = peers.map(({ endpoint, ...peer }) =>
      endpoint === undefined ? peer : { ...peer, endpoint: `[${endpoint.host}]:${endpoint.port}` },
    );
    assert.equal(print({ ...rest, peers: printable }), CONFIG);
  });

  it('writes endpoints from numbers, and the lines of somebody else', () => {
    const peer = {
      publicKey: new Uint8Array(32),
      endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 5 },
      presharedKey: new Uint8Array(32),
      persistentKeepaliveInterval: 0,
    };
    const key = `${'A'.repeat(43)}=`;
    assert.equal(
      print({ listenPort: 0, peers: [peer] }, 'Address = 10.0.0.1/24\n'),
      `[Interface]\nAddress = 10.0.0.1/24\n\n[Peer]\nPublicKey = ${key}\nEndpoint = 192.0.2.1:5\n`,
    );
  });

  it('grows with what it writes', () => {
    const allowedIps = Array.from({ length: 2_000 }, (_, i) => ({
      address: Uint8Array.of(10, i >> 8, i, 0),
      cidr: 32,
    }));
    const text = print({ peers: [{ publicKey: new Uint8Array(32), allowedIps }] });
    assert.equal(text.split(', ').length, 2_000);
    assert.ok(text.endsWith('10.7.207.0/32\n'));
  });
});

describe('decodeKey and encodeKey', () => {
  it('agree with the platform on random keys', () => {
    const random = randomFrom(3);
    for (let round = 0; round < 2_000; round++) {
      const key = Uint8Array.from({ length: 32 }, () => random(256));
      const text = new Uint8Array(44);
      encodeKey(key, text);
      assert.equal(Buffer.from(text).toString(), Buffer.from(key).toString('base64'));
      const back = new Uint8Array(32);
      assert.ok(decodeKey(text, 0, 44, back));
      assert.deepEqual(back, key);
    }
  });

  it('take no byte that is no digit, at any place, and leave zeros', () => {
    const good = Buffer.from('yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=');
    const digits = new Set(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'));
    for (let at = 0; at < 44; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const text = Buffer.from(good);
        text[at] = byte;
        // The last digit carries four bits: its two lowest must be zero.
        const canonical = Buffer.from(text.toString('latin1'), 'base64').toString('base64') === text.toString('latin1');
        const expected = at === 43 ? byte === 0x3d : digits.has(byte) && canonical;
        const out = new Uint8Array(32).fill(7);
        assert.equal(decodeKey(text, 0, 44, out), expected, `byte ${byte} at ${at}`);
        if (!expected && at < 43) assert.ok(out.every((it) => it === 0));
      }
    }
  });
});
