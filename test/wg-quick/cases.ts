/** Configurations that the stock wg-quick and ours are run with, and what may differ between the two, by name. */
import { OTHER_PEER, PEER, PRIVATE_KEY } from './world.js';

/** A difference that is meant: sections that are not compared, and why. */
export interface Exemption {
  /** Part of the sections' names. */
  readonly sections: RegExp;
  readonly why: string;
}

export interface Case {
  readonly name: string;
  /** Bash, with the world's `conf`, `quick` and `snap`. */
  readonly script: string;
  /** Also in the sample that CI runs. */
  readonly sample?: boolean;
  readonly exempt?: readonly Exemption[];
  /** After the last step everything is as it was before the first. */
  readonly leavesNothing?: boolean;
}

const ENDPOINT = '192.0.2.1:51820';

export function iface(...lines: readonly string[]): string {
  return ['[Interface]', `PrivateKey = ${PRIVATE_KEY}`, ...lines].join('\n');
}

export function peer(allowedIps: string, endpoint: string = ENDPOINT, key: string = PEER): string {
  return [
    '[Peer]',
    `PublicKey = ${key}`,
    `AllowedIPs = ${allowedIps}`,
    ...(endpoint === '' ? [] : [`Endpoint = ${endpoint}`]),
  ].join('\n');
}

export function conf(name: string, ...parts: readonly string[]): string {
  return `conf '${name}' <<'END'\n${parts.join('\n')}\nEND\n`;
}

const UP_DOWN = 'snap before; quick up wg0; snap up; quick down wg0; snap down';

function upDown(name: string, file: readonly string[], more: Partial<Case> & { readonly setup?: string } = {}): Case {
  const { setup = '', ...rest } = more;
  return { name, script: `${setup}\n${conf('wg0', ...file)}\n${UP_DOWN}`, leavesNothing: true, ...rest };
}

const NEWEST_MTU: Exemption = {
  sections: /: links|: stderr/,
  why: 'the newest wg-quick takes the smallest MTU of the paths to the endpoints, 1.0.20210914 the largest',
};
const HASH_IN_HOOKS: Exemption = {
  sections: /./,
  why: 'the newest wg-quick passes # on to hooks',
};
const HOOK = (word: string, text = ''): string =>
  `${word} = echo ${word} %i $(ip -br link show dev %i 2>/dev/null | wc -l) ${text} >> /run/hooks`;
const OWN_WORDS: Exemption = {
  sections: /: stderr/,
  why: 'a mistake is found before anything is made, and named with its line',
};
export const BOTH: string = '0.0.0.0/0, ::/0';

