import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ipPacket, Network } from './simulator.js';

for (const backend of ['primitives', 'noble'] as const) {
  describe(`handshake (${backend})`, () => {
    it('one round trip, then data both ways over IPv4 and IPv6', () => {
      const network = new Network();
      const a = network.add('192.0.2.1', 1, backend);
      const b = network.add('192.0.2.2', 2, backend);
      a.add(b, ['10.0.0.2/32', 'fd00::2/128']);
      b.add(a, ['10.0.0.1/32', 'fd00::1/128'], { endpoint: false });
      const there = ipPacket('10.0.0.1', '10.0.0.2', 100);
      a.input(there);
      network.advance(100);
      assert.deepEqual(b.delivered, [there]);
      const back = ipPacket('fd00::2', 'fd00::1', 33);
      b.input(back);
      network.advance(100);
      assert.deepEqual(a.delivered, [back]);
      assert.deepEqual(
        [1, 2, 3].map((type) => network.count(type)),
        [1, 1, 0],
      );
      assert.deepEqual(a.device.drops(), {});
      assert.deepEqual(b.device.drops(), {});
    });
  });
}
