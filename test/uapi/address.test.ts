import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { formatAddress, parseAddress } from '../../src/uapi/address.js';
import { bytes, randomFrom } from './helpers.js';

function parse(text: string): Uint8Array | undefined {
  const out = new Uint8Array(16).fill(0xaa);
  const length = parseAddress(bytes(text), 0, text.length, out);
  return length === 0 ? undefined : out.slice(0, length);
}

// What is read, and how it is written again (RFC 5952).
const GOOD: readonly [string, string?][] = [
  ['0.0.0.0'],
  ['255.255.255.255'],
  ['192.0.2.1'],
  ['::'],
  ['::1'],
  ['1::'],
  ['2001:db8::1'],
  ['2001:DB8::ABCD', '2001:db8::abcd'],
  ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['0:0:0:0:0:0:0:0', '::'],
  ['1:0:0:0:0:0:0:0', '1::'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['::ffff:192.0.2.1'],
  ['::192.0.2.1', '::c000:201'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
];
const BAD: readonly string[] = [
  '',
  '.',
  ':',
  '1',
  '1.2.3',
  '1.2.3.',
  '.1.2.3',
  '1..2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.04',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.-4',
  '0x1.2.3.4',
  '1.2.3.1000',
  ':::',
  '::1::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  '1:2:3:4::5:6:7:8',
  ':1:2:3:4:5:6:7:8',
  '1:2:3:4:5:6:7:8:',
  '1:',
  '::12345',
  '::g',
  '::1.2.3',
  '1:2:3:4:5:6:7:1.2.3.4',
  '::1.2.3.4:1',
  'fe80::1%lo',
];

test('parseAddress and formatAddress agree on a table of addresses', () => {
  for (const [text, canonical = text] of GOOD) {
    const address = parse(text);
    assert.ok(address, text);
    assert.equal(formatAddress(address), canonical);
    assert.deepEqual(parse(canonical), address);
  }
});

test('parseAddress refuses what is no address', () => {
  for (const text of BAD) assert.equal(parse(text), undefined, text);
});

test('parseAddress reads back every address that formatAddress writes', () => {
  const random = randomFrom(7);
  for (let round = 0; round < 20_000; round++) {
    const address = new Uint8Array(random(2) === 0 ? 4 : 16);
    for (let i = 0; i < address.length; i++) address[i] = random(3) === 0 ? random(256) : 0;
    const text = formatAddress(address);
    assert.deepEqual(parse(text), address, text);
    assert.equal(isIP(text), address.length === 4 ? 4 : 6);
  }
});

test('parseAddress accepts what the platform accepts, over mutated addresses', () => {
  const random = randomFrom(11);
  const alphabet = '0123456789abcdef:.:.::';
  for (let round = 0; round < 50_000; round++) {
    const [seed] = GOOD[random(GOOD.length)]!;
    const letters = [...seed];
    for (let i = random(3); i >= 0; i--) {
      letters.splice(random(letters.length + 1), random(2), alphabet[random(alphabet.length)]!);
    }
    const text = letters.join('');
    assert.equal(parse(text)?.length ?? 0, { 0: 0, 4: 4, 6: 16 }[isIP(text)], text);
  }
});
