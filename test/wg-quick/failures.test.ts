/** `wg-quick up` that fails, or is told to end, at each of its steps leaves nothing behind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FULL, missing, withNamespaces } from '../netns/environment.js';
import { BOTH, conf, iface, peer } from './cases.js';
import { inWorld, type Seen, sectionOf, TOOLS } from './world.js';

/**
 * Stands before the tools in PATH. Of the calls that change something, the one whose number is in /run/fail-at
 * fails: before or after it has done its work, or it does it and sends its caller SIGINT or SIGTERM.
 */
const INJECT = `
mv /run/bin/resolvconf /run/resolvconf.real
for tool in ip nft sysctl iptables-restore ip6tables-restore bash resolvconf; do
  real=$(PATH=\${PATH#/run/bin:} command -v $tool); [ $tool != resolvconf ] || real=/run/resolvconf.real
  { echo '#!/bin/bash -p'; echo "real=$real"; cat <<'END'
case "\${0##*/} $*" in 'ip -j '*|'nft list '*|'sysctl -n '*) exec $real "$@" ;; esac
[ -e /run/fail-at ] || exec $real "$@"
n=$(($(cat /run/count) + 1)); echo $n > /run/count
[ $n = "$(cat /run/fail-at)" ] || exec $real "$@"
echo "injected into: \${0##*/} $*" >&2
case "$(cat /run/fail-how)" in
before) exit 44 ;;
after) $real "$@" > /dev/null 2>&1; exit 44 ;;
*) $real "$@"; code=$?; kill -$(cat /run/fail-how) $PPID; exit $code ;;
esac
END
  } > /run/bin/$tool.new
done
chmod +x /run/bin/*.new; for i in /run/bin/*.new; do mv $i \${i%.new}; done
# Runs up once for each step, until no step is left to fail at.
each_step() {
  local n=0
  while :; do
    n=$((n + 1)); echo $n > /run/fail-at; echo 0 > /run/count; echo $1 > /run/fail-how; rm -f /run/resolvconf.log
    prefix="$n-$1 "; step=0
    quick up wg0
    [ $last != 0 ] || break
    rm /run/fail-at; snap failed
  done
  rm /run/fail-at; prefix='end '
  quick down wg0
}
`;

const FILE = conf(
  'wg0',
  iface('Address = 10.77.0.2/24, fd77::2/64', 'DNS = 10.0.0.1', 'PreUp = true', 'PostUp = true'),
  peer(`${BOTH}, 10.5.0.0/16`),
);
const STATE = ['rules', 'routes', 'addresses', 'links', 'nft', 'iptables', 'sysctl', 'devices'] as const;

/** What resolvconf still holds. */
function records(text: string): string {
  return text
    .split('\n')
    .filter((line) => line !== '' && !/^(resolvconf| {2}<) /.test(line))
    .join('\n');
}

function assertEachUndone(seen: Seen, how: string, code: string): number {
  let steps = 0;
  for (; seen.sections.has(`${steps + 1}-${how} 1 failed: rules`); steps++) {
    const step = `${steps + 1}-${how}`;
    const stderr = sectionOf(seen, `${step} 1 up wg0: stderr`);
    const what = /^injected into: (.*)$/m.exec(stderr)?.[1] ?? '';
    assert.equal(sectionOf(seen, `${step} 1 up wg0: exit code`), code, `${step}: ${what}\n${stderr}`);
    for (const kind of STATE) {
      assert.equal(
        sectionOf(seen, `${step} 1 failed: ${kind}`),
        sectionOf(seen, `0 before: ${kind}`),
        `${step}: ${what}\n${stderr}`,
      );
    }
    assert.equal(records(sectionOf(seen, `${step} 1 failed: resolvconf`)), '', `${step}: ${what}\n${stderr}`);
    assert.match(
      stderr.split('\n').at(-1)!,
      code === '44' ? /^wg-quick: `.*' failed with exit code 44/ : /^wg-quick: Interrupted by SIG/,
    );
  }
  return steps;
}

withNamespaces(import.meta.filename, () => {
  describe('wg-quick up that does not succeed', { skip: missing(TOOLS), concurrency: 2 }, () => {
    for (const [how, code, sample] of [
      ['before', '44', false],
      ['after', '44', true],
      ['INT', '130', true],
      ['TERM', '143', false],
    ] as const) {
      if (!FULL && !sample) continue;
      it(`leaves nothing of any step: ${how}`, { timeout: 480_000 }, async () => {
        const seen = await inWorld('typetun', `${INJECT}${FILE}\nsnap before; each_step ${how}; snap end`, 450_000);
        const steps = assertEachUndone(seen, how, code);
        assert.ok(
          steps >= 15,
          `${steps} steps: two hooks, two addresses, link, DNS, route, twice rules, route and firewall, sysctl`,
        );
        assert.equal(sectionOf(seen, 'end 2 down wg0: exit code'), '0');
      });
    }

    it('leaves nothing when the device cannot be made or configured', { timeout: 120_000 }, async () => {
      const seen = await inWorld(
        'typetun',
        `snap before
         ${conf('wg0', iface(), peer('10.9.0.0/24', 'nobody.invalid:1'))}
         export WG_ENDPOINT_RESOLUTION_RETRIES=0; quick up wg0; snap nobody
         export WG_QUICK_USERSPACE_IMPLEMENTATION=false; quick up wg0; snap false
         export WG_QUICK_USERSPACE_IMPLEMENTATION=/run/nothing; quick up wg0; snap nothing`,
      );
      for (const [i, [name, code]] of Object.entries({
        nobody: '1',
        false: '1',
        nothing: '127',
      }).entries()) {
        assert.equal(sectionOf(seen, `${i + 1} up wg0: exit code`), code, sectionOf(seen, `${i + 1} up wg0: stderr`));
        for (const kind of STATE)
          assert.equal(sectionOf(seen, `${i + 1} ${name}: ${kind}`), sectionOf(seen, `0 before: ${kind}`), name);
      }
    });

    it('can be ended while it waits for a name', { timeout: 120_000 }, async () => {
      const seen = await inWorld(
        'typetun',
        `snap before; echo 'nameserver 127.0.0.1' > /run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf
         ${conf('wg0', iface(), peer('10.9.0.0/24', 'example.com:1'))}
         export WG_ENDPOINT_RESOLUTION_RETRIES=infinity
         "\${QUICK[@]}" up wg0 2> /run/said & until grep -q 'Trying again' /run/said; do sleep 0.05; done
         kill -TERM $!; code=0; wait $! || code=$?; section code; echo $code; section said; cat /run/said; step=9; snap after`,
      );
      assert.equal(sectionOf(seen, 'code'), '143', sectionOf(seen, 'said'));
      for (const kind of STATE) assert.equal(sectionOf(seen, `9 after: ${kind}`), sectionOf(seen, `0 before: ${kind}`));
    });
  });
});
