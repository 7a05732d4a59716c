/**
 * typetun with wireguard-go, Debian's and the newest: in both roles, over both outer families, with and without a
 * preshared key. Only the initiator knows an endpoint, so that it is the one that begins.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Implementation, missing, withLab, withNamespaces } from '../netns/harness.js';
import { endpointOf, latestHandshake, PORTS, ping, setEndpoint, transfer, tunnel, V4, V6 } from '../netns/topology.js';
import { file } from '../netns/traffic.js';

const OTHERS: readonly Implementation[] = ['wireguard-go', 'wireguard-go-newest'];
const HOSTS = ['127.0.0.1', '[::1]'] as const;
const MIB = 2;
const TIMEOUT_MS = 120_000;

withNamespaces(import.meta.filename, () => {
  for (const other of OTHERS) {
    describe(`typetun and ${other}`, { skip: missing(['ncat'], [other]), concurrency: 2 }, () => {
      for (const role of ['initiator', 'responder'] as const) {
        for (const host of HOSTS) {
          for (const psk of [false, true]) {
            const family = host === '127.0.0.1' ? 'IPv4' : 'IPv6';
            const name = `typetun as ${role} over ${family}, ${psk ? 'with a' : 'without'} preshared key`;
            it(name, { timeout: TIMEOUT_MS }, () =>
              talk(role === 'initiator' ? ['typetun', other] : [other, 'typetun'], host, psk),
            );
          }
        }
      }

      it('makes no session when the preshared keys differ', { timeout: TIMEOUT_MS }, () =>
        withLab(async (lab) => {
          const [a, b] = await tunnel(lab, [other, 'typetun'], { psk: true });
          await lab.wg(`set ${b.name} peer ${a.publicKey} preshared-key <(wg genpsk)`);
          await setEndpoint(lab, a, b, `127.0.0.1:${PORTS[1]}`);
          assert.equal(await lab.succeeds(1, `ping -c 1 -W 2 ${V4[1]}`), false);
          // The key enters with the response: the initiator is the one to notice, and the responder hears nothing.
          assert.equal(await latestHandshake(lab, a, b), 0);
          assert.equal(await latestHandshake(lab, b, a), 0);
          const [rx] = await transfer(lab, b, a);
          assert.ok(rx >= 148, `an initiation arrived: ${rx}`);
        }),
      );
    });
  }
});

/** @param pair the first one begins */
async function talk(
  pair: readonly [Implementation, Implementation],
  host: (typeof HOSTS)[number],
  psk: boolean,
): Promise<void> {
  await withLab(async (lab) => {
    const [initiator, responder] = await tunnel(lab, pair, { psk });
    await setEndpoint(lab, initiator, responder, `${host}:${PORTS[1]}`);
    await ping(lab, 1, V4[1]);
    assert.equal(
      await endpointOf(lab, responder, initiator),
      `${host}:${PORTS[0]}`,
      'the responder learns the endpoint',
    );
    await ping(lab, 2, V4[0]);
    await ping(lab, 1, V6[1]);
    await ping(lab, 2, V6[0]);
    await file(lab, 1, 2, V4[1], MIB);
    await file(lab, 2, 1, V6[0], MIB);
    for (const [self, peer] of [
      [initiator, responder],
      [responder, initiator],
    ] as const) {
      assert.ok((await latestHandshake(lab, self, peer)) > 0, `${self.implementation} tells of the handshake`);
      const [rx, tx] = await transfer(lab, self, peer);
      assert.ok(rx > MIB << 20 && tx > MIB << 20, `${self.implementation} counted ${rx} and ${tx} bytes`);
    }
    // What one received the other has sent; a datagram may be lost in between, for want of buffers.
    for (const [self, peer] of [
      [initiator, responder],
      [responder, initiator],
    ] as const) {
      const [rx] = await transfer(lab, self, peer);
      const [, tx] = await transfer(lab, peer, self);
      assert.ok(rx <= tx, `${self.implementation} received ${rx} of ${tx} bytes`);
    }
  });
}
