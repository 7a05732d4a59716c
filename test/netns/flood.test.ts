/**
 * Floods of 50,000 messages a second (fewer in CI) against one side of a tunnel. While one lasts, packets flow, a
 * session is renewed, and a new peer gets its first one: through a cookie where the flood is load. What it costs is
 * measured in bench/flood.ts; here it is what holds at all.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FULL, missing } from './environment.js';
import {
  admit,
  beginFlood,
  captureHandshakes,
  endFlood,
  FLOODS,
  type Flood,
  PORT_OF_C,
  raiseFloodStage,
} from './flood.js';
import { type Lab, until, withLab, withNamespaces } from './harness.js';
import { latestHandshake, PORTS, V4 } from './topology.js';

const RATE = FULL ? 50_000 : 20_000;
const SECONDS = 60;
/** Age of b's session when the flood begins: the whole tests wait for one that is renewed because it is 120 s old. */
const AGE_MS = FULL ? 112_000 : 0;
const LIMIT_MS = 40_000;

/** What a counts of each. */
const REASONS = { garbage: 'badType', 'bad-mac1': 'badMac1', mac1: 'underLoad' } as const;
const DIRECT = ['initiation', 'response'];

/** A message may be lost; who has a cookie uses it, and is answered for it. */
function isThroughCookie(messages: readonly string[]): boolean {
  const cookie = messages.indexOf('cookie reply');
  const again = messages.indexOf('initiation with cookie');
  const answer = messages.findIndex((message) => message.startsWith('response'));
  return cookie > 0 && again > cookie && answer > again;
}

async function flooded(lab: Lab, kind: Flood['kind']): Promise<void> {
  const stage = await raiseFloodStage(lab);
  const { a, b } = stage;
  await lab.in(2, `ping -n -q -c 1 -w 10 ${V4[0]}`);
  const first = await latestHandshake(lab, a, b);
  await sleep(AGE_MS);
  const capture = await captureHandshakes(lab);
  const flood = await beginFlood(lab, stage, { kind, rate: RATE, seconds: SECONDS, sources: 1 });
  await until('the flood', async () => ((await lab.drops(a)).get(REASONS[kind]) ?? 0) > 1000, LIMIT_MS);
  await lab.in(2, `ping -n -q -c 20 -i 0.05 -w 20 ${V4[0]}`);

  if (FULL) lab.spawn(2, ['ping', '-n', '-q', '-i', '0.1', V4[0]]);
  else {
    // As good as a restart: it has no session then, while a has.
    await lab.sh(`ip -n ${lab.ns(2)} link set ${b.name} down; ip -n ${lab.ns(2)} link set ${b.name} up`);
    await lab.wg(`set ${b.name} peer ${a.publicKey} persistent-keepalive 1`);
  }
  await admit(lab, stage, LIMIT_MS);
  const ofB = (): string[] => capture.between(PORTS[1]);
  await until('a new session of b', () => ofB().some((message) => message.startsWith('response')), LIMIT_MS);
  await until('a to have it', async () => (await latestHandshake(lab, a, b)) > first, LIMIT_MS);
  await lab.in(2, `ping -n -q -c 20 -i 0.05 -w 20 ${V4[0]}`);

  const { sent, seconds } = await endFlood(flood);
  assert.ok(sent / seconds > RATE / 2, `${sent} in ${seconds} s is hardly a flood`);
  for (const messages of [capture.between(PORT_OF_C), ofB()]) {
    if (kind === 'mac1') assert.ok(isThroughCookie(messages), messages.join(', '));
    else assert.deepEqual(messages.slice(0, 2), DIRECT, 'where nothing is load, nobody asks for a cookie');
  }
  assert.ok(!a.daemon.ended);
}

withNamespaces(import.meta.filename, () => {
  const skip = missing(['tcpdump']);
  for (const kind of FLOODS) {
    it(`a flood of ${kind}: packets flow, a session is renewed, a new peer comes in`, { skip, timeout: 300_000 }, () =>
      withLab((lab) => flooded(lab, kind)),
    );
  }
});
