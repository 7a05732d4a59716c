/** The device goes from its birthplace (home) to other namespaces; this thread and its sockets stay. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { POLLERR, POLLIN, Poller } from '../../src/linux/poll.js';
import { TunDevice } from '../../src/linux/tun.js';
import { type DeviceState, DeviceWatcher } from '../../src/linux/watcher.js';
import { Netns, NO_NETNS, until } from './world.js';

describe('DeviceWatcher', { skip: NO_NETNS }, () => {
  let home: Netns;
  let away: Netns;
  let tun: TunDevice;
  let watcher: DeviceWatcher;
  const poller = new Poller(2);

  before(() => {
    home = new Netns();
  });
  after(() => home.close());
  beforeEach(() => {
    away = new Netns();
    home.enter(() => {
      tun = TunDevice.create('tt0');
      watcher = new DeviceWatcher(tun);
    });
    poller.set(0, watcher.fd, POLLIN);
    poller.set(1, tun.fd, 0);
    look();
  });
  afterEach(() => {
    watcher.close();
    tun.close();
    away.close();
  });

  /** In the namespace where the data worker would be. */
  const look = (): DeviceState | undefined => home.enter(() => watcher.look());

  /** Waits as the engine does. @returns the next state that differs */
  const changedFrom = (last: DeviceState): DeviceState | undefined => {
    for (let i = 0; i < 20; i++) {
      poller.wait(Math.min(watcher.intervalMs, 500));
      const state = look();
      if (state === undefined || state !== last) return state;
    }
    throw new Error('nothing changed');
  };

  it('at home, is told of everything, and need not look otherwise', () => {
    assert.deepEqual(look(), { name: 'tt0', up: false, mtu: 1500 });
    for (const [command, state] of [
      ['ip link set tt0 up', { name: 'tt0', up: true, mtu: 1500 }],
      ['ip link set tt0 mtu 1280', { name: 'tt0', up: true, mtu: 1280 }],
      ['ip link set tt0 mtu 65535', { name: 'tt0', up: true, mtu: 65535 }],
      ['ip link set tt0 mtu 68', { name: 'tt0', up: true, mtu: 68 }],
      ['ip link set tt0 down', { name: 'tt0', up: false, mtu: 68 }],
      ['ip link set tt0 name tt1', { name: 'tt1', up: false, mtu: 68 }],
    ] as const) {
      const last = look()!;
      assert.equal(watcher.intervalMs, Number.POSITIVE_INFINITY);
      home.run(command);
      assert.deepEqual(changedFrom(last), state, command);
    }
    home.run('ip link del tt1');
    assert.ok(poller.wait(5000) > 0);
    assert.equal(look(), undefined);
  });

  it('at home, is told of a moment down between two looks, of its own device alone', () => {
    home.run('ip tuntap add dev other mode tun; ip link set tt0 up; ip link set other up');
    assert.equal(look()?.up, true);
    assert.equal(watcher.wasDown, false, 'it was down before it was first looked at');
    home.run('ip link set other down; ip link set other up; ip link set tt0 mtu 1400');
    assert.equal(look()?.up, true);
    assert.equal(watcher.wasDown, false);
    home.run('ip link set tt0 down; ip link set tt0 up');
    assert.equal(look()?.up, true);
    assert.equal(watcher.wasDown, true);
    look();
    assert.equal(watcher.wasDown, false, 'it is told once');
    home.run('ip tuntap del dev other mode tun');
  });

  it('sets the MTU, also away from home', () => {
    assert.equal(
      home.enter(() => watcher.setMtu(1420)),
      true,
    );
    assert.equal(look()?.mtu, 1420);
    assert.equal(
      home.enter(() => watcher.setMtu(1)),
      false,
    );
    home.run(`ip link set tt0 netns ${away.pid}`);
    assert.equal(
      home.enter(() => watcher.setMtu(1337)),
      true,
    );
    assert.match(away.run('ip link show tt0'), /mtu 1337/);
  });

  it('follows the device to another namespace and back', () => {
    home.run('ip link set tt0 up');
    assert.deepEqual(look(), { name: 'tt0', up: true, mtu: 1500 });
    let last = look()!;
    home.run(`ip link set tt0 netns ${away.pid}`);
    assert.deepEqual(changedFrom(last), { name: 'tt0', up: false, mtu: 1500 }, 'moving clears IFF_UP');
    assert.ok(Number.isFinite(watcher.intervalMs));
    for (const [command, state] of [
      ['ip link set tt0 up', { name: 'tt0', up: true, mtu: 1500 }],
      ['ip link set tt0 mtu 1300', { name: 'tt0', up: true, mtu: 1300 }],
      ['ip link set tt0 name elsewhere; ip link set elsewhere up', { name: 'elsewhere', up: true, mtu: 1300 }],
      ['ip link set elsewhere down', { name: 'elsewhere', up: false, mtu: 1300 }],
    ] as const) {
      last = look()!;
      away.run(command);
      assert.deepEqual(changedFrom(last), state, command);
    }
    away.run(`ip link set elsewhere netns ${home.pid}`);
    home.run('ip link set elsewhere up');
    until('it is back', () => look()?.up === true);
    assert.equal(watcher.intervalMs, Number.POSITIVE_INFINITY);
  });

  it('is not misled by another device that takes the name at home', () => {
    home.run(`ip link set tt0 netns ${away.pid}`);
    home.run('ip tuntap add dev tt0 mode tun; ip link set tt0 up mtu 1234');
    assert.deepEqual(look(), { name: 'tt0', up: false, mtu: 1500 });
    away.run('ip link set tt0 up');
    assert.deepEqual(look(), { name: 'tt0', up: true, mtu: 1500 }, 'up and down show at once, on the descriptor');
    home.run('ip tuntap del dev tt0 mode tun');
  });

  it('sees the device deleted where it is', () => {
    home.run(`ip link set tt0 netns ${away.pid}`);
    assert.equal(look()?.name, 'tt0');
    away.run('ip link del tt0');
    assert.ok(poller.wait(5000) > 0);
    assert.ok((poller.got(1) & POLLERR) !== 0);
    assert.equal(look(), undefined);
  });

  it('lets the namespace die, and the device with it', () => {
    home.run(`ip link set tt0 netns ${away.pid}`);
    assert.equal(look()?.name, 'tt0');
    away.run('ip link set tt0 up');
    until('it was seen up', () => look()?.up === true);
    away.close();
    until('the device is gone', () => look() === undefined);
  });

  it('stays at home itself, and leaves no descriptor behind', () => {
    home.run(`ip link set tt0 netns ${away.pid}`);
    const place = readlinkSync('/proc/thread-self/ns/net');
    look();
    const open = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 1000; i++) home.enter(() => watcher.setMtu(1280 + (i & 1)));
    assert.equal(readlinkSync('/proc/thread-self/ns/net'), place);
    assert.equal(readdirSync('/proc/self/fd').length, open);
  });

  it('gets by where it may not enter', () => {
    home.run(`ip link set tt0 netns ${away.pid}`);
    const script = `import { TunDevice } from ${JSON.stringify(new URL('../../src/linux/tun.js', import.meta.url).href)};
      import { DeviceWatcher } from ${JSON.stringify(new URL('../../src/linux/watcher.js', import.meta.url).href)};
      const watcher = new DeviceWatcher(new TunDevice(3));
      console.log(JSON.stringify([watcher.look(), Number.isFinite(watcher.intervalMs)]));
      process.kill(process.pid, 'SIGKILL');`;
    // Without capabilities, with the descriptor handed over: as the rootless parent is.
    const tell = (): unknown => {
      try {
        const caps = ['--bounding-set=-all', '--inh-caps=-all'];
        execFileSync('setpriv', [...caps, process.execPath, '--input-type=module', '-e', script], {
          stdio: ['ignore', 'pipe', 'inherit', tun.fd],
        });
      } catch (error) {
        return JSON.parse(String((error as { stdout: Buffer }).stdout));
      }
      return undefined;
    };
    assert.deepEqual(tell(), [{ name: 'tt0', up: false, mtu: 1420 }, true]);
    away.run('ip link set tt0 up');
    assert.deepEqual(tell(), [{ name: 'tt0', up: true, mtu: 1420 }, true]);
  });
});
