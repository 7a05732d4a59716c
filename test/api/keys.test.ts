import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, it } from 'node:test';
import { format, inspect } from 'node:util';
import { SecretKey, TypetunError } from '../../src/api/core.js';

describe('SecretKey', () => {
  it('never shows itself', () => {
    const key = SecretKey.generatePrivateKey();
    const base64 = key.toBase64();
    const hex = Buffer.from(key.toBytes()).toString('hex');
    const shown = [
      `${key}`,
      String(key),
      JSON.stringify({ key }),
      inspect({ key }, { showHidden: true, depth: 9 }),
      format('%s %o %O %j %d', key, key, key, key, key),
      JSON.stringify(structuredClone({ ...key })),
      Object.entries(key).join(),
      new TypetunError('ERR_INVALID_KEY', `${key}`).message,
    ].join('\n');
    assert.ok(!shown.includes(base64) && !shown.includes(hex), shown);
    assert.ok(shown.includes('[SecretKey]'));
  });

  it('takes and gives bytes, base64 and hexadecimal text', () => {
    for (let i = 0; i < 200; i++) {
      const bytes = crypto.getRandomValues(new Uint8Array(32));
      const base64 = Buffer.from(bytes).toString('base64');
      const key = new SecretKey(bytes);
      assert.equal(key.toBase64(), base64);
      for (const form of [base64, Buffer.from(bytes).toString('hex'), Buffer.from(bytes), key]) {
        assert.deepEqual(new SecretKey(form).toBytes(), bytes);
        assert.ok(new SecretKey(form).equals(key));
      }
    }
  });

  it('refuses what is no key, and does not repeat it', () => {
    const key = SecretKey.generatePrivateKey();
    const compared = (error: unknown): boolean =>
      error instanceof TypetunError && error.code === 'ERR_INVALID_ARGUMENT' && !error.message.includes(key.toBase64());
    assert.throws(() => key.equals(key.toBase64() as never), compared);
    const almost = SecretKey.generatePrivateKey().toBase64().slice(0, 43);
    for (const wrong of [
      '',
      almost,
      `${almost}==`,
      `${almost.slice(0, 42)}B=`,
      'g'.repeat(64),
      7,
      null,
      [],
      new Uint8Array(33),
    ]) {
      assert.throws(
        () => new SecretKey(wrong as never),
        (error) =>
          error instanceof TypetunError &&
          error.code === 'ERR_INVALID_KEY' &&
          !error.message.includes(almost.slice(0, 8)),
      );
    }
  });

  it('makes clamped private keys, and the public keys that OpenSSL makes of them', () => {
    for (let i = 0; i < 20; i++) {
      const key = i === 0 ? new SecretKey(new Uint8Array(32).fill(0xff)) : SecretKey.generatePrivateKey();
      const bytes = key.toBytes();
      if (i > 0) assert.ok((bytes[0]! & 7) === 0 && (bytes[31]! & 0xc0) === 0x40);
      const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), bytes]);
      const publicKey = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
      const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
      assert.equal(key.publicKey(), raw.toString('base64'));
    }
  });

  it('is of no use when it was wiped', () => {
    let kept: SecretKey;
    const copy = new Uint8Array(32).fill(9);
    {
      using key = new SecretKey(copy);
      kept = key;
    }
    assert.equal(copy[0], 9);
    for (const call of [
      () => kept.toBytes(),
      () => kept.toBase64(),
      () => kept.publicKey(),
      () => new SecretKey(kept),
    ]) {
      assert.throws(call, { code: 'ERR_KEY_WIPED' });
    }
    assert.ok(!kept.equals(kept));
  });
});
