/** What the system says to names and to errors: getaddrinfo(3), gai_strerror(3), strerror(3). */
import { addressOf, allocate, cString, errno, loadLibrary } from './ffi.js';
import { AF_INET, AF_INET6, SOCK_DGRAM } from './libc.js';

const libc = loadLibrary(null);
const getaddrinfo = libc.func('getaddrinfo', 'int', ['pointer', 'pointer', 'pointer', 'pointer']);
const freeaddrinfo = libc.func('freeaddrinfo', 'void', ['pointer']);
const gaiStrerror = libc.func('gai_strerror', 'pointer', ['int']);
const strerror = libc.func('strerror', 'pointer', ['int']);
const strlen = libc.func('strlen', 'size', ['pointer']);
const memcpy = libc.func('memcpy', 'pointer', ['pointer', 'pointer', 'size']);

const IPPROTO_UDP = 17;
const AI_PASSIVE = 1;
const EAI_FAIL = -4;
const EAI_NODATA = -5;
const EAI_NONAME = -2;
const EAI_SERVICE = -8;
const EAI_SYSTEM = -11;
/** Trying again would change nothing. */
const PERMANENT: readonly number[] = [EAI_FAIL, EAI_NODATA, EAI_NONAME, EAI_SERVICE];
/** struct addrinfo on 64-bit systems: where its fields are. */
const ADDRINFO = { bytes: 48, family: 4, socktype: 8, protocol: 12, address: 24, next: 40 } as const;
const MAX_ADDRINFOS = 1024;
const MAX_TEXT_BYTES = 256;

export interface SocketAddress {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** Interface index of a link-local address, else 0. */
  readonly scopeId: number;
}

export interface LookUpFailure {
  /** The system's words. */
  readonly text: string;
  /** Another try will not do better: there is no such name, or no such service. */
  readonly permanent: boolean;
}

/**
 * Looks a host and a service up for UDP. Blocks.
 * @param host a name or an address, or undefined for the service alone
 * @param service a number or a name
 * @returns the first address that is IPv4 or IPv6
 */
export function lookUp(host: string | undefined, service: string): SocketAddress | LookUpFailure {
  const [hostText, serviceText] = [host === undefined ? undefined : cString(host), cString(service)];
  const hints = allocate(ADDRINFO.bytes);
  const view = new DataView(hints.buffer, hints.byteOffset);
  view.setInt32(0, host === undefined ? AI_PASSIVE : 0, true);
  view.setInt32(ADDRINFO.socktype, SOCK_DGRAM, true);
  view.setInt32(ADDRINFO.protocol, IPPROTO_UDP, true);
  const result = allocate(8);
  const hostAt = hostText === undefined ? 0 : addressOf(hostText);
  const code = getaddrinfo(hostAt, addressOf(serviceText), addressOf(hints), addressOf(result));
  if (code !== 0) {
    const text = code === EAI_SYSTEM ? describeErrno(errno()) : textAt(gaiStrerror(code));
    return { text, permanent: PERMANENT.includes(code) };
  }
  const first = pointerAt(result, 0);
  try {
    return firstAddress(first) ?? { text: 'Neither IPv4 nor IPv6 address found', permanent: true };
  } finally {
    freeaddrinfo(first);
  }
}

/** @param code an error number of Linux. @returns its text as strerror(3) has it */
export function describeErrno(code: number): string {
  return textAt(strerror(code));
}

function firstAddress(list: number): SocketAddress | undefined {
  const info = allocate(ADDRINFO.bytes);
  const view = new DataView(info.buffer, info.byteOffset);
  let at = list;
  for (let i = 0; at !== 0 && i < MAX_ADDRINFOS; i++) {
    memcpy(addressOf(info), at, ADDRINFO.bytes);
    const family = view.getInt32(ADDRINFO.family, true);
    if (family === AF_INET || family === AF_INET6) return socketAddress(pointerAt(info, ADDRINFO.address), family);
    at = pointerAt(info, ADDRINFO.next);
  }
  return undefined;
}

/** struct sockaddr_in, 16 bytes, and sockaddr_in6, 28: ip(7), ipv6(7). */
function socketAddress(at: number, family: number): SocketAddress {
  const bytes = allocate(28);
  memcpy(addressOf(bytes), at, family === AF_INET ? 16 : 28);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const address = family === AF_INET ? bytes.slice(4, 8) : bytes.slice(8, 24);
  return { address, port: view.getUint16(2), scopeId: family === AF_INET ? 0 : view.getUint32(24, true) };
}

function pointerAt(bytes: Uint8Array, at: number): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true));
}

function textAt(pointer: number): string {
  const length = Math.min(strlen(pointer), MAX_TEXT_BYTES);
  const bytes = allocate(MAX_TEXT_BYTES);
  memcpy(addressOf(bytes), pointer, length);
  return new TextDecoder().decode(bytes.subarray(0, length));
}
