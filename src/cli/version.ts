/** What `typetun --version` says. */
import { readFileSync } from 'node:fs';
import { createCrypto } from '../crypto/index.js';
import { allocate } from '../linux/ffi.js';

/** @throws CryptoError when `TYPETUN_AEAD` names a back end that does not work here */
export function describeVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  const { backend } = createCrypto(allocate(4096), process.env['TYPETUN_AEAD']);
  const openssl = backend === 'noble' ? '' : ` (OpenSSL ${process.versions['openssl']})`;
  return `typetun ${version}\nAEAD: ${backend}${openssl}\nNode.js: ${process.version} ${process.arch}\n`;
}
