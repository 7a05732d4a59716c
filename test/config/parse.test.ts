import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import {
  ConfigError,
  type ConfigErrorCode,
  MAX_CONFIG_BYTES,
  parseConfig,
  parseQuickConfig,
  stripQuickLines,
  type WireGuardConfig,
} from '../../src/config/index.js';
import { randomFrom } from '../uapi/helpers.js';

const PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const PEER = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const OTHER = 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=';
const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64');

/** The configuration in a form that is easily compared. */
function plain({ privateKey, listenPort, fwmark, peers }: WireGuardConfig): unknown {
  return {
    ...(privateKey && { privateKey: Buffer.from(privateKey).toString('base64') }),
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
    peers: peers.map((peer) => ({
      ...peer,
      publicKey: Buffer.from(peer.publicKey).toString('base64'),
      ...(peer.presharedKey && { presharedKey: Buffer.from(peer.presharedKey).toString('base64') }),
      allowedIps: (peer.allowedIps ?? []).map(
        (ip) => `${ip.remove ? '-' : ''}${Buffer.from(ip.address).toString('hex')}/${ip.cidr}`,
      ),
    })),
  };
}

function errorOf(body: () => unknown): ConfigError {
  try {
    body();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'no error' });
}

describe('parseConfig', () => {
  it('reads every field', () => {
    const config = parseConfig(`[Interface]
PrivateKey = ${PRIVATE}
ListenPort = 51820
FwMark = 0xca6c

[Peer] # the office
PublicKey = ${PEER}
PresharedKey = ${OTHER}
Endpoint = vpn.example:51820
AllowedIPs = 10.0.0.1/8, 2001:db8::1
AllowedIPs = 192.0.2.0/24
PersistentKeepalive = 25
[Peer]
PublicKey = ${OTHER}
Endpoint = [2001:db8::5]:7
PersistentKeepalive = OFF
`);
    assert.deepEqual(plain(config), {
      privateKey: PRIVATE,
      listenPort: 51820,
      fwmark: 0xca6c,
      peers: [
        {
          line: 6,
          publicKey: PEER,
          presharedKey: OTHER,
          endpoint: { text: 'vpn.example:51820', host: 'vpn.example', port: '51820' },
          allowedIps: ['0a000000/8', '20010db8000000000000000000000001/128', 'c0000200/24'],
          incremental: false,
          persistentKeepaliveInterval: 25,
        },
        {
          line: 13,
          publicKey: OTHER,
          endpoint: { text: '[2001:db8::5]:7', host: '2001:db8::5', port: '7' },
          allowedIps: [],
          incremental: false,
          persistentKeepaliveInterval: 0,
        },
      ],
    });
  });

  const same: [name: string, text: string, listenPort: number | undefined][] = [
    ['nothing at all', '', undefined],
    ['comments and empty lines', '# a\n\n  # b\n[Interface] # c\n\t\n', undefined],
    ['white space anywhere', ' [Inter face ]\r\n\tListen\vPort\f= 5 1 8 ', 518],
    ['any case', '[INTERFACE]\nlISTENpORT=7', 7],
    ['the last of repeated keys', '[Interface]\nListenPort=5\nListenPort=6', 6],
    ['a repeated section', '[Interface]\nListenPort=5\n[Interface]\nFwMark=off', 5],
    ['a comment behind a value', '[Interface]\nListenPort=5#6', 5],
    ['a port with a sign and zeros', '[Interface]\nListenPort=+0051', 51],
    ['port 0', '[Interface]\nListenPort=0', 0],
    ['port 65535', '[Interface]\nListenPort=65535', 65535],
  ];
  for (const [name, text, listenPort] of same) {
    it(`takes ${name}`, () => assert.equal(parseConfig(Buffer.from(text)).listenPort, listenPort));
  }

  const fwmarks: [text: string, value: number][] = [
    ['0', 0],
    ['off', 0],
    ['oFf', 0],
    ['010', 10],
    ['0x10', 16],
    ['0xFFFFffff', 0xffffffff],
    ['4294967295', 0xffffffff],
  ];
  for (const [text, value] of fwmarks) {
    it(`reads FwMark ${text}`, () => assert.equal(parseConfig(`[Interface]\nFwMark=${text}`).fwmark, value));
  }

  it('notes an incremental list, in any of its lines', () => {
    const { peers } = parseConfig(
      `[Peer]\nPublicKey=${PEER}\nAllowedIPs=+10.0.0.0/8,-10.1.0.0/16,10.2.0.0/16\nAllowedIPs=::/0`,
    );
    assert.equal(peers[0]!.incremental, true);
    assert.deepEqual(
      peers[0]!.allowedIps!.map((ip) => ip.remove ?? false),
      [false, true, false, false],
    );
  });

  it('warns of host bits, with the entry and its line', () => {
    const warnings: string[] = [];
    parseConfig(`[Peer]\nPublicKey=${PEER}\nAllowedIPs=10.0.0.1/8,10.0.0.0/8 , fd00::1/64`, {
      warn: ({ line, problem, text }) => warnings.push(`${line} ${problem} ${Buffer.from(text)}`),
    });
    assert.deepEqual(warnings, [
      '3 AllowedIP has nonzero host part 10.0.0.1/8',
      '3 AllowedIP has nonzero host part fd00::1/64',
    ]);
  });

  it('asks for services and endpoints where they stand', () => {
    const asked: string[] = [];
    const options = {
      resolveService: (service: string) => {
        asked.push(service);
        return service === 'domain' ? 53 : 'no such service';
      },
      resolveEndpoint: ({ host, port }: { host: string; port: string }) => {
        asked.push(`${host} ${port}`);
        return host === 'a' ? { address: Uint8Array.of(192, 0, 2, 1), port: 5 } : 'no such host';
      },
    };
    const config = parseConfig(`[Interface]\nListenPort=domain\n[Peer]\nPublicKey=${PEER}\nEndpoint=a:b`, options);
    assert.equal(config.listenPort, 53);
    assert.equal(config.peers[0]!.endpoint!.resolved!.port, 5);
    assert.deepEqual(asked, ['domain', 'a b']);
    assert.equal(
      errorOf(() => parseConfig('[Interface]\nListenPort=x', options)).message,
      "line 2: no such service: `x'",
    );
    const error = errorOf(() => parseConfig(`[Peer]\nPublicKey=${PEER}\n\nEndpoint=b:5`, options));
    assert.deepEqual([error.code, error.message], ['ERR_CONFIG_ENDPOINT', "line 4: no such host: `b:5'"]);
  });

  const bad: [text: string, code: ConfigErrorCode, line: number | undefined, message: RegExp][] = [
    ['ListenPort=5', 'ERR_CONFIG_LINE', 1, /unrecognized: `ListenPort=5'/],
    ['[Foo]', 'ERR_CONFIG_LINE', 1, /`\[Foo\]'/],
    ['[Interface]x', 'ERR_CONFIG_LINE', 1, /x'/],
    ['[Interface', 'ERR_CONFIG_LINE', 1, /Interface'/],
    ['\ufeff[Interface]', 'ERR_CONFIG_LINE', 1, /unrecognized/],
    ['\n\n[Interface]\nFoo = 1', 'ERR_CONFIG_LINE', 4, /`Foo=1'/],
    ['[Interface]\nListenPort = # nothing', 'ERR_CONFIG_LINE', 2, /`ListenPort='/],
    ['[Interface]\nListenPort', 'ERR_CONFIG_LINE', 2, /`ListenPort'/],
    ['[Interface]\n=5', 'ERR_CONFIG_LINE', 2, /`=5'/],
    ['[Interface]\nAddress = 10.0.0.1', 'ERR_CONFIG_LINE', 2, /Address/],
    [`[Interface]\nPublicKey=${PEER}`, 'ERR_CONFIG_LINE', 2, /xTIB/],
    [`[Peer]\nPublicKey=${PEER}\nListenPort=5`, 'ERR_CONFIG_LINE', 3, /ListenPort=5/],
    ['[Interface]\nListenPort=65536', 'ERR_CONFIG_PORT', 2, /Port is not 0-65535: `65536'/],
    ['[Interface]\nListenPort=99999999999999999999999', 'ERR_CONFIG_PORT', 2, /not 0-65535/],
    ['[Interface]\nListenPort=-1', 'ERR_CONFIG_PORT', 2, /neither/],
    ['[Interface]\nListenPort=http', 'ERR_CONFIG_PORT', 2, /neither/],
    ['[Interface]\nFwMark=0x', 'ERR_CONFIG_FWMARK', 2, /`0x'/],
    ['[Interface]\nFwMark=4294967296', 'ERR_CONFIG_FWMARK', 2, /0xffffffff/],
    ['[Interface]\nFwMark=-1', 'ERR_CONFIG_FWMARK', 2, /`-1'/],
    ['[Interface]\nFwMark=0X10', 'ERR_CONFIG_FWMARK', 2, /0X10/],
    ['[Peer]\nPersistentKeepalive=65536', 'ERR_CONFIG_KEEPALIVE', 2, /1-65535: `65536'/],
    ['[Peer]\nPublicKey=abc', 'ERR_CONFIG_KEY', 2, /length or format: `abc'/],
    [`[Peer]\nPublicKey=${PEER.slice(0, -2)}h=`, 'ERR_CONFIG_KEY', 2, /format/],
    ['[Peer]\nEndpoint=1.2.3.4', 'ERR_CONFIG_ENDPOINT', 2, /Unable to find port/],
    ['[Peer]\nEndpoint=[::1', 'ERR_CONFIG_ENDPOINT', 2, /matching brace/],
    ['[Peer]\nEndpoint=[::1]5', 'ERR_CONFIG_ENDPOINT', 2, /find port/],
    ['[Peer]\nEndpoint=a:70000', 'ERR_CONFIG_ENDPOINT', 2, /not 0-65535: `a:70000'/],
    ['[Peer]\nAllowedIPs=1.2.3', 'ERR_CONFIG_ALLOWED_IP', 2, /`1\.2\.3'/],
    ['[Peer]\nAllowedIPs=1.2.3.4/33', 'ERR_CONFIG_ALLOWED_IP', 2, /`1\.2\.3\.4\/33'/],
    ['[Peer]\nAllowedIPs=1.2.3.4,', 'ERR_CONFIG_ALLOWED_IP', 2, /`'/],
    ['[Peer]\nAllowedIPs=::1/-1', 'ERR_CONFIG_ALLOWED_IP', 2, /correct format/],
    ['[Peer]\n\n[Peer]', 'ERR_CONFIG_NO_PUBLIC_KEY', 1, /missing a public key/],
    [`[Peer]\nPublicKey=${PEER}\n[Peer]\nAllowedIPs=::/0`, 'ERR_CONFIG_NO_PUBLIC_KEY', 3, /missing/],
    ['[Interface]\nListenPort=5\0', 'ERR_CONFIG_NUL', 2, /NUL/],
  ];
  for (const [text, code, line, message] of bad) {
    it(`refuses ${JSON.stringify(text)}, naming the line`, () => {
      const error = errorOf(() => parseConfig(Buffer.from(text)));
      assert.deepEqual([error.code, error.line], [code, line]);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(`line ${line}: `));
    });
  }

  it('refuses a file over its cap without reading it', () => {
    assert.equal(errorOf(() => parseConfig(new Uint8Array(MAX_CONFIG_BYTES + 1))).code, 'ERR_CONFIG_TOO_LARGE');
  });

  it('reads secret keys as bytes that do not show themselves', () => {
    const file = parseConfig(
      `[Interface]\nPrivateKey = ${PRIVATE}\n[Peer]\nPublicKey = ${PRIVATE}\nPresharedKey = ${PRIVATE}\n`,
    );
    const psk = file.peers[0]?.presharedKey;
    for (const key of [file.privateKey, psk]) {
      assert.deepEqual(
        [`${key}`, inspect({ key }), JSON.stringify({ key })],
        ['[SecretKey]', '{ key: [SecretKey] }', '{"key":"[SecretKey]"}'],
      );
      assert.equal(Buffer.from(key as Uint8Array).toString('base64'), PRIVATE);
    }
    file.wipe();
    assert.ok(psk?.every((byte) => byte === 0));
  });

  it('says what it takes when it is given something else', () => {
    for (const nothing of [undefined, null, 7, {}] as never[]) {
      assert.throws(() => parseConfig(nothing), /^TypeError: a configuration is a Uint8Array or a string, not /);
    }
  });

  const secret = PRIVATE.slice(0, 43);
  const leaks: string[] = [
    `[Interface]\nPrivateKey=${secret}`,
    `[Interface]\nPrivateKey ${PRIVATE}`,
    `[Interface]\nPrivateKey : ${PRIVATE}`,
    `[Interface]\nPrivatKey = ${PRIVATE}`,
    `[Interface]\nPresharedKey=${PRIVATE}`,
    `[Interface]\n${PRIVATE}`,
    `PrivateKey = ${PRIVATE}`,
    `[Peer]\nPrivateKey = ${PRIVATE}`,
    `[Peer]\nPresharedKey = ${secret}`,
    `[${PRIVATE}]`,
  ];
  for (const text of leaks) {
    it(`shows no key of ${JSON.stringify(text.replaceAll(secret, '...'))}`, () => {
      const error = errorOf(() => parseConfig(text));
      assert.match(error.message, /\(hidden\)/);
      const seen = `${error.message} ${error.stack} ${Buffer.from(error.text!)}`;
      assert.ok(!seen.includes(PRIVATE.slice(0, 20)), seen);
    });
  }

  it('keeps no key behind once it is wiped', () => {
    const config = parseConfig(`[Interface]\nPrivateKey=${PRIVATE}\n[Peer]\nPublicKey=${PEER}\nPresharedKey=${OTHER}`);
    assert.deepEqual(Buffer.from(config.privateKey!), bytesOf(PRIVATE));
    config.wipe();
    assert.ok(config.privateKey!.every((byte) => byte === 0));
    assert.ok(config.peers[0]!.presharedKey!.every((byte) => byte === 0));
  });
});

const QUICK = `[interface] # mine
Address = 10.0.0.1/24 , fd00::1/64 # both
address=192.0.2.1
DNS = 192.0.2.53, corp.example,2001:db8::53
MTU = 1380
Table = off
PreUp = echo "a # b = c" > %i
PostUp=x
PostUp =  y  z \t
PreDown = p
PostDown = q
SaveConfig = TRUE
  PrivateKey = ${PRIVATE} # x
[Peer]
PublicKey = ${PEER}
`;

describe('parseConfig and parseQuickConfig', () => {
  it('take any bytes for a configuration or for an error with a line', () => {
    const random = randomFrom(9);
    const seeds = [QUICK, `[Peer]\nPublicKey=${PEER}\nEndpoint=[::1]:5\nAllowedIPs=10.0.0.0/8,::/0\n`].map((it) =>
      Buffer.from(it),
    );
    const alphabet = Buffer.from('[]=,#:/%+-.0159abfx \t\r\n\0\xff');
    let right = 0;
    for (let round = 0; round < 20_000; round++) {
      const file = [...seeds[random(seeds.length)]!];
      for (let i = random(4); i > 0; i--) {
        file.splice(
          random(file.length + 1),
          random(3),
          ...(random(3) === 0 ? [] : [alphabet[random(alphabet.length)]!]),
        );
      }
      for (const parse of [parseConfig, parseQuickConfig]) {
        try {
          parse(Uint8Array.from(file)).wipe();
          right++;
        } catch (error) {
          assert.ok(error instanceof ConfigError, `${error} ${Buffer.from(file)}`);
          assert.ok(error.line! >= 1 && error.line! <= 20, error.message);
          assert.ok(!error.message.includes(PRIVATE.slice(0, 43)), error.message);
        }
      }
    }
    assert.ok(right > 5_000 && right < 35_000, `${right} of 40,000 were right`);
  });
});

describe('parseQuickConfig', () => {
  it('reads what wg-quick adds, and the rest', () => {
    const { quick, ...config } = parseQuickConfig(QUICK);
    assert.deepEqual(quick, {
      addresses: [
        { text: '10.0.0.1/24', line: 2 },
        { text: 'fd00::1/64', line: 2 },
        { text: '192.0.2.1', line: 3 },
      ],
      dns: {
        servers: [
          { text: '192.0.2.53', line: 4 },
          { text: '2001:db8::53', line: 4 },
        ],
        searchDomains: [{ text: 'corp.example', line: 4 }],
      },
      mtu: 1380,
      table: 'off',
      preUp: [{ text: 'echo "a # b = c" > %i', line: 7 }],
      postUp: [
        { text: 'x', line: 8 },
        { text: 'y  z', line: 9 },
      ],
      preDown: [{ text: 'p', line: 10 }],
      postDown: [{ text: 'q', line: 11 }],
      saveConfig: true,
    });
    assert.deepEqual(Buffer.from(config.privateKey!), bytesOf(PRIVATE));
    assert.equal(config.peers.length, 1);
  });

  it('takes empty values as wg-quick does', () => {
    const { quick } = parseQuickConfig('[Interface]\nAddress=\nDNS=,\nMTU=\nTable = # none\n');
    assert.deepEqual([quick.addresses, quick.dns.servers, quick.mtu, quick.table], [[], [], undefined, undefined]);
  });

  const bad: [text: string, code: ConfigErrorCode, line: number][] = [
    ['[Interface]\n\nMTU = big', 'ERR_CONFIG_VALUE', 3],
    ['[Interface]\nMTU = 67', 'ERR_CONFIG_VALUE', 2],
    ['[Interface]\nSaveConfig = maybe', 'ERR_CONFIG_VALUE', 2],
    ['[Interface]\nAddress = wg0', 'ERR_CONFIG_VALUE', 2],
    ['[Interface]\nAddress', 'ERR_CONFIG_LINE', 2],
    ['[Interface]\nPostUp # = x', 'ERR_CONFIG_LINE', 2],
    ['Address = 10.0.0.1', 'ERR_CONFIG_LINE', 1],
    [`[Interface]\n[Peer]\nAddress = 10.0.0.1`, 'ERR_CONFIG_LINE', 3],
  ];
  for (const [text, code, line] of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      const error = errorOf(() => parseQuickConfig(text));
      assert.deepEqual([error.code, error.line], [code, line]);
    });
  }
});

describe('stripQuickLines', () => {
  it('leaves the lines of wg, unread', () => {
    assert.equal(
      Buffer.from(stripQuickLines(Buffer.from(`${QUICK}Address=1\nFoo`))).toString(),
      `[interface] # mine\nPrivateKey = ${PRIVATE} # x\n[Peer]\nPublicKey = ${PEER}\nAddress=1\nFoo\n`,
    );
  });
});
