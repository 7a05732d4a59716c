/** Command lines and configuration files, right and wrong, from a seed. */
import { randomFrom } from '../uapi/helpers.js';

export const KEYS: readonly string[] = [
  'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=',
  'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=',
  'gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=',
];
export const PRIVATE = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const SECRETS = [
  PRIVATE,
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
  '//////////////////////////////////////////8=',
];
const BAD_KEYS = [
  '',
  'abc',
  KEYS[0]!.slice(0, 43),
  `${KEYS[0]}=`,
  KEYS[0]!.replace('8Dg=', '8Dh='),
  KEYS[0]!.replace('x', '*'),
];
const PORTS = ['0', '1', '51820', '65535', '010', '+5', ' 7', 'domain', 'openvpn'];
const BAD_PORTS = ['', '-1', 'x', '0x50', '5 ', '5 5', 'http', '1.5', '５'];
const LARGE_PORTS = ['65536', '70000', '4294967297', '99999999999999999999'];
const MARKS = ['0', 'off', 'OFF', '1', '0x0', '0xca6c', '0xFFFFFFFF', '4294967295', '010', '0x00000000001'];
const BAD_MARKS = ['', 'on', '0x', '0X1', '4294967296', '0x100000000', '-1', '+1', '1x', '0xg', ' 1'];
const KEEPALIVES = ['0', 'off', 'Off', '1', '25', '65535', '007'];
const BAD_KEEPALIVES = ['', '65536', '-1', '+1', '1s', '0x5', 'never', '99999999999999999999'];
const HOSTS = [
  '192.0.2.1',
  '[2001:db8::1]',
  '::1',
  '[::ffff:192.0.2.9]',
  '127.1',
  '2130706433',
  '0x7f.1',
  '[192.0.2.7]',
  'localhost',
  'fe80::1%lo',
  '[fe80::2%lo]',
  '[::]',
  '0.0.0.0',
];
const BAD_ENDPOINTS = [
  '',
  ':',
  'a',
  'a:',
  ':5',
  '[::1',
  '[::1]',
  '[::1]5',
  '[]:5',
  '[[::1]]:5',
  '256.1.1.1:5',
  'a b:5',
  '-:5',
  '[::1]:5:6',
  '192.0.2.1:-5',
  '192.0.2.1:5 ',
  '[fe80::1%none]:5',
];
const PREFIXES = [
  '10.0.0.0/8',
  '192.0.2.1',
  '0.0.0.0/0',
  '::/0',
  '2001:db8::/32',
  'fd00::1',
  '10.1.2.3/16',
  'fd00::7/64',
  '::ffff:192.0.2.1',
  '::192.0.2.1/128',
  '::5',
  '192.0.2.0/024',
  '1::',
  '2001:DB8:0:0:1:0:0:1',
];
const BAD_PREFIXES = [
  '',
  '10',
  '10.0.0',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/x',
  '10.0.0.0/-1',
  '01.0.0.0',
  '::/129',
  ':::',
  '1:2:3',
  '10.0.0.0/8/8',
  '10.0.0.0:5',
  '::1%lo',
  '1.2.3.4.5',
  '12345::',
  '10.0.0.256',
];
const WORDS = [
  'peer',
  'remove',
  'listen-port',
  'bogus',
  'PEER',
  '',
  'private-key',
  'endpoint',
  'preshared-key',
  '--help',
];
const INTERFACE_KEYS = ['PrivateKey', 'ListenPort', 'FwMark'] as const;
const PEER_KEYS = ['PresharedKey', 'Endpoint', 'AllowedIPs', 'PersistentKeepalive'] as const;

/** Why a case cannot be compared with an older stock tool, or with one that takes what can only be a mistake. */
export type Exemption = 'port above 65535' | 'secret in an error';

export interface KeyFiles {
  /** Paths of files and what they hold, made by the test. */
  readonly good: readonly string[];
  readonly bad: readonly string[];
}

export class Generator {
  readonly #below: (below: number) => number;
  readonly #files: KeyFiles;
  /** Of the last case that was made. */
  readonly exemptions: Set<Exemption> = new Set();

  constructor(seed: number, files: KeyFiles) {
    this.#below = randomFrom(seed);
    // The first numbers of near seeds are alike.
    for (let i = 0; i < 20; i++) this.#below(2);
    this.#files = files;
  }

