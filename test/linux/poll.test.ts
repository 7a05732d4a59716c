import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { bootTimeMs } from '../../src/linux/clock.js';
import { EventFd, POLLIN, Poller } from '../../src/linux/poll.js';

const module = (name: string): string => JSON.stringify(new URL(`../../src/linux/${name}.js`, import.meta.url).href);

describe('bootTimeMs', () => {
  it('is the time since boot, and never goes back', () => {
    const before = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
    let last = bootTimeMs();
    const after = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
    // uptime(1) counts hundredths.
    assert.ok(last >= before - 10 && last <= after + 10, `${before} ${last} ${after}`);
    for (let i = 0; i < 100_000; i++) {
      const now = bootTimeMs();
      assert.ok(now >= last && Number.isInteger(now));
      last = now;
    }
  });
});

describe('Poller', () => {
  it('waits no shorter than it was told, fractions included', () => {
    const poller = new Poller(2);
    for (const ms of [0.25, 1.5, 20]) {
      const start = performance.now();
      assert.equal(poller.wait(ms), 0);
      assert.ok(performance.now() - start >= ms);
    }
    assert.equal(poller.wait(-5), 0);
  });

  it('says which place has something, and forgets it', () => {
    const poller = new Poller(3);
    const [one, two] = [new EventFd(), new EventFd()];
    poller.set(0, one.fd, POLLIN);
    poller.set(2, two.fd, POLLIN);
    two.signal();
    assert.equal(poller.wait(Number.POSITIVE_INFINITY), 1);
    assert.deepEqual(
      [0, 1, 2].map((place) => poller.got(place)),
      [0, 0, POLLIN],
    );
    two.drain();
    assert.equal(poller.wait(0), 0);
    assert.deepEqual(
      [0, 1, 2].map((place) => poller.got(place)),
      [0, 0, 0],
    );
    two.signal();
    poller.set(2, -1, 0);
    assert.equal(poller.wait(0), 0);
    one.close();
    two.close();
  });
});

describe('EventFd', () => {
  it('wakes a waiting thread that knows its number alone', async () => {
    const event = new EventFd();
    const script = `const { parentPort, workerData } = require('node:worker_threads');
      import(${module('poll')}).then(({ EventFd, Poller, POLLIN }) => {
        const poller = new Poller(1);
        const event = new EventFd(workerData);
        poller.set(0, event.fd, POLLIN);
        parentPort.postMessage('waiting');
        poller.wait(Infinity);
        const got = poller.got(0);
        event.drain();
        parentPort.postMessage({ got, left: poller.wait(0) });
      });`;
    const worker = new Worker(script, { eval: true, workerData: event.fd });
    const [first] = await once(worker, 'message');
    assert.equal(first, 'waiting');
    event.signal();
    const [second] = await once(worker, 'message');
    assert.deepEqual(second, { got: POLLIN, left: 0 });
    await worker.terminate();
    event.close();
  });

  it('leaks no descriptor over 1,000 times', () => {
    const open = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 1000; i++) new EventFd().close();
    assert.equal(readdirSync('/proc/self/fd').length, open);
  });
});

describe('disableCoreDumps', () => {
  it('sets both limits to nothing', () => {
    const script = `import { disableCoreDumps } from ${module('process')};
      import { readFileSync } from 'node:fs';
      disableCoreDumps();
      console.log(/Max core file size +(\\S+) +(\\S+)/.exec(readFileSync('/proc/self/limits', 'utf8')).slice(1).join());`;
    const told = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(told.trim(), '0,0');
  });
});
