/**
 * Who may move, who may send what, and keys that change:
 *
 *   namespace 1               namespace 0                namespace 2
 *   [a] 192.168.241.1  ----   127.0.0.1:1   :2   ----   192.168.241.2 [b]
 *       fd00::1               [::1]:1       :2          fd00::2
 */
import assert from 'node:assert/strict';
import { type Device, type Lab, until } from '../harness.js';
import type { Scenario } from '../scenario.js';
import { endpointOf, endpoints, ping, setEndpoint, tunnel, V4, V6 } from '../topology.js';

/** Packets that the daemon gave to its device. */
async function received(lab: Lab, ns: number, { name }: Device): Promise<number> {
  return Number(await lab.in(ns, `cat /sys/class/net/${name}/statistics/rx_packets`));
}

const roamingV4: Scenario = {
  numbers: [7],
  title: 'roaming over IPv4: another address and another port',
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    await ping(lab, 1, V6[1]);
    await lab.ip(0, '-4 address del 127.0.0.1/8 dev lo');
    await lab.ip(0, '-4 address add 127.212.121.99/8 dev lo');
    await lab.wg(`set ${a.name} listen-port 9999`);
    await setEndpoint(lab, a, b, '127.0.0.1:2');
    await ping(lab, 1, V6[1]);
    assert.equal(await endpointOf(lab, b, a), '127.212.121.99:9999');
    await ping(lab, 2, V6[0]);
  },
};

const roamingV6: Scenario = {
  numbers: [8],
  title: 'roaming over IPv6: another port and another address, and back to IPv4',
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '[::1]');
    await ping(lab, 1, V4[1]);
    await lab.wg(`set ${a.name} listen-port 9998`);
    await ping(lab, 1, V4[1]);
    assert.equal(await endpointOf(lab, b, a), '[::1]:9998');
    // To an address of this host the same address is the source.
    await lab.ip(0, 'address add fd00:7::7/128 dev lo');
    await setEndpoint(lab, a, b, '[fd00:7::7]:2');
    await ping(lab, 1, V4[1]);
    assert.equal(await endpointOf(lab, b, a), '[fd00:7::7]:9998');
    await ping(lab, 2, V4[0]);
    await setEndpoint(lab, a, b, '127.0.0.1:2');
    await ping(lab, 1, V4[1]);
    assert.equal(await endpointOf(lab, b, a), '127.0.0.1:9998');
    await ping(lab, 2, V4[0]);
  },
};

const cryptokeyFilter: Scenario = {
  numbers: [9],
  title: "a packet from another peer's prefix is not delivered, yet the endpoint roams",
  tools: ['ncat'],
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    await lab.wg(`set ${a.name} peer ${b.publicKey} allowed-ips 192.168.241.0/24`);
    await ping(lab, 2, V4[0]);
    const listener = lab.spawn(1, ['ncat', '-v', '-l', '-u', V4[0], '1111']);
    await listener.prints('Listening on');
    // Always from the same port: ncat listens to the first sender alone.
    const send = (text: string): Promise<string> => lab.in(2, `ncat -u -p 2222 ${V4[0]} 1111 --send-only <<< ${text}`);
    await send('first');
    await listener.prints('first');

    const before = await received(lab, 1, a);
    const { publicKey: other } = await lab.keys();
    await lab.wg(`set ${a.name} peer ${other} allowed-ips ${V4[1]}/32`);
    await lab.wg(`set ${b.name} listen-port 9997`);
    await send('second');
    await until('the endpoint to roam', async () => (await endpointOf(lab, a, b)) === '127.0.0.1:9997');
    assert.equal(await lab.succeeds(2, `ping -n -q -c 3 -i 0.1 -W 1 ${V4[0]}`), false, 'ping from a stolen address');
    assert.ok(!listener.output.includes('second'), 'what the filter refuses was delivered');
    assert.equal(await received(lab, 1, a), before, 'packets given to the device');
    if (a.implementation === 'typetun') {
      // The datagram and the three pings.
      assert.equal((await lab.drops(a)).get('badSource'), 4);
    }

    await lab.wg(`set ${a.name} peer ${other} remove`);
    await ping(lab, 2, V4[0]);
    await send('third');
    await listener.prints('third');
  },
};

const newKey: Scenario = {
  numbers: [10],
  title: 'a private key changed under traffic, handshake at once',
  async run(lab, pair) {
    const [a, b] = await tunnel(lab, pair);
    await endpoints(lab, a, b, '127.0.0.1');
    await ping(lab, 1, V4[1]);
    const background = lab.spawn(1, ['ping', '-n', '-D', '-i', '0.02', V4[1]]);
    await background.prints('icmp_seq=5 ');
    const { privateKey, publicKey } = await lab.keys();
    // The new key is known before it is used, else the first initiation with it is lost, and the next is 5 s later.
    await lab.wg(`set ${b.name} peer ${a.publicKey} remove peer ${publicKey} allowed-ips ${V4[0]}/32,${V6[0]}/128`);
    await lab.wg(`set ${a.name} private-key <(echo ${privateKey})`);
    const lines = background.stdout.split('\n').length;
    await until('an answer after the change', () => background.stdout.split('\n').length > lines + 5);
    await ping(lab, 1, V6[1]);
    await background.terminate(5000);
    const answers = [...background.stdout.matchAll(/^\[([\d.]+)\]/gm)].map(([, time]) => Number(time));
    const gaps = answers.slice(1).map((time, i) => time - answers[i]!);
    // REKEY_TIMEOUT: who waits for the retransmission timer instead takes at least that long.
    assert.ok(Math.max(...gaps) < 5, `${Math.max(...gaps)} s without an answer`);

    // Without traffic the other order does as well: nothing is sent before both know.
    const next = await lab.keys();
    await lab.wg(`set ${a.name} private-key <(echo ${next.privateKey})`);
    await lab.wg(`set ${b.name} peer ${publicKey} remove peer ${next.publicKey} allowed-ips ${V4[0]}/32`);
    await lab.in(1, `ping -n -q -c 1 -W 4 ${V4[1]}`);
  },
};

export const ROAMING: readonly Scenario[] = [roamingV4, roamingV6, cryptokeyFilter, newKey];