  /** Words behind `wg set INTERFACE`. */
  setWords(): string[] {
    this.exemptions.clear();
    const words: string[] = [];
    for (let i = this.#below(4); i > 0; i--) {
      const [word, value] = this.#pick([
        () => ['listen-port', this.#port()],
        () => ['fwmark', this.#value(MARKS, BAD_MARKS)],
        () => ['private-key', this.#value(this.#files.good, this.#files.bad)],
      ])() as [string, string];
      words.push(word, value);
    }
    for (let i = this.#below(4); i > 0; i--) {
      words.push('peer', this.#value(KEYS, BAD_KEYS));
      if (this.#one(5)) words.push('remove');
      for (let j = this.#below(4); j > 0; j--) words.push(...this.#peerWords());
    }
    if (this.#one(12)) words.splice(this.#below(words.length + 1), this.#below(2), this.#from(WORDS));
    if (words.length === 0 || this.#one(25)) words.push(this.#from(WORDS));
    return words;
  }

  /** A configuration file, as bytes in latin1. */
  file(): string {
    this.exemptions.clear();
    const lines: string[] = [];
    if (!this.#one(6)) lines.push(this.#heading('[Interface]'), ...this.#lines(INTERFACE_KEYS, 3));
    for (let i = this.#below(4); i > 0; i--) {
      lines.push(this.#heading('[Peer]'));
      if (!this.#one(25)) lines.push(this.#line('PublicKey', this.#value(KEYS, BAD_KEYS)));
      lines.push(...this.#lines(PEER_KEYS, 4));
    }
    if (this.#one(15)) lines.splice(this.#below(lines.length + 1), 0, this.#oddLine());
    if (this.#one(10)) lines.splice(this.#below(lines.length + 1), 0, this.#from(['', '# comment', '  \t', '#', '\r']));
    const end = this.#from(['\n', '\n', '\n', '\r\n']);
    return lines.join(end) + (this.#one(4) ? '' : end);
  }

  /** A configuration that is right, so that there is something to change. */
  base(): string {
    let text = this.#one(2)
      ? `[Interface]\nPrivateKey=${PRIVATE}\nListenPort=${this.#below(3)}\nFwMark=${this.#below(2)}\n`
      : '';
    for (const key of KEYS) {
      if (this.#one(2)) continue;
      text += `[Peer]\nPublicKey=${key}\nAllowedIPs=10.${this.#below(3)}.0.0/16,fd00::${this.#below(3)}/128\n`;
      if (this.#one(2)) text += 'Endpoint=192.0.2.1:5\n';
    }
    return text;
  }

  from<T>(values: readonly T[]): T {
    return this.#from(values);
  }

  #peerWords(): readonly string[] {
    return this.#pick([
      () => ['endpoint', this.#endpoint()],
      () => ['persistent-keepalive', this.#value(KEEPALIVES, BAD_KEEPALIVES)],
      () => ['allowed-ips', this.#one(8) ? '' : this.#prefixes()],
      () => ['preshared-key', this.#value(this.#files.good, this.#files.bad)],
    ])();
  }

  #lines(keys: readonly string[], most: number): string[] {
    return Array.from({ length: this.#below(most + 1) }, () => {
      const key = this.#from(keys);
      return this.#line(key, this.#fileValue(key));
    });
  }

  #fileValue(key: string): string {
    if (key === 'ListenPort') return this.#port();
    if (key === 'FwMark') return this.#value(MARKS, BAD_MARKS);
    if (key === 'Endpoint') return this.#endpoint();
    if (key === 'PersistentKeepalive') return this.#value(KEEPALIVES, BAD_KEEPALIVES);
    if (key === 'AllowedIPs') return this.#prefixes();
    const value = this.#value(SECRETS, BAD_KEYS);
    if (!SECRETS.includes(value)) this.exemptions.add('secret in an error');
    return value;
  }

  #heading(name: string): string {
    return this.#from([name, name, name, name.toLowerCase(), ` ${name} # x`, name.replace('e', ' e'), `${name}\t`]);
  }

  #line(key: string, value: string): string {
    const written = this.#from([key, key, key, key.toUpperCase(), key.toLowerCase(), key.split('').join(' ')]);
    const equals = this.#from([' = ', '=', '\t=\v', ' = ', '==', ' =']);
    const tail = this.#from(['', '', '', ' # comment', '#', '  ', '\f']);
    // Rarely, since such a line ends the case.
    const sign = equals === '==' && !this.#one(8) ? '=' : equals;
    if (sign === '==' && /key$/i.test(key) && key !== 'PublicKey') this.exemptions.add('secret in an error');
    return `${written}${sign}${value}${tail}`;
  }

  #oddLine(): string {
    return this.#from([
      'ListenPort',
      'Foo = bar',
      '[Foo]',
      '[Interface',
      'Interface]',
      '= 5',
      '\xef\xbb\xbf[Interface]',
      'Address = 10.0.0.1/24',
      'ListenPort\xa0= 5',
      '[Peer]x',
      ';comment',
      'AllowedIPs = ',
      'Endpoint = # nothing',
      'x'.repeat(300),
    ]);
  }

  #port(): string {
    if (this.#one(40)) {
      this.exemptions.add('port above 65535');
      return this.#from(LARGE_PORTS);
    }
    return this.#value(PORTS, BAD_PORTS);
  }

  #endpoint(): string {
    if (this.#one(7)) return this.#from(BAD_ENDPOINTS);
    return `${this.#from(HOSTS)}:${this.#port()}`;
  }

  #prefixes(): string {
    const list = Array.from({ length: 1 + this.#below(4) }, () => this.#value(PREFIXES, BAD_PREFIXES));
    return list.join(this.#from([',', ', ', ' ,']));
  }

  #value(good: readonly string[], bad: readonly string[]): string {
    return this.#one(12) ? this.#from(bad) : this.#from(good);
  }

  #pick<T>(choices: readonly T[]): T {
    return this.#from(choices);
  }

  #from<T>(values: readonly T[]): T {
    return values[this.#below(values.length)]!;
  }

  #one(of: number): boolean {
    return this.#below(of) === 0;
  }
}
