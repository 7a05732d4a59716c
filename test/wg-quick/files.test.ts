/** Whose commands wg-quick runs, who may call it, and that a file is never half written. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { distrust } from '../../src/cli/wg-quick/file.js';
import { missing, withNamespaces } from '../netns/environment.js';
import { conf, iface, peer } from './cases.js';
import { inWorld, PEER, sectionOf, TOOLS } from './world.js';

const HOOKS = iface('PostUp = touch /run/ran', 'PostDown = touch /run/ran');
const isRoot = process.getuid?.() === 0 && process.env['TYPETUN_TEST_IN_USER_NAMESPACE'] === undefined;

describe('distrust', () => {
  for (const [uid, mode, trusted, expected] of [
    [0, 0o100600, [0, 0], undefined],
    [0, 0o100644, [0, 0], undefined],
    [1000, 0o100600, [0, 1000], undefined],
    [1000, 0o100600, [0, 0], /belongs to user 1000/],
    [0, 0o100620, [0, 0], /group or others may write/],
    [0, 0o100602, [0, 0], /group or others may write/],
    [1000, 0o100660, [0, 1000], /group or others may write/],
  ] as const) {
    it(`of a file of ${uid} with mode ${mode.toString(8)} to ${trusted.join(' and ')}`, () => {
      const why = distrust({ uid, mode }, trusted);
      if (expected === undefined) assert.equal(why, undefined);
      else assert.match(why ?? '', expected);
    });
  }
});

withNamespaces(import.meta.filename, () => {
  describe('wg-quick and files', { skip: missing(TOOLS), concurrency: 2 }, () => {
    it('runs no command of a file that others may write to', { timeout: 60_000 }, async () => {
      const seen = await inWorld(
        'typetun',
        `${conf('wg0', HOOKS)} chmod 660 wg0.conf; quick up wg0; chmod 602 wg0.conf; quick up wg0
         ip link show dev wg0; chmod 600 wg0.conf; quick up wg0; rm /run/ran; chmod 620 wg0.conf; quick down wg0
         section ran; ls /run/ran; ip -br link show dev wg0; chmod 600 wg0.conf; quick down wg0
         ${conf('wg0', iface())} chmod 666 wg0.conf; quick up wg0; quick down wg0`,
      );
      for (const step of ['1 up', '2 up', '4 down']) {
        assert.equal(sectionOf(seen, `${step} wg0: exit code`), '1');
        assert.match(
          sectionOf(seen, `${step} wg0: stderr`),
          /^wg-quick: The commands in `\/etc\/wireguard\/wg0\.conf' are not run: its group or others may write to it \(chmod go-w\)$/m,
        );
      }
      assert.match(sectionOf(seen, 'ran'), /^wg0 /, 'no hook ran, and the interface is still there');
      for (const step of ['3 up', '5 down', '6 up', '7 down'])
        assert.equal(sectionOf(seen, `${step} wg0: exit code`), '0');
      assert.match(
        sectionOf(seen, '6 up wg0: stderr'),
        /^Warning: `\/etc\/wireguard\/wg0\.conf' is not safe from changes/m,
      );
    });

    it("runs commands of root's files, and after sudo of the caller's", {
      timeout: 60_000,
      skip: !isRoot && 'needs root',
    }, async () => {
      const seen = await inWorld(
        'typetun',
        `${conf('wg0', HOOKS)} chown 1234 wg0.conf; quick up wg0; SUDO_UID=1235 quick up wg0; SUDO_UID=x quick up wg0
         SUDO_UID=1234 quick up wg0; section ran; ls /run/ran; SUDO_UID=1234 quick down wg0; chown 0 wg0.conf; SUDO_UID=1235 quick up wg0`,
      );
      for (const step of [1, 2, 3]) {
        assert.match(
          sectionOf(seen, `${step} up wg0: stderr`),
          /are not run: it belongs to user 1234, who is neither root/,
        );
      }
      assert.equal(sectionOf(seen, '4 up wg0: exit code'), '0', sectionOf(seen, '4 up wg0: stderr'));
      assert.equal(sectionOf(seen, 'ran'), '/run/ran');
      assert.equal(sectionOf(seen, '6 up wg0: exit code'), '0');
    });

    it('goes through sudo where it is not root', { timeout: 60_000, skip: !isRoot && 'needs root' }, async () => {
      const seen = await inWorld(
        'typetun',
        `${conf('wg0', HOOKS)} chmod 755 .; printf '#!/bin/sh\\nprintf "<%%s>" "$@"; exit 9\\n' > /run/bin/sudo; chmod 755 /run /run/bin /run/bin/sudo
         QUICK=(setpriv --reuid 65534 --regid 65534 --clear-groups -- "\${QUICK[@]}")
         quick up wg0; quick strip wg0; quick nonsense wg0; quick help; PATH=/usr/bin:/bin; mkdir /run/empty
         QUICK=("\${QUICK[@]:0:7}" env PATH=/run/empty "\${QUICK[@]:7}"); quick up wg0`,
      );
      const call = sectionOf(seen, '1 up wg0: output');
      assert.match(
        call,
        /^<-p><wg-quick must be run as root\. Please enter the password for %u to continue: ><--><[^>]*node[^>]*><[^>]*typetun><wg-quick><up><wg0>$/,
      );
      assert.equal(sectionOf(seen, '1 up wg0: exit code'), '9');
      assert.match(sectionOf(seen, '2 strip wg0: output'), /<strip><wg0>$/);
      assert.match(sectionOf(seen, '3 nonsense wg0: stderr'), /^Usage: /);
      assert.match(sectionOf(seen, '4 help: output'), /^Usage: /);
      assert.equal(sectionOf(seen, '5 up wg0: stderr'), 'wg-quick must be run as root');
      assert.equal(sectionOf(seen, '5 up wg0: exit code'), '1');
    });

    it('makes nothing of names that no interface can have, and of what is no file', { timeout: 60_000 }, async () => {
      const seen = await inWorld(
        'typetun',
        `snap before; mkdir odd; for i in '$(touch x)' 'a b' "a'b" 'a/b' '-x' 'abcdefghijklmnop' '..' 'ü'; do
           mkdir -p "odd/$(dirname "$i")"; printf '[Interface]\\n' > "odd/$i.conf"; chmod 600 "odd/$i.conf"; quick up "./odd/$i.conf"; done
         mkdir wg0.conf; quick up wg0; rmdir wg0.conf; mkfifo -m 600 wg0.conf; quick up wg0; rm wg0.conf
         truncate -s 1G wg0.conf; quick up wg0; printf '[Interface]\\nMTU = 12\\0\\n' > wg0.conf; quick up wg0; quick down wg0; rm -r odd wg0.conf; snap after`,
      );
      const codes = [...seen.sections].filter(([name]) => name.endsWith(': exit code'));
      assert.equal(codes.length, 13);
      // -x and b (of a directory) are names.
      const fine = codes.filter(([, code]) => code === '0').map(([name]) => name.replace(/^\d+ up (.*): .*/, '$1'));
      assert.deepEqual(fine, ['./odd/a/b.conf', './odd/-x.conf']);
      const said = (step: string): string => sectionOf(seen, `${step} wg0: stderr`);
      assert.equal(said('9 up'), "wg-quick: `/etc/wireguard/wg0.conf' is not a regular file");
      assert.equal(said('10 up'), "wg-quick: `/etc/wireguard/wg0.conf' is not a regular file");
      assert.equal(said('11 up'), "wg-quick: `/etc/wireguard/wg0.conf' is larger than 134217728 bytes");
      assert.equal(said('12 up'), 'wg-quick: /etc/wireguard/wg0.conf: line 2: The file has a NUL byte');
    });

    it('keeps the private key out of arguments and environments', { timeout: 60_000 }, async () => {
      const seen = await inWorld(
        'typetun',
        `key=$(wg genkey); other=$(wg genkey); umask 077
         printf '[Interface]\\nPrivateKey = %s\\nPostUp = wg set %%i private-key <(echo %s); echo done\\nSaveConfig = true\\n[Peer]\\nPublicKey = ${PEER}\\nAllowedIPs = 0.0.0.0/0\\n' $key $other > wg0.conf
         for tool in ip nft sysctl bash; do real=$(PATH=\${PATH#/run/bin:} command -v $tool)
           printf '#!/bin/sh\\ncat /proc/$$/cmdline /proc/$$/environ >> /run/seen\\nexec %s "$@"\\n' $real > /run/$tool; done
         chmod +x /run/ip /run/nft /run/sysctl /run/bash; cp /run/ip /run/nft /run/sysctl /run/bash /run/bin/
         quick up wg0; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> /run/seen; quick down wg0; section seen; for i in suppress_prefixlength $key $other; do grep -a -c -F -e $i /run/seen; done`,
      );
      assert.equal(sectionOf(seen, '1 up wg0: exit code'), '0', sectionOf(seen, '1 up wg0: stderr'));
      const [words = '', ...keys] = sectionOf(seen, 'seen').split('\n');
      assert.ok(Number(words) > 0, 'arguments were seen');
      assert.deepEqual(keys, ['0', '0'], 'no key among them');
    });

    it('leaves the old file or the new one when a save is interrupted', { timeout: 120_000 }, async () => {
      const seen = await inWorld(
        'typetun',
        `${conf('wg0', iface('SaveConfig = true', '# the old one'), peer('10.9.0.0/24'))} quick up wg0; cp wg0.conf /run/old
         wg set wg0 peer ${PEER} persistent-keepalive 21; quick save wg0; cp wg0.conf /run/new
         section first; grep -c 'the old one' /run/old; grep -c 'PersistentKeepalive = 21' /run/new
         section interrupted; old=0 new=0
         for i in $(seq 30); do cp /run/old wg0.conf; "\${QUICK[@]}" save wg0 2>/dev/null & sleep 0.$(printf %03d $((40 + i * 5)))
           kill -KILL $! 2>/dev/null; wait $! 2>/dev/null
           if cmp -s wg0.conf /run/old; then old=$((old + 1)); elif cmp -s wg0.conf /run/new; then new=$((new + 1)); else echo torn; cat wg0.conf; fi; done
         echo $((old + new)); quick save wg0; section files; ls -A; stat -c %a wg0.conf; cmp wg0.conf /run/new && echo same
         section full; cp wg0.conf /run/files.old; mkdir /run/small; mount -t tmpfs -o size=4k tmpfs /run/small; cp wg0.conf /run/small/; chmod 600 /run/small/wg0.conf
         quick save /run/small/wg0.conf; section small; cmp /run/small/wg0.conf wg0.conf && ls -A /run/small
         ln -s /etc/passwd wg0.conf.tmp; quick save wg0; section trap; ls -A; grep -c PrivateKey /etc/passwd`,
        100_000,
      );
      assert.equal(sectionOf(seen, 'first'), '1\n1');
      assert.equal(sectionOf(seen, 'interrupted'), '30');
      assert.equal(sectionOf(seen, 'files'), 'wg0.conf\n600\nsame');
      assert.equal(sectionOf(seen, '4 save /run/small/wg0.conf: exit code'), '1');
      assert.match(sectionOf(seen, '4 save /run/small/wg0.conf: stderr'), /ENOSPC/);
      assert.equal(sectionOf(seen, 'small'), 'wg0.conf');
      assert.equal(sectionOf(seen, 'trap'), 'wg0.conf\n0');
    });
  });
});
