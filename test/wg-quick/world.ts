/**
 * A world of its own for each run of wg-quick: private network, mounts and processes, so that `/etc/wireguard`,
 * `/run` and an interface named wg0 are nobody else's.
 *
 *   [wg0] ----- [up0] 192.0.2.2/24, 2001:db8::2/64 ---- veth ---- [up1] in the same namespace, without address
 *                 default routes by 192.0.2.1 and 2001:db8::1
 *
 * In it one bash script runs everything and prints what it sees, in sections.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { kernelType, missing } from '../netns/harness.js';

export const TYPETUN: string = fileURLToPath(new URL('../../../bin/typetun', import.meta.url));
/** What every world needs. */
export const TOOLS: readonly string[] = [
  'wg-quick',
  'unshare',
  'nft',
  'iptables-save',
  'ip6tables-save',
  'sysctl',
  'sort',
  'sed',
];
const TIMEOUT_MS = 60_000;

export type Tool = 'stock' | 'typetun';

/** Base64; nobody else's. */
export const PRIVATE_KEY = 'CM9orEv6mFiewBqDPv1eqyl+o9IOm2kmGSESiW4y6Eo=';
export const PEER = '7LZ2lQbkxuOy5Bsv3Rqg7QEPjiQDL60w93FeV49vTlw=';
export const OTHER_PEER = 'CNOfMJuGJZ3lVuOR+84I8qtHyjLuxLDVRmhrQZ2TXRQ=';

/** Why the stock tool and ours cannot be compared here, or false. */
export function cannotCompare(): string | false {
  return missing(TOOLS) || kernelType();
}

const PRELUDE = `
set -u
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/wireguard /run/lock /run/upper /run/work /run/bin /run/records
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
mount -t sysfs sysfs /sys 2>/dev/null || true
mkdir -p -m 0700 /etc/wireguard && chmod 0700 /etc/wireguard && cd /etc/wireguard
ip link set lo up
ip link add up0 type veth peer name up1
# No address that comes up some time later.
for i in up0 up1; do echo 1 > /proc/sys/net/ipv6/conf/$i/addr_gen_mode; echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad; done
ip link set up1 up; ip link set up0 up
ip address add 192.0.2.2/24 dev up0; ip address add 2001:db8::2/64 dev up0 nodad
ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1
cat > /run/bin/resolvconf <<'END'
#!/bin/bash
# Says what it is told, and remembers it as resolvconf does.
printf '%s\\n' "resolvconf $*" >> /run/resolvconf.log
case $1 in
-a) tee "/run/records/$2" | sed 's/^/  < /' >> /run/resolvconf.log ;;
-d) rm -f "/run/records/$2" ;;
-l) if [ -e "/run/records/$2" ]; then echo "# from $2"; cat "/run/records/$2"; fi ;;
esac
exit "$(cat /run/resolvconf.exit 2>/dev/null || echo 0)"
END
chmod +x /run/bin/resolvconf
if [ -e /usr/sbin/resolvconf ]; then mount --bind /run/bin/resolvconf /usr/sbin/resolvconf; fi
export PATH=/run/bin:$PATH LC_ALL=C

conf() { (umask 077; cat > "/etc/wireguard/$1.conf"); }
section() { printf '\\n=====%s\\n' "$1"; }
step=0; prefix=''
# Runs the tool, and waits until the daemon of a deleted interface has gone.
quick() {
  section "$prefix$((++step)) $*: output"
  local code=0
  "\${QUICK[@]}" "$@" < /dev/null 2> /run/stderr || code=$?
  last=$code
  section "$prefix$step $*: exit code"; echo "$code"
  section "$prefix$step $*: stderr"; cat /run/stderr
  local i
  for i in $(seq 200); do
    ip link show dev "$(basename "\${2:-x}" .conf)" > /dev/null 2>&1 && break
    [ -e "/run/wireguard/$(basename "\${2:-x}" .conf).sock" ] || break
    sleep 0.02
  done
}
# Of an IPv6 address the kernel makes the local route in its own time.
settle() {
  local address i
  for address in $(ip -6 -o address show up scope global | sed 's/.* inet6 \\([^/]*\\).*/\\1/'); do
    for i in $(seq 250); do
      [ -z "$(ip -6 route show table local "$address")" ] || break
      sleep 0.02
    done
  done
}
# Everything wg-quick may change, as it is now.
snap() {
  local name
  section "$prefix$step $1: rules"; ip rule; ip -6 rule
  settle
  section "$prefix$step $1: routes"; ip -4 route show table all | sort; ip -6 route show table all | grep -v ' dev up[01] ' | sort
  section "$prefix$step $1: addresses"; ip -o address | sed 's/^[0-9]*: //'
  section "$prefix$step $1: links"; ip link | sed -n 's/^[0-9]*: \\([^:@]*\\).*<\\(.*\\)> mtu \\([0-9]*\\) .*/\\1 \\2 \\3/p'
  section "$prefix$step $1: nft"; nft list ruleset
  section "$prefix$step $1: iptables"; { iptables-save; ip6tables-save; } 2>/dev/null | grep '^-' || true
  section "$prefix$step $1: sysctl"; sysctl -n net.ipv4.conf.all.src_valid_mark
  section "$prefix$step $1: devices"
  for name in $(wg show interfaces | tr ' ' '\\n' | sort); do
    echo "$name"; wg showconf "$name"
  done
  section "$prefix$step $1: resolvconf"; cat /run/resolvconf.log 2>/dev/null; ls /run/records
  section "$prefix$step $1: hooks"; cat /run/hooks 2>/dev/null
  section "$prefix$step $1: files"; ls -l --time-style=+ | sed 's/^total.*//'
  for name in *.conf; do [ -e "$name" ] && echo "$name" && cat "$name"; done
  return 0
}
`;

