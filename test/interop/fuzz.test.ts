/**
 * 50,000 datagrams that are not valid against a device with a live session: each ends in a counted drop, the tunnel
 * works as before, and memory stays flat.
 *
 *   namespace 1         namespace 0                              namespace 2
 *   [device a] ........ :1 --- relay :3 (keeps messages) --- :2 ........ [device b]
 *                       fuzzer, over IPv4 and IPv6 ------------^
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Device, type Lab, missing, residentKib, until, withLab, withNamespaces } from '../netns/harness.js';
import { endpointOf, latestHandshake, PORTS, ping, setEndpoint, tunnel, V4, V6 } from '../netns/topology.js';
import { file } from '../netns/traffic.js';
import type { Fuzzed, Recorded } from './fuzzer.js';

const FUZZER = fileURLToPath(new URL('./fuzzer.js', import.meta.url));
const RELAY = 3;
const WARM_UP = 10_000;
const DATAGRAMS = 50_000;
const SEED = 20_260_522;
/** Growth of the resident memory after the warm-up: what a garbage collector may put off. A leak of one small object a datagram is more. */
const MAX_GROWTH = 24 << 20;
const TIMEOUT_MS = 180_000;

class Fuzzer {
  readonly #child: ReturnType<typeof spawn>;
  #output = '';
  #lines = 0;

  constructor(lab: Lab) {
    const words = [process.execPath, FUZZER, RELAY, PORTS[0], PORTS[1]].map(String);
    this.#child = spawn('ip', ['netns', 'exec', lab.ns(0), ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
  }

  async answer<T>(command?: string): Promise<T> {
    if (command !== undefined) this.#child.stdin?.write(`${command}\n`);
    const lines = (): string[] => this.#output.split('\n').slice(0, -1);
    await until(`the fuzzer to answer ${command ?? ''}`, () => lines().length > this.#lines, TIMEOUT_MS);
    return JSON.parse(lines()[this.#lines++] ?? '') as T;
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Datagrams for a port that found its sockets' buffers full, over both families. */
async function lostInBuffers(lab: Lab, port: number): Promise<number> {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  const lines = (await lab.in(0, 'cat /proc/net/udp /proc/net/udp6')).split('\n');
  const ours = lines.filter((line) => line.trim().split(/\s+/)[1]?.concat(' ').endsWith(hex));
  assert.equal(ours.length, 2, 'the device has a socket of each family');
  return ours.reduce((sum, line) => sum + Number(line.trim().split(/\s+/).at(-1)), 0);
}

/** All but `noPeer`, which the kernel causes by itself: its multicasts for IPv6 enter the tunnel. */
async function totalDrops(lab: Lab, device: Device): Promise<number> {
  return [...(await lab.drops(device))].reduce((sum, [reason, n]) => (reason === 'noPeer' ? sum : sum + n), 0);
}

/** Waits until everything that was sent has been looked at. */
async function settledDrops(lab: Lab, device: Device): Promise<number> {
  let last = -1;
  await until('the drops to settle', async () => {
    const before = last;
    last = await totalDrops(lab, device);
    return before === last;
  });
  return last;
}

withNamespaces(import.meta.filename, () => {
  describe('a device under malformed datagrams', { skip: missing(['ncat']) }, () => {
    it('drops and counts each, and goes on', { timeout: TIMEOUT_MS }, () =>
      withLab(async (lab) => {
        const [a, b] = await tunnel(lab, ['typetun', 'typetun']);
        const fuzzer = new Fuzzer(lab);
        try {
          await fuzzer.answer();
          await fuzz(lab, fuzzer, a, b);
        } finally {
          fuzzer.end();
        }
      }),
    );
  });
});

async function fuzz(lab: Lab, fuzzer: Fuzzer, a: Device, b: Device): Promise<void> {
  await setEndpoint(lab, a, b, `127.0.0.1:${RELAY}`);
  await ping(lab, 1, V4[1], '-s 1300');
  await ping(lab, 2, V6[0]);
  const { recorded } = await fuzzer.answer<Recorded>('record');
  assert.ok(recorded[0]! > 0 && recorded[1]! > 0 && recorded[3]! > 4, `messages to mutate: ${recorded.join(' ')}`);
  // Nothing is on its way any more, and the answers to the recorded messages have come.
  await settledDrops(lab, b);
  const handshake = await latestHandshake(lab, b, a);
  await fuzzer.answer<Fuzzed>(`fuzz ${WARM_UP} 1 ${b.publicKey}`);
  const memory = residentKib(b) * 1024;
  const [before, lostBefore] = [await settledDrops(lab, b), await lostInBuffers(lab, PORTS[1])];
  const { sent, empty, longest4, longest6 } = await fuzzer.answer<Fuzzed>(`fuzz ${DATAGRAMS} ${SEED} ${b.publicKey}`);
  assert.equal(sent, DATAGRAMS);
  assert.ok(empty > 0 && longest4 > 0 && longest6 > 0, `of every length class: ${empty} ${longest4} ${longest6}`);
  const dropped = (await settledDrops(lab, b)) - before;
  const lost = (await lostInBuffers(lab, PORTS[1])) - lostBefore;
  assert.equal(dropped + lost, sent, `each is counted once: ${JSON.stringify([...(await lab.drops(b))])}`);
  assert.ok(lost < sent / 10, `most of them were looked at: ${lost} were lost in the socket's buffer`);
  const growth = residentKib(b) * 1024 - memory;
  assert.ok(growth < MAX_GROWTH, `resident memory grew by ${(growth / 2 ** 20).toFixed(1)} MiB`);
  assert.ok(!b.daemon.ended);
  // The same session, at the same place.
  assert.equal(await endpointOf(lab, b, a), `127.0.0.1:${RELAY}`);
  assert.equal(await latestHandshake(lab, b, a), handshake);
  await lab.in(1, `ping -n -q -c 3 -i 0.05 -w 10 ${V4[1]}`);
  await file(lab, 2, 1, V6[0], 2);
  assert.equal(await latestHandshake(lab, b, a), handshake, 'without a new handshake');
}
