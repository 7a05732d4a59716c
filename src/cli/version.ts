/** What `typetun --version` says. */
import { createCrypto } from '../crypto/index.js';
import { OFFLOAD_VARIABLE, parseOffloads, udpOffloads } from '../engine/offloads.js';
import { allocate } from '../linux/ffi.js';
import { packageVersion } from './package-version.js';

/**
 * @throws CryptoError when `TYPETUN_AEAD` names a back end that does not work here
 * @throws OffloadError when `TYPETUN_OFFLOAD` names what is no offload
 */
export function describeVersion(): string {
  const { backend } = createCrypto(allocate(4096), process.env['TYPETUN_AEAD']);
  const openssl = backend === 'noble' ? '' : ` (OpenSSL ${process.versions['openssl']})`;
  const wanted = parseOffloads(process.env[OFFLOAD_VARIABLE] ?? '');
  // What a TUN can do is known once there is one.
  const offloads = [...(['tun-read', 'tun-write'] as const).filter((name) => wanted.has(name)), ...udpOffloads(wanted)];
  return `typetun ${packageVersion()}\nAEAD: ${backend}${openssl}\nOffloads: ${offloads.join(' ') || 'none'}\nNode.js: ${process.version} ${process.arch}\n`;
}
