/** Which back end is taken, and what is said where it cannot be. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { backendWorks } from '../../src/crypto/check.js';
import { CryptoError, chooseBackend, createSuite, describeBackend } from '../../src/crypto/index.js';
import { findOpenSsl } from '../../src/crypto/openssl.js';
import { missing } from './helpers.js';

const node = findOpenSsl('node');
const system = findOpenSsl('system');

function refusal(run: () => unknown): CryptoError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CryptoError);
    return error;
  }
  return assert.fail('nothing was thrown');
}

test('chooseBackend refuses an unknown name, and lists the choices', () => {
  for (const name of ['aes', 'EVP', 'primitives ', 'none', 'null']) {
    const error = refusal(() => chooseBackend({ TYPETUN_AEAD: name }));
    assert.equal(error.code, 'ERR_AEAD_UNKNOWN');
    assert.match(error.message, /primitives, evp, noble/);
    assert.ok(error.message.includes(`TYPETUN_AEAD=${name}`));
  }
});

test('chooseBackend takes what it is told', () => {
  assert.equal(chooseBackend({ TYPETUN_AEAD: 'noble' }), 'noble');
  assert.equal(chooseBackend({ TYPETUN_AEAD: 'noble' }, null), 'noble');
  if (node ?? system) assert.equal(chooseBackend({ TYPETUN_AEAD: 'evp' }), 'evp');
});

test('chooseBackend takes the best that works where nothing is said', () => {
  const best = missing('primitives') === false ? 'primitives' : (node ?? system) ? 'evp' : 'noble';
  assert.equal(chooseBackend({}), best);
  assert.equal(chooseBackend({ TYPETUN_AEAD: '' }), best);
  assert.equal(chooseBackend({}, null), 'noble');
});

test('without OpenSSL, evp and primitives are an error and no silent fallback', () => {
  for (const name of ['evp', 'primitives'] as const) {
    const error = refusal(() => chooseBackend({ TYPETUN_AEAD: name }, null));
    assert.equal(error.code, 'ERR_AEAD_UNAVAILABLE');
    assert.match(error.message, /cannot work here.*libcrypto\.so\.3.*choose one of noble/);
    assert.throws(() => createSuite({ arena: new Uint8Array(64), backend: name, openssl: null }), CryptoError);
  }
});

test("primitives are an error with the system's libcrypto", { skip: !system && 'no libcrypto.so.3' }, () => {
  assert.equal(backendWorks('primitives', system!), false);
  assert.equal(backendWorks('evp', system!), true);
  const error = refusal(() => chooseBackend({ TYPETUN_AEAD: 'primitives' }, system!));
  assert.equal(error.code, 'ERR_AEAD_UNAVAILABLE');
  assert.match(error.message, /choose one of evp, noble/);
  assert.equal(chooseBackend({}, system!), 'evp');
});

test('describeBackend says where the cipher comes from', () => {
  assert.equal(describeBackend('noble'), 'noble (JavaScript)');
  if (node) assert.match(describeBackend('evp', node), /^evp \(OpenSSL 3\.\d+\.\d+ in node\)$/);
  if (system) assert.match(describeBackend('evp', system), /^evp \(OpenSSL 3\.\d+\.\d+ in libcrypto\.so\.3\)$/);
});

test('createSuite closes its back end and wipes the keys', () => {
  for (const backend of ['primitives', 'evp', 'noble'] as const) {
    if (backend === 'primitives' && missing('primitives')) continue;
    if (backend === 'evp' && !node && !system) continue;
    const crypto = createSuite({ arena: new Uint8Array(4096), backend });
    assert.equal(crypto.backend, backend);
    crypto.suite.installKey(new Uint8Array(32).fill(1));
    crypto.close();
  }
});

test('the noble entry loads neither koffi nor a node: module', () => {
  const entry = new URL('../../src/crypto/noble.js', import.meta.url).href;
  const script = `
    const { registerHooks } = await import('node:module').catch(() => ({}));
    const seen = [];
    registerHooks?.({ resolve(specifier, context, next) { seen.push(specifier); return next(specifier, context); } });
    const { createNobleSuite } = await import(${JSON.stringify(entry)});
    const { suite } = createNobleSuite(new Uint8Array(64));
    suite.random(new Uint8Array(8));
    const koffi = (process.report?.getReport().sharedObjects ?? []).filter((name) => name.includes('koffi'));
    console.log(JSON.stringify([...seen.filter((name) => /^node:|koffi/.test(name)), ...koffi]));
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), []);
});
