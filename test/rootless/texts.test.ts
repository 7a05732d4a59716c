/** What rootless tunnels make of texts: refusals, configurations, resolv.conf and nsswitch.conf, services to hide. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseQuickConfig } from '../../src/config/index.js';
import { servicesToHide } from '../../src/rootless/hidden.js';
import { nsswitchText, resolvConfText } from '../../src/rootless/private-files.js';
import { findProgram } from '../../src/rootless/programs.js';
import { demandTun, explainRefusal } from '../../src/rootless/refusal.js';
import { namespaceOptions } from '../../src/rootless/settings.js';

const KEY = Buffer.alloc(32, 1).toString('base64');

describe('explainRefusal', () => {
  const DENIED = 'unshare: unshare failed: Operation not permitted';
  const explained = (message: string, sysctls: Record<string, string> = {}): string =>
    explainRefusal(new Error(message), (name) => sysctls[name]).message;

  for (const [name, value, message] of [
    ['user.max_user_namespaces', '0', 'unshare: unshare failed: No space left on device'],
    ['user.max_net_namespaces', '0', 'unshare: unshare failed: No space left on device'],
    ['user.max_mnt_namespaces', '0', 'unshare: unshare failed: No space left on device'],
    ['user.max_pid_namespaces', '0', 'unshare: unshare failed: No space left on device'],
    ['kernel.unprivileged_userns_clone', '0', DENIED],
    [
      'kernel.apparmor_restrict_unprivileged_userns',
      '1',
      'unshare: write failed /proc/self/uid_map: Operation not permitted',
    ],
    ['kernel.apparmor_restrict_unprivileged_userns', '1', 'mount /tmp: EPERM'],
  ] as const) {
    it(`names ${name} when it is ${value} and the failure is "${message}"`, () => {
      const text = explained(message, { [name]: value });
      assert.ok(text.includes(`(${name} is ${value})`), text);
      assert.ok(text.includes(`"sysctl ${name}=`), text);
    });
  }

  it('names a container where no switch is off', () => {
    const text = explained(DENIED, { 'user.max_user_namespaces': '96365', 'kernel.unprivileged_userns_clone': '1' });
    assert.match(text, /refused to this user \(unshare: .*\): in a container, its seccomp or AppArmor profile/);
  });

  it('names the package of a program that is missing', () => {
    assert.match(explained('sh: 1: exec: setpriv: not found'), /install util-linux/);
    assert.match(
      explained('setpriv: failed to execute unshare: No such file or directory: ENOENT'),
      /install util-linux/,
    );
    assert.match(explained('spawn ip ENOENT'), /install iproute2/);
  });

  it("leaves ip's own words and other errors as they are", () => {
    for (const words of ['ip address replace fd00::1/64 dev wg0: RTNETLINK answers: Permission denied', 'no idea']) {
      assert.equal(explained(words, { 'user.max_user_namespaces': '0' }), words);
    }
  });
});

it('demandTun: there is none; it is closed', () => {
  assert.throws(() => demandTun('/no/such/tun'), {
    code: 'ENOENT',
    message: /there is no \/no\/such\/tun: .*"modprobe tun"/,
  });
});

describe('namespaceOptions', () => {
  const file = (lines: string): string =>
    `[Interface]\nAddress = 10.0.0.2/32, fd00::2\nDNS = 10.0.0.1, corp.example, fd00::1\n${lines}\n[Peer]\nPublicKey = ${KEY}\nAllowedIPs = 10.1.2.3/8, ::/0\nAllowedIPs = 10.0.0.0/8\n`;

  it('takes Address, DNS, MTU and each of AllowedIPs once, without host bits', () => {
    assert.deepEqual(namespaceOptions(parseQuickConfig(file('MTU = 1300'))), {
      addresses: ['10.0.0.2/32', 'fd00::2'],
      routes: ['10.0.0.0/8', '::/0'],
      mtu: 1300,
      dns: { servers: ['10.0.0.1', 'fd00::1'], search: ['corp.example'] },
    });
  });

  it('Table matters only when it is off', () => {
    assert.deepEqual(namespaceOptions(parseQuickConfig(file('Table = off'))).routes, []);
    assert.equal(namespaceOptions(parseQuickConfig(file('Table = 1234'))).routes.length, 2);
  });

  for (const hook of ['PreUp', 'PostUp', 'PreDown', 'PostDown']) {
    it(`refuses ${hook}, naming its line`, () => {
      assert.throws(() => namespaceOptions(parseQuickConfig(file(`${hook} = true`))), {
        code: 'ERR_HOOK',
        message: new RegExp(`^line 4: ${hook} is a hook`),
      });
    });
  }
});

it('resolvConfText: servers and search domains; without servers nobody is asked', () => {
  assert.match(
    resolvConfText({ servers: ['10.0.0.1', 'fd00::1'], search: ['a', 'b'] }),
    /\nnameserver 10\.0\.0\.1\nnameserver fd00::1\nsearch a b\n$/,
  );
  assert.match(resolvConfText({ servers: [], search: [] }), /\nnameserver 127\.0\.0\.1\n$/);
});

it('nsswitchText: hosts and networks ask files and DNS alone; the rest stays', () => {
  const original = 'passwd: files sss\n hosts : files mdns4 [NOTFOUND=return] resolve dns\nNETWORKS: nis\n# hosts: x\n';
  assert.equal(nsswitchText(original), 'passwd: files sss\n# hosts: x\nhosts: files dns\nnetworks: files\n');
});

it('servicesToHide: what exists, by variables too, each once', () => {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), `typetun-hidden-${process.pid}-`)));
  try {
    mkdirSync(join(directory, 'systemd'));
    for (const name of ['bus', 'elsewhere', 'system']) writeFileSync(join(directory, name), '');
    const hidden = servicesToHide(
      {
        XDG_RUNTIME_DIR: directory,
        DBUS_SESSION_BUS_ADDRESS: `unix:guid=1,path=${directory}/elsewhere,x=y;unix:path=${directory}/gone`,
        DBUS_SYSTEM_BUS_ADDRESS: `tcp:host=x;unix:path=${directory}/system`,
      },
      123456789,
    ).filter((path) => path.startsWith(directory));
    assert.deepEqual(
      hidden.sort(),
      ['bus', 'elsewhere', 'system', 'systemd'].map((name) => join(directory, name)),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('findProgram: as execvp finds it', () => {
  assert.equal(findProgram('sh', '/no/such:/bin', '/'), '/bin/sh');
  assert.equal(findProgram('./sh', '', '/bin'), '/bin/sh');
  assert.equal(findProgram('sh', 'bin', '/'), '/bin/sh');
  assert.deepEqual(findProgram('no-such-program', '/bin', '/'), { code: 'ENOENT' });
  assert.deepEqual(findProgram('', '/bin', '/'), { code: 'ENOENT' });
  assert.deepEqual(findProgram('/etc', '', '/'), { code: 'EACCES' });
});
