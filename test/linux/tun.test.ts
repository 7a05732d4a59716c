import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Errno, SystemError } from '../../src/linux/errno.js';
import { addressOf, allocate } from '../../src/linux/ffi.js';
import { check, close, ioctl, O_NONBLOCK, O_RDWR, openPath } from '../../src/linux/libc.js';
import { POLLERR, POLLIN, Poller } from '../../src/linux/poll.js';
import { Offload, TunDevice, VNET_HEADER_SIZE } from '../../src/linux/tun.js';
import { IFF_TUN_NO_PI, openTun } from './descriptors.js';
import { Netns, NO_NETNS } from './world.js';

const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_VNET_HDR = 0x4000;

/** A TUN as somebody else may have made it. */
function foreignTun(flags: number, headerSize?: number): number {
  const fd = openTun('tt%d', flags);
  if (headerSize !== undefined) {
    const size = allocate(4);
    size[0] = headerSize;
    check(ioctl(fd, TUNSETVNETHDRSZ, addressOf(size)), 'TUNSETVNETHDRSZ');
  }
  return fd;
}

/** An echo request becomes its reply: addresses swapped, type 0; both sums stay right but ICMP's. */
function turnRound(packet: Uint8Array): void {
  const view = new DataView(packet.buffer, packet.byteOffset);
  const [source, destination] = [view.getUint32(12), view.getUint32(16)];
  view.setUint32(12, destination);
  view.setUint32(16, source);
  packet[20] = 0;
  const sum = view.getUint16(22) + 0x0800;
  view.setUint16(22, (sum & 0xffff) + (sum >>> 16));
}

const failsWith = (code: string) => (error: unknown) => error instanceof SystemError && error.code === code;

