/** Every back end that works on this machine, under one shape, and what tests of the cipher share. */
import { createCipheriv } from 'node:crypto';
import { type BatchCipher, PacketBatch, TAILROOM } from '../../src/core/batch.js';
import type { Suite } from '../../src/core/suite.js';
import { type Crypto, createSuite } from '../../src/crypto/index.js';
import { createNobleSuite } from '../../src/crypto/noble.js';
import { findOpenSsl } from '../../src/crypto/openssl.js';
import { hasPrimitives } from '../../src/crypto/primitives.js';
import { allocate } from '../../src/linux/ffi.js';

export interface Party {
  readonly name: string;
  readonly arena: Uint8Array;
  readonly suite: Suite;
  readonly cipher: BatchCipher;
}

const node = findOpenSsl('node');
const system = findOpenSsl('system');

/** By name: each makes one over an arena; or, as text, why it cannot be had here. */
const MAKERS: Readonly<Record<string, ((arena: Uint8Array) => Pick<Crypto, 'suite' | 'cipher'>) | string>> = {
  noble: (arena) => createNobleSuite(arena),
  primitives:
    node && hasPrimitives(node.library)
      ? (arena) => createSuite({ arena, backend: 'primitives', openssl: node })
      : 'this Node.js does not export the primitives',
  'evp in node': node
    ? (arena) => createSuite({ arena, backend: 'evp', openssl: node })
    : 'this Node.js does not export OpenSSL',
  'evp in libcrypto.so.3': system
    ? (arena) => createSuite({ arena, backend: 'evp', openssl: system })
    : 'the system has no libcrypto.so.3',
};

export const PARTY_NAMES: readonly string[] = Object.keys(MAKERS);

/** @returns why there is no such back end here, or false: as node:test's `skip` takes it */
export function missing(name: string): string | false {
  const maker = MAKERS[name]!;
  return typeof maker === 'string' ? maker : false;
}

/** @param arenaSize of the rows; what must lie behind the last of them comes on top */
export function makeParty(name: string, arenaSize: number): Party {
  const maker = MAKERS[name]!;
  if (typeof maker === 'string') throw new Error(maker);
  const arena = allocate(arenaSize + TAILROOM);
  return { name, arena: arena.subarray(0, arenaSize), ...maker(arena) };
}

export function everyParty(arenaSize: number): Party[] {
  return PARTY_NAMES.filter((name) => missing(name) === false).map((name) => makeParty(name, arenaSize));
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Bytes that differ from place to place, the same in each run. */
export function pattern(length: number, seed = 1): Uint8Array {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  });
}

export interface Row {
  readonly offset: number;
  readonly length: number;
  readonly key: number;
  readonly counter?: bigint;
}

export function makeBatch(rows: readonly Row[]): PacketBatch {
  const batch = new PacketBatch(rows.length);
  for (const { offset, length, key, counter = 0n } of rows) {
    const row = batch.count++;
    batch.offset[row] = offset;
    batch.length[row] = length;
    batch.key[row] = key;
    batch.counterLo[row] = Number(counter & 0xffffffffn);
    batch.counterHi[row] = Number(counter >> 32n);
  }
  return batch;
}

/** What a transport packet must look like, by node:crypto: nonce of BigInt, no associated data. */
export function reference(key: Uint8Array, counter: bigint, text: Uint8Array): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64LE(counter, 4);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  return Uint8Array.from(Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]));
}