/** What a script in a world printed. */
export interface Seen {
  /** By name, without white space at the end. */
  readonly sections: ReadonlyMap<string, string>;
  readonly stderr: string;
}

/**
 * Runs a script in a world.
 * @param tool what `quick` runs in it
 * @throws Error when the script takes too long or fails
 */
export async function inWorld(tool: Tool, script: string, timeoutMs: number = TIMEOUT_MS): Promise<Seen> {
  const quick =
    tool === 'stock'
      ? `export WG_QUICK_USERSPACE_IMPLEMENTATION=/run/bin/typetun; QUICK=(wg-quick)
         printf '#!/bin/sh\\nexec "%s" "%s" "$@"\\n' "$NODE" "$TYPETUN" > /run/bin/typetun; chmod +x /run/bin/typetun`
      : 'QUICK=("$NODE" "$TYPETUN" wg-quick)';
  const words = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c'];
  const { WG_QUICK_USERSPACE_IMPLEMENTATION: _, NODE_TEST_CONTEXT: __, LOG_LEVEL: ___, ...inherited } = process.env;
  const env = { ...inherited, NODE: process.execPath, TYPETUN };
  const child = spawn('unshare', [...words, `${PRELUDE}\n${quick}\n${script}\nsection end`], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  await new Promise((resolve, reject) => child.on('close', resolve).on('error', reject));
  clearTimeout(timer);
  const sections = new Map<string, string>();
  for (const part of `\n${stdout}`.split('\n=====').slice(1)) {
    const [name = '', ...lines] = part.split('\n');
    sections.set(name, lines.join('\n').trimEnd());
  }
  assert.ok(
    sections.has('end'),
    `${tool}: the script did not come to its end\n${stdout.slice(-3000)}\n${stderr.slice(-3000)}`,
  );
  return { sections, stderr };
}

/** The text of a section. @throws Error when there is none of this name */
export function sectionOf(seen: Seen, name: string): string {
  const text = seen.sections.get(name);
  assert.ok(text !== undefined, `no section "${name}" in: ${[...seen.sections.keys()].join(', ')}`);
  return text;
}
