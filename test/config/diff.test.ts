import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { changeToAdd, changeToSet, diffConfig, parseConfig, type WireGuardConfig } from '../../src/config/index.js';
import type { DeviceChange } from '../../src/core/change.js';
import { randomFrom } from '../uapi/helpers.js';
import { MemoryDevice } from '../uapi/memory-device.js';

const keyOf = (n: number): string => Buffer.alloc(32, n).toString('base64');
const read = (text: string): WireGuardConfig =>
  parseConfig(text, {
    resolveEndpoint: ({ host, port }) => ({ address: Uint8Array.from(host.split('.'), Number), port: Number(port) }),
  });

/** A device that was told all of a configuration, as the differ is to see it. */
function deviceWith(text: string): MemoryDevice {
  const device = new MemoryDevice();
  device.apply(changeToSet(read(text)));
  return device;
}

const currentOf = (device: MemoryDevice) => ({
  ...device.status,
  peers: [...device.peerMap.values()].map((peer) => ({ ...peer, allowedIps: [...peer.allowedIps.values()] })),
});

const difference = (from: string, to: string): DeviceChange => diffConfig(read(to), currentOf(deviceWith(from)));

/** Everything a device has, in a form that can be compared. */
function stateOf(device: MemoryDevice): unknown {
  const peers = [...device.peerMap].map(([key, { allowedIps, endpoint, presharedKey, ...peer }]) => ({
    key,
    keepalive: peer.persistentKeepaliveInterval,
    psk: Buffer.from(presharedKey).toString('hex'),
    endpoint: endpoint && `${[...endpoint.address]}:${endpoint.port}`,
    prefixes: [...allowedIps.keys()].sort(),
  }));
  const { privateKey, listenPort, fwmark } = device.status;
  peers.sort((a, b) => (a.key < b.key ? -1 : 1));
  return { privateKey: privateKey && Buffer.from(privateKey).toString('hex'), listenPort, fwmark, peers };
}

const FULL = `[Interface]
PrivateKey = ${keyOf(0x48)}
ListenPort = 7
FwMark = 9
[Peer]
PublicKey = ${keyOf(1)}
PresharedKey = ${keyOf(8)}
Endpoint = 192.0.2.1:5
AllowedIPs = 10.0.0.0/8, ::/0
PersistentKeepalive = 25
[Peer]
PublicKey = ${keyOf(2)}
AllowedIPs = 192.0.2.0/24
`;

describe('diffConfig', () => {
  it('finds no difference where there is none', () => {
    assert.deepEqual(difference(FULL, FULL), {});
    assert.deepEqual(difference('', ''), {});
  });

  it('takes a private key for what a device makes of it', () => {
    const device = deviceWith(FULL);
    const clamped = Buffer.alloc(32, 0xff);
    clamped[0] = 0xf8;
    clamped[31] = 0x7f;
    device.status.privateKey = clamped;
    const config = FULL.replace(keyOf(0x48), keyOf(0xff));
    assert.deepEqual(diffConfig(read(config), currentOf(device)), {});
  });

  it('resets what the file has not: key, port, mark, preshared key, keepalive', () => {
    const change = difference(FULL, `[Peer]\nPublicKey=${keyOf(1)}\nAllowedIPs=10.0.0.0/8,::/0\n`);
    assert.deepEqual([change.listenPort, change.fwmark], [0, 0]);
    assert.ok(change.privateKey!.every((byte) => byte === 0));
    assert.deepEqual(change.peers, [
      { publicKey: new Uint8Array(32).fill(2), remove: true },
      { publicKey: new Uint8Array(32).fill(1), presharedKey: new Uint8Array(32), persistentKeepaliveInterval: 0 },
    ]);
  });

  it('leaves an endpoint alone that the file does not name', () => {
    assert.deepEqual(difference(FULL, FULL.replace('Endpoint = 192.0.2.1:5\n', '')), {});
  });

  it('only adds prefixes where only some are new, and replaces the list where one goes', () => {
    const more = difference(FULL, FULL.replace('::/0', '::/0, 10.9.0.0/16'));
    assert.deepEqual(
      more.peers!.map(({ replaceAllowedIps, allowedIps }) => [replaceAllowedIps, allowedIps!.length]),
      [[undefined, 1]],
    );
    const less = difference(FULL, FULL.replace(', ::/0', ''));
    assert.deepEqual(
      less.peers!.map(({ replaceAllowedIps, allowedIps }) => [replaceAllowedIps, allowedIps!.length]),
      [[true, 1]],
    );
  });

  it('moves a prefix by giving it to the other peer, which alone is touched', () => {
    const moved = FULL.replace('10.0.0.0/8, ::/0', '::/0').replace('192.0.2.0/24', '192.0.2.0/24, 10.0.0.0/8');
    const { peers } = difference(FULL, moved);
    assert.deepEqual(
      peers!.map((peer) => [...peer.publicKey][0]),
      [2],
    );
  });

  it('brings any device to what setconf would have made of it', () => {
    const random = randomFrom(5);
    const configOf = (): string => {
      let text =
        random(2) === 0 ? `[Interface]\nListenPort=${random(3)}\nPrivateKey=${keyOf(0x40 + 8 * random(3))}\n` : '';
      for (let section = random(6); section > 0; section--) {
        text += `[Peer]\nPublicKey=${keyOf(1 + random(4))}\n`;
        if (random(3) === 0) text += `PresharedKey=${keyOf(random(2))}\n`;
        // Given always, since a file without one leaves the one that is there.
        text += `Endpoint=192.0.2.${random(3)}:5\n`;
        if (random(3) === 0) text += `PersistentKeepalive=${random(3)}\n`;
        for (let line = random(3); line > 0; line--)
          text += `AllowedIPs=10.${random(3)}.0.0/16,10.${random(3)}.0.0/16\n`;
      }
      return text;
    };
    for (let round = 0; round < 2_000; round++) {
      const [from, to] = [configOf(), configOf()];
      const device = deviceWith(from);
      device.apply(diffConfig(read(to), currentOf(device)));
      assert.deepEqual(stateOf(device), stateOf(deviceWith(to)), `${from}\n--- to ---\n${to}`);
      assert.deepEqual(diffConfig(read(to), currentOf(device)), {}, `once more ${to}`);
    }
  });
});

describe('changeToAdd', () => {
  it('says only what the file says', () => {
    assert.deepEqual(changeToAdd(read('')), { peers: [] });
    assert.deepEqual(changeToAdd(read('[Interface]\nFwMark=off')), { fwmark: 0, peers: [] });
    const { peers } = changeToAdd(read(`[Peer]\nPublicKey=${keyOf(1)}\nAllowedIPs=+10.0.0.0/8\n`));
    assert.equal(peers![0]!.replaceAllowedIps, false);
  });

  it('refuses an endpoint that nobody has resolved', () => {
    const config = parseConfig(`[Peer]\nPublicKey=${keyOf(1)}\nEndpoint=a:5`);
    assert.throws(() => changeToAdd(config), /a:5 is not resolved/);
  });
});