describe('TunDevice', { skip: NO_NETNS }, () => {
  let netns: Netns;
  before(() => {
    netns = new Netns();
  });
  after(() => netns.close());

  it('completes %d, and tells the name after a rename', () => {
    const tun = netns.enter(() => TunDevice.create('tt%d'));
    assert.equal(tun.name(), 'tt0');
    assert.equal(tun.vnetHeader, true);
    netns.run('ip link set tt0 name renamed');
    assert.equal(tun.name(), 'renamed');
    tun.close();
    assert.equal(netns.run('ip -o link | grep -c renamed || true').trim(), '0');
  });

  it('says EBUSY for a name that is taken, EINVAL for one that cannot be', () => {
    const tun = netns.enter(() => TunDevice.create('taken'));
    const open = readdirSync('/proc/self/fd').length;
    assert.throws(() => netns.enter(() => TunDevice.create('taken')), failsWith('EBUSY'));
    for (const name of ['', '0123456789abcdef', 'a/b', '..']) {
      assert.throws(() => netns.enter(() => TunDevice.create(name)), failsWith('EINVAL'), name);
    }
    netns.enter(() => TunDevice.create('0123456789abcde')).close();
    assert.equal(readdirSync('/proc/self/fd').length, open);
    tun.close();
  });

  it('says EPERM without the capability, ENOENT without /dev/net/tun', () => {
    const script = `import { TunDevice } from ${JSON.stringify(new URL('../../src/linux/tun.js', import.meta.url).href)};
      try { TunDevice.create('tt%d'); } catch (error) { console.log(error.code, error.syscall); }`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const say = (result: SpawnSyncReturns<string>): string => result.stdout.trim() || result.stderr;
    const noCapability = spawnSync('setpriv', ['--bounding-set=-net_admin', '--inh-caps=-net_admin', ...node], {
      encoding: 'utf8',
    });
    assert.equal(say(noCapability), 'EPERM TUNSETIFF');
    const noDevice = ['--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh', ...node];
    assert.equal(say(spawnSync('unshare', noDevice, { encoding: 'utf8' })), 'ENOENT open /dev/net/tun');
  });

  it('reads and writes packets behind a virtio header', async () => {
    const tun = netns.enter(() => TunDevice.create('tt%d'));
    assert.ok(tun.setOffload(Offload.csum | Offload.tso4 | Offload.tso6));
    assert.ok(tun.setOffload(0));
    assert.equal(tun.setOffload(0x8000), false);
    const memory = allocate(70_000);
    const address = addressOf(memory);
    assert.equal(tun.read(address, 70_000), -Errno.EAGAIN, 'it does not block');
    assert.equal(tun.isUp(), false);
    memory[VNET_HEADER_SIZE] = 0x45;
    assert.equal(tun.write(address, 100), -Errno.EIO, 'it is down');
    memory[VNET_HEADER_SIZE] = 0;
    netns.run('ip addr add 10.8.0.1/24 dev tt0; ip link set tt0 up');
    assert.equal(tun.isUp(), true);
    const ping = spawn('nsenter', [
      `--net=${netns.path}`,
      'ping',
      '-n',
      '-c',
      '2',
      '-i',
      '0.2',
      '-W',
      '10',
      '10.8.0.2',
    ]);
    const done = once(ping, 'exit');
    const poller = new Poller(1);
    poller.set(0, tun.fd, POLLIN);
    for (let echoes = 0; echoes < 2; ) {
      assert.ok(poller.wait(10_000) > 0);
      const got = tun.read(address + 6, 65_545);
      const packet = memory.subarray(16, 6 + got);
      if (packet[0] !== 0x45) continue;
      assert.ok(memory.subarray(6, 16).every((byte) => byte === 0));
      assert.equal(packet.length, 84);
      turnRound(packet);
      if (echoes++ === 0) assert.equal(tun.write(address + 6, got), got);
      else {
        // In three pieces.
        const iovecs = new BigUint64Array(allocate(48).buffer);
        for (const [i, [from, length]] of [
          [6, 10],
          [16, 20],
          [36, 64],
        ].entries()) {
          iovecs[i * 2] = BigInt(address + from!);
          iovecs[i * 2 + 1] = BigInt(length!);
        }
        assert.equal(tun.writev(addressOf(new Uint8Array(iovecs.buffer)), 3), got);
      }
    }
    assert.deepEqual(await done, [0, null]);
    assert.equal(tun.write(address, 5), -Errno.EINVAL, 'less than a header');
    tun.close();
  });

  it('takes over a descriptor that others made', () => {
    netns.enter(() => {
      for (const [flags, size] of [
        [IFF_TUN_NO_PI | IFF_VNET_HDR],
        [IFF_TUN_NO_PI | IFF_VNET_HDR, 12],
        [IFF_TUN_NO_PI],
      ]) {
        const tun = new TunDevice(foreignTun(flags!, size));
        assert.equal(tun.vnetHeader, flags !== IFF_TUN_NO_PI);
        const header = tun.vnetHeader ? VNET_HEADER_SIZE : 0;
        const name = tun.name()!;
        netns.run(`ip link set ${name} up; ip addr add 10.8.0.1/24 dev ${name}`);
        netns.run(`ip neigh; ping -c 1 -W 0.01 10.8.0.2 || true`);
        const memory = allocate(2000);
        let first = 0;
        for (let got = 0; got >= 0 && first !== 0x45; first = memory[header]!) got = tun.read(addressOf(memory), 2000);
        assert.equal(first, 0x45, 'an IPv4 packet right behind the header; and reading did not block');
        tun.close();
      }
    });
  });

  it('refuses a descriptor it cannot work with', () => {
    netns.enter(() => {
      const ethernet = foreignTun(0x1002);
      assert.throws(() => new TunDevice(ethernet), failsWith('EINVAL'));
      const none = openPath('/dev/null', O_RDWR | O_NONBLOCK);
      assert.throws(() => new TunDevice(none), failsWith('ENOTTY'));
      for (const fd of [ethernet, none]) close(fd);
    });
  });

  it('shows in poll and in its name that it was deleted', () => {
    const tun = netns.enter(() => TunDevice.create('tt%d'));
    const poller = new Poller(1);
    poller.set(0, tun.fd, 0);
    assert.equal(poller.wait(0), 0);
    netns.run('ip link del tt0');
    assert.ok(poller.wait(10_000) > 0);
    assert.ok((poller.got(0) & POLLERR) !== 0);
    assert.equal(tun.name(), undefined);
    const memory = allocate(100);
    assert.equal(tun.read(addressOf(memory), 100), -Errno.EBADFD);
    tun.close();
  });

  it('leaves no device and no descriptor over 100 times', () => {
    const open = readdirSync('/proc/self/fd').length;
    netns.enter(() => {
      for (let i = 0; i < 100; i++) TunDevice.create('again').close();
    });
    assert.equal(readdirSync('/proc/self/fd').length, open);
    assert.doesNotMatch(netns.run('ip link'), /again/);
  });

  it('takes a persistent device with it', () => {
    netns.run('ip tuntap add dev lasting mode tun vnet_hdr');
    netns.enter(() => TunDevice.create('lasting')).close();
    assert.doesNotMatch(netns.run('ip link'), /lasting/);
  });
});