export const CASES: readonly Case[] = [
  upDown('both families', [iface('Address = 10.77.0.2/24, fd77::2/64'), peer('10.77.0.0/24, fd77::/64')], {
    sample: true,
  }),
  upDown('no address and no peer', [iface()]),
  upDown('an empty file', []),
  upDown('addresses in several lines and lists', [
    iface('Address = 10.1.0.1/24,10.1.0.2/32 ,', 'address=fd01::1/64', 'ADDRESS\t= 10.2.0.1/16 fd02::1/128'),
    peer('10.1.0.0/24'),
  ]),
  upDown('addresses without a prefix length', [iface('Address = 10.1.0.1', 'Address = fd01::1'), peer('10.9.0.0/24')]),
  upDown(
    'white space, comments and letter case',
    [
      '# first\n  [interface]  ',
      `\tprivatekey=${PRIVATE_KEY} # the key`,
      'MTU=1300 # bytes\n\n#MTU = 9999\nTABLE = auto',
      peer('10.9.0.0/24 # behind it'),
    ],
    { sample: true },
  ),
  upDown('lines that end in CR LF', [iface('Address = 10.1.0.1/24\r', 'MTU = 1333\r'), peer('10.9.0.0/24')]),
  upDown('an explicit MTU', [iface('MTU = 1280'), peer('10.9.0.0/24')]),
  upDown('the last of two MTUs', [iface('MTU = 1280', 'MTU = 1290'), peer('10.9.0.0/24')]),
  upDown('MTU of the link to the endpoint', [iface(), peer('10.9.0.0/24', '203.0.113.1:1')], {
    setup: 'ip link set up0 mtu 1400',
  }),
  upDown('MTU of the route to the endpoint', [iface(), peer('10.9.0.0/24', '203.0.113.1:1')], {
    setup: 'ip route add 203.0.113.1 via 192.0.2.1 mtu 1350',
    sample: true,
  }),
  upDown('MTU of the route to an IPv6 endpoint', [iface(), peer('10.9.0.0/24', '[2001:db8:5::9]:1')], {
    setup: 'ip -6 route add 2001:db8:5::/48 via 2001:db8::1 mtu 1300',
  }),
  upDown('MTU of the default route without an endpoint', [iface(), peer('10.9.0.0/24', '')], {
    setup: 'ip route replace default via 192.0.2.1 mtu 1370',
  }),
  upDown('MTU without any route', [iface(), peer('10.9.0.0/24', '')], {
    setup: 'ip route del default; ip -6 route del default',
  }),
  upDown('MTU of a jumbo link', [iface(), peer('10.9.0.0/24')], {
    setup: 'ip link set up0 mtu 9000; ip link set up1 mtu 9000',
  }),
  upDown(
    'the smallest MTU of two endpoints',
    [iface(), peer('10.9.0.0/24', '203.0.113.1:1'), peer('10.8.0.0/24', '203.0.113.2:1', OTHER_PEER)],
    { setup: 'ip route add 203.0.113.1 via 192.0.2.1 mtu 1390', exempt: [NEWEST_MTU] },
  ),
  upDown(
    'an endpoint that cannot be reached beside one that can',
    [iface(), peer('10.9.0.0/24', '198.51.100.1:1'), peer('10.8.0.0/24', '203.0.113.1:1', OTHER_PEER)],
    {
      setup: 'ip route add unreachable 198.51.100.0/24; ip route add 203.0.113.1 via 192.0.2.1 mtu 1350',
      exempt: [{ sections: /: stderr/, why: 'ip complains to nobody about a question that may be answered with no' }],
    },
  ),
  upDown('Table = off', [iface('Address = 10.1.0.1/24', 'Table = off'), peer(`${BOTH}, 10.5.0.0/16`)]),
  upDown('Table = auto', [iface('Address = 10.1.0.1/24', 'Table = auto'), peer('10.5.0.0/16')]),
  upDown(
    'a table by number, default routes in it',
    [iface('Address = 10.1.0.1/24', 'Table = 77'), peer(`${BOTH}, 10.5.0.0/16, fd00::/8`)],
    {
      sample: true,
    },
  ),
  upDown('a table by hexadecimal number', [iface('Table = 0x10'), peer('10.5.0.0/16')]),
  upDown('a table by name', [iface('Address = 10.1.0.1/24', 'Table = main'), peer('10.5.0.0/16')]),
  upDown(
    'routes of all lengths, some covered by an address',
    [
      iface('Address = 10.1.0.1/24, fd01::1/64'),
      peer(
        '10.1.0.0/24, 10.1.0.0/16, 10.1.0.5/32, 10.2.0.0/30, 10.128.0.0/9, fd01::/64, fd01::7/128, fd02::/48, 172.16.0.0/12',
      ),
      peer('10.6.0.0/16, fd00::/8, 10.7.0.0/24', '', OTHER_PEER),
    ],
    { sample: true },
  ),
  upDown('everything in halves', [
    iface('Address = 10.1.0.1/24'),
    peer('::/1, 8000::/1, 0.0.0.0/1, 128.0.0.0/1, 0.0.0.0/2'),
  ]),
  upDown('all traffic, IPv4', [iface('Address = 10.1.0.1/24, 10.2.0.1/32'), peer('0.0.0.0/0, 10.5.0.0/16')]),
  upDown('all traffic, IPv6', [iface('Address = 10.1.0.1/24, fd01::1/64'), peer('::/0')]),
  upDown('all traffic, both families', [iface('Address = 10.1.0.1/24, fd01::1/64'), peer(BOTH)], { sample: true }),
  upDown('all traffic without an address', [iface(), peer(BOTH)]),
  upDown('all traffic, with a mark that the file gives', [iface('FwMark = 0x99', 'Address = 10.1.0.1/24'), peer(BOTH)]),
  upDown('all traffic, with the first table taken', [iface('Address = 10.1.0.1/24'), peer(BOTH)], {
    setup: 'ip -6 route add 2001:db8:9::/48 dev up0 table 51820; ip route add 10.99.0.0/16 dev up0 table 51821',
    sample: true,
  }),
  upDown('all traffic, the sysctl set before', [iface('Address = 10.1.0.1/24'), peer(BOTH)], {
    setup: 'sysctl -q net.ipv4.conf.all.src_valid_mark=1',
    exempt: [{ sections: /: stderr/, why: 'the newest wg-quick sets the sysctl only if needed' }],
  }),
  upDown('all traffic, by iptables', [iface('Address = 10.1.0.1/24, fd01::1/64'), peer(BOTH)], {
    // Its own directory comes first in the stock tool's PATH.
    setup: `mkdir /run/tools; ln -sf /usr/bin/* /run/tools/; ln -sf /usr/sbin/* /run/tools/; rm /run/tools/nft /run/tools/wg-quick
      # The chains that iptables makes stay when their rules go.
      for i in iptables ip6tables; do for t in raw mangle; do for c in PREROUTING POSTROUTING; do
        [ $t$c = rawPOSTROUTING ] || { $i -t $t -I $c -j ACCEPT; $i -t $t -D $c -j ACCEPT; }; done; done; done
      cp "$(command -v wg-quick)" /run/tools/; nft() { /usr/sbin/nft "$@"; }; PATH=/run/bin:/run/tools`,
    sample: true,
  }),
  upDown('all traffic, by a name that has dots and dashes', [], {
    script: `${conf('a.b-c_d', iface('Address = 10.1.0.1/24'), peer(BOTH))}
      snap before; quick up a.b-c_d; snap up; quick down a.b-c_d; snap down`,
  }),
  upDown(
    'name servers and search domains',
    [
      iface('DNS = 10.0.0.1, example.com,::5', 'dns = internal.example ,, 10.0.0.2', 'DNS = a.example b.example'),
      peer('10.9.0.0/24'),
    ],
    { sample: true },
  ),
  upDown('search domains without a name server', [iface('DNS = example.com'), peer('10.9.0.0/24')]),
  upDown("resolvconf's order of interfaces", [iface('DNS = 10.0.0.1'), peer('10.9.0.0/24')], {
    setup:
      "mkdir -p /etc/resolvconf; printf 'lo.inet6\\nlo.inet\\n@(dummy|ifb)+([0-9])\\ntun*\\neth*\\n' > /etc/resolvconf/interface-order",
  }),
  upDown(
    'hooks, in their order',
    [
      iface(
        HOOK('PostUp', '1'),
        HOOK('PostUp', '2 %i%i'),
        HOOK('PreDown'),
        HOOK('PostDown', '1'),
        HOOK('PostDown', '2'),
        'Address = 10.1.0.1/24',
      ),
      peer('10.9.0.0/24'),
    ],
    { sample: true },
  ),
  upDown('hooks before the interface is up', [iface(HOOK('PreUp')), peer('10.9.0.0/24')], {
    exempt: [{ sections: /: hooks|: stderr/, why: 'the newest wg-quick makes the interface before PreUp' }],
  }),
  upDown('hooks with pipes, quotes, output and input', [
    iface(
      'PostUp = echo "a  b" \'%i\' | tr a-z A-Z; echo err >&2; cat; cd /; x=1',
      'PostUp = echo $PWD "$x"; set -o | grep -E "^(pipefail|errexit) "; shopt extglob',
      'PostUp = echo "$INTERFACE"; for i in 1 2; do echo $i; done',
      'PostUp = ',
    ),
  ]),
  upDown('a number sign in a hook', [iface(`PostUp = echo 'a # b' >> /run/hooks # %i`), peer('10.9.0.0/24')], {
    exempt: [HASH_IN_HOOKS],
  }),
  {
    name: 'two tunnels for all traffic',
    script: `${conf('wg0', iface('Address = 10.1.0.1/24'), peer(BOTH))}
      ${conf('wg1', iface('Address = 10.2.0.1/24, fd02::1/64'), peer(BOTH, '192.0.2.1:7'))}
      snap before; quick up wg0; quick up wg1; snap up; quick down wg1; quick down wg0; snap down`,
    sample: true,
    leavesNothing: true,
    exempt: [
      {
        sections: /down wg[01]: stderr/,
        why: 'the stock tool deletes the suppressing rules of all tunnels with the first',
      },
      { sections: /up wg1: stderr/, why: 'the newest wg-quick sets the sysctl only if needed' },
    ],
  },
  {
    name: 'saved at the end',
    script: `${conf(
      'wg0',
      '# a comment',
      iface(
        'Address = 10.1.0.1/24, fd01::1/64',
        'DNS = 10.0.0.1',
        'DNS = ::5',
        'MTU = 1380',
        'Table = 99',
        'SaveConfig = true',
        'ListenPort = 777',
        'FwMark = 5',
      ),
      'PreUp = echo one\nPreUp = echo two\nPostUp=echo  "three  %i"\nPreDown = echo four\nPostDown = echo five',
      peer('10.5.0.0/16,10.6.0.0/16'),
      `PersistentKeepalive = 25\nPresharedKey = ${OTHER_PEER}`,
      peer('fd00::/8', '', OTHER_PEER),
    )}
      quick up wg0; wg set wg0 peer ${PEER} persistent-keepalive 11; ip address add 10.99.0.1/32 dev wg0; ip link set wg0 mtu 1333
      ip -6 address flush dev wg0 scope link
      snap changed; chmod 644 wg0.conf; quick down wg0; snap down; quick up wg0; snap again; quick down wg0`,
    sample: true,
    exempt: [{ sections: /up wg0: (stderr|output)/, why: 'the newest wg-quick makes the interface before PreUp' }],
  },
  {
    name: 'saved on demand',
    script: `${conf('wg0', iface('Address = 10.1.0.1/24', 'SaveConfig = false', 'PostUp = echo hello'), peer('10.5.0.0/16'))}
      quick up wg0; wg set wg0 peer ${PEER} endpoint 192.0.2.9:9; ip -6 address flush dev wg0 scope link
      quick save wg0; snap saved; quick down wg0; snap down`,
  },
  {
    name: 'a file by its path, and by a symbolic link',
    script: `mkdir -p /run/files; ${conf('wg0', iface('SaveConfig = true'), peer('10.5.0.0/16'))}
      ln -s wg0.conf linked.conf; cp wg0.conf /run/files/far.conf
      for i in linked ./linked.conf /run/files/far.conf; do quick up $i; ip -6 address flush dev linked scope link; ip -6 address flush dev far scope link
      snap up; quick down $i; snap down; done; ls -l --time-style=+ /run/files; cat /run/files/far.conf`,
    sample: true,
  },
  {
    name: 'warnings about a file that others can read',
    script: `${conf('wg0', iface())}
      for modes in '644 755' '644 700' '640 755' '601 755' '644 711' '604 704'; do
        set -- $modes; chmod $1 wg0.conf; chmod $2 .; quick strip wg0; done`,
    sample: true,
  },
  {
    name: 'strip',
    script: `printf '  # top \\n\\n[interface]\\n  privatekey   =  x   # c\\n\\tADDRESS=10.0.0.1/24 ,  10.0.0.2/32\\n\\nMTU=1400 # m\\n#DNS = 1.1.1.1\\nDNS = 1.1.1.1\\nAddress =\\nFoo = bar\\n\\n[Peer] # p\\nAddress = 1.2.3.4\\nAllowedIPs = 10.9.0.0/24 # x\\n\\n[Interface]  \\nListenPort = 5 1 2\\nTable = 12\\nSaveConfig = true\\nPostUp = echo "a # b" #c\\n;x\\n[Other]\\nDNS = 3\\n [Interface]\\nDNS=4\\n\\n[Interface] x\\nDNS = 6\\nMTU = 5\\n\\n\\n' > wg0.conf
      chmod 600 wg0.conf; quick strip wg0
      printf '[Interface]\\nM T U = 1400\\nPreUp = x \\\\\\nfoo\\n Pre Up = 5\\nPreUp2 = 5\\nPostUp== x\\n=5\\n#\\n' > wg0.conf; quick strip wg0
      printf '[Interface]' > wg0.conf; quick strip wg0; : > wg0.conf; quick strip wg0
      printf 'MTU = 500\\n[Interface]\\nMTU = 700\\n[]\\nMTU = 600\\n[ Interface ]\\nMTU = 800\\n[Peer]\\nMTU = 900\\n [ x\\nMTU = 1000\\n[INTERFACE]\\nmTu=400\\nPostUp = x' > wg0.conf; quick strip wg0`,
    sample: true,
  },
  {
    name: 'what is not there',
    script: `quick up wg0; quick down wg0; quick save wg0; quick strip wg0; quick up ./wg0.conf; quick up /nowhere/wg0.conf; quick up ''
      quick up 'a b'; quick up ../wg0; quick up abcdefghijklmnop
      ${conf('wg0', iface())} cp wg0.conf 'wg 0.conf'; quick up './wg 0.conf'; cp wg0.conf abcdefghijklmnop.conf; quick up ./abcdefghijklmnop.conf
      quick up wg0.conf; cp wg0.conf plain; quick up ./plain; quick down wg0; quick save wg0; quick up wg0; quick up wg0; snap up; quick down wg0`,
    sample: true,
  },
  {
    name: 'exit codes of hooks',
    script: `for hook in 'PostUp = (exit 7)' 'PostUp = exit 8' 'PostUp = false; echo no' 'PostUp = false | true' 'PostUp = if then' 'PostUp = exit 0'; do
        printf '%s\\n%s\\n' '[Interface]' "$hook" | conf wg0; quick up wg0; snap "after $hook"; ip link show dev wg0 >/dev/null 2>&1 && quick down wg0; done; true`,
    sample: true,
    exempt: [{ sections: /: stderr/, why: 'ours says last what failed, and makes the interface before PreUp' }],
  },
  {
    name: 'exit codes of hooks at the end',
    script: `for hook in 'PreDown = exit 9' 'PreDown = false; echo no' 'PostDown = exit 10' 'PostDown = exit 11\\nPostDown = echo no'; do
        printf "%s\\n$hook\\n" '[Interface]' | conf wg0; quick up wg0; quick down wg0; snap "after $hook"
        ip link show dev wg0 >/dev/null 2>&1 && { printf '[Interface]\\n' | conf wg0; quick down wg0; }; done; true`,
    exempt: [{ sections: /: stderr/, why: 'ours says last what failed' }],
  },
  upDown('mistakes: an address', [iface('Address = 10.0.0.1/24', 'Address = nonsense'), peer('10.9.0.0/24')], {
    exempt: [OWN_WORDS],
    sample: true,
  }),
  upDown('mistakes: a prefix length', [iface('Address = 10.0.0.1/33'), peer('10.9.0.0/24')], { exempt: [OWN_WORDS] }),
  upDown('mistakes: a key', ['[Interface]', 'PrivateKey = foo', peer('10.9.0.0/24')], { exempt: [OWN_WORDS] }),
  upDown('mistakes: an unknown key', [iface('Foo = bar'), peer('10.9.0.0/24')], { exempt: [OWN_WORDS] }),
  upDown('mistakes: SaveConfig', [iface('SaveConfig = yes'), peer('10.9.0.0/24')], { exempt: [OWN_WORDS] }),
  upDown('mistakes: a table', [iface('Address = 10.1.0.1/24', 'Table = nonsense'), peer('10.9.0.0/24')], {
    exempt: [OWN_WORDS],
  }),
  upDown(
    'failures: a route that exists',
    [iface('Address = 10.1.0.1/24', 'DNS = 10.0.0.1'), peer('10.9.0.0/24, fd09::/64')],
    {
      setup: 'ip -6 route add fd09::/64 via 2001:db8::1; ip route add 10.9.0.0/24 via 192.0.2.1',
      exempt: [
        OWN_WORDS,
        {
          sections: /: resolvconf/,
          why: 'the stock tool tells resolvconf last, ours in reverse order: the calls are the same',
        },
      ],
    },
  ),
  upDown('failures: resolvconf', [iface('Address = 10.1.0.1/24', 'DNS = 10.0.0.1'), peer('10.9.0.0/24')], {
    setup: 'echo 3 > /run/resolvconf.exit',
    exempt: [OWN_WORDS, { sections: /: resolvconf/, why: 'ours takes back what a failed resolvconf may have kept' }],
  }),
];
