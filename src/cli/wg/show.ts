/** `wg show`: for people, for scripts, and as JSON. */
import { displayEndpoint } from '../../config/print.js';
import { ByteText, isSet } from '../../config/text.js';
import { publicKeyOf } from '../../crypto/public-key.js';
import { displayAddress } from '../../uapi/address.js';
import { getDevice, listDevices, UapiClientError, type UapiDevice, type UapiPeer } from '../../uapi/client.js';
import { usageOf } from './commands.js';
import { deviceFailure, errnoText, kernelDevice, kernelDevices } from './errors.js';
import { FIELDS } from './fields.js';
import type { Io } from './io.js';
import { ago, amount, duration, type Paint, paint } from './wording.js';

export async function show(args: readonly string[], io: Io): Promise<number> {
  const json = args.includes('--json');
  const [name = 'all', field, ...more] = args.filter((word) => word !== '--json');
  if (args.length === 1 && (name === '--help' || name === '-h' || name === 'help')) {
    io.err(usageOf('show'));
    return 0;
  }
  if (more.length > 0 || (json && field !== undefined) || (name === 'interfaces' && field !== undefined)) {
    io.err(usageOf('show'));
    return 1;
  }
  if (name !== 'all' && name !== 'interfaces') {
    return showOne(io, name, field, json);
  }
  let names: string[];
  try {
    names = await listDevices();
  } catch (error) {
    if (!(error instanceof UapiClientError)) throw error;
    io.err(`Unable to list interfaces: ${await errnoText(error.errno)}\n`);
    return 1;
  }
  for (const kernel of kernelDevices()) io.err(`${kernelDevice(kernel)}\n`);
  if (name === 'interfaces') {
    if (json) io.out(`${JSON.stringify({ version: 1, interfaces: names })}\n`);
    else if (names.length > 0) io.out(`${names.join(' ')}\n`);
    return 0;
  }
  return showAll(io, names, field, json);
}

async function showOne(io: Io, name: string, field: string | undefined, json: boolean): Promise<number> {
  let device: UapiDevice;
  try {
    device = await getDevice(name);
  } catch (error) {
    return deviceFailure(io, 'Unable to access interface', name, error);
  }
  if (json) return showJson(io, [[name, device]]);
  const shown = print(io, device, (text) => writeDevice(text, io, name, device, field, ''));
  return shown ? 0 : unknownField(io, field!);
}

/** Goes on where one device cannot be read, and fails when none can. */
async function showAll(io: Io, names: readonly string[], field: string | undefined, json: boolean): Promise<number> {
  const kept: [string, UapiDevice][] = [];
  let read = 0;
  for (const [i, name] of names.entries()) {
    let device: UapiDevice;
    try {
      device = await getDevice(name);
    } catch (error) {
      await deviceFailure(io, `Unable to access interface ${name}`, name, error);
      continue;
    }
    // Behind each but the last, as the stock tool does it: also where that one cannot be read.
    const gap = field === undefined && i + 1 < names.length ? '\n' : '';
    read++;
    if (json) kept.push([name, device]);
    else if (!print(io, device, (text) => writeDevice(text, io, name, device, field, `${name}\t`), gap)) {
      return unknownField(io, field!);
    }
  }
  if (json) await showJson(io, kept);
  return names.length > 0 && read === 0 ? 1 : 0;
}

function unknownField(io: Io, field: string): number {
  io.err(`Invalid parameter: \`${field}'\n${usageOf('show')}`);
  return 1;
}

/** Prints what `write` writes, and `gap`, and zeroes the text and the device. */
function print(io: Io, device: UapiDevice, write: (text: ByteText) => boolean, gap = ''): boolean {
  const text = new ByteText();
  try {
    const done = write(text);
    if (done) io.out(text.add(gap).bytes());
    return done;
  } finally {
    text.wipe();
    device.wipe();
  }
}

async function showJson(io: Io, devices: readonly (readonly [string, UapiDevice])[]): Promise<number> {
  const { writeJson } = await import('./json.js');
  const text = new ByteText();
  try {
    writeJson(text, devices, showsKeys(io));
    io.out(text.bytes());
    return 0;
  } finally {
    text.wipe();
    for (const [, device] of devices) device.wipe();
  }
}

/** @returns whether there is such a field */
function writeDevice(
  text: ByteText,
  io: Io,
  name: string,
  device: UapiDevice,
  field: string | undefined,
  prefix: string,
): boolean {
  if (field === undefined) {
    writePretty(text, io, name, device);
    return true;
  }
  if (!Object.hasOwn(FIELDS, field)) return false;
  FIELDS[field as keyof typeof FIELDS](text, device, prefix);
  return true;
}

const showsKeys = (io: Io): boolean => io.env['WG_HIDE_KEYS'] === 'never';

function inColour(io: Io): boolean {
  const mode = io.env['WG_COLOR_MODE'];
  return mode === 'always' || (mode !== 'never' && io.isTerminal);
}

function writePretty(text: ByteText, io: Io, name: string, device: UapiDevice): void {
  const paints = paint(inColour(io));
  const line = (what: string): ByteText => text.add(`  ${paints.name(what)}: `);
  const secret = (what: string, key: Uint8Array): void => {
    line(what);
    if (showsKeys(io)) text.addKey(key);
    else text.add('(hidden)');
    text.add('\n');
  };
  text.add(`${paints.start}${paints.interface(name)}\n`);
  if (device.privateKey !== undefined) {
    line('public key').addKey(publicKeyOf(device.privateKey)).add('\n');
    secret('private key', device.privateKey);
  }
  if (device.listenPort !== 0) line('listening port').add(`${device.listenPort}\n`);
  if (device.fwmark !== 0) line('fwmark').add(`0x${device.fwmark.toString(16)}\n`);
  const now = BigInt(io.now());
  for (const peer of [...device.peers].sort(newestFirst)) {
    text.add(`\n${paints.peer(Buffer.from(peer.publicKey).toString('base64'))}\n`);
    if (isSet(peer.presharedKey)) secret('preshared key', peer.presharedKey);
    for (const [what, value] of peerLines(peer, now, paints)) line(what).add(`${value}\n`);
  }
}

/** Stable: those that are alike stay in the device's order. */
function newestFirst({ lastHandshake: a }: UapiPeer, { lastHandshake: b }: UapiPeer): number {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? 1 : -1;
  return b.nanoseconds - a.nanoseconds;
}

function* peerLines(peer: UapiPeer, now: bigint, paints: Paint): Iterable<readonly [string, string]> {
  if (peer.endpoint !== undefined) yield ['endpoint', displayEndpoint(peer.endpoint)];
  const ips = peer.allowedIps.map(({ address, cidr }) => `${displayAddress(address)}${paints.unit('/')}${cidr}`);
  yield ['allowed ips', ips.join(', ') || '(none)'];
  const { seconds } = peer.lastHandshake;
  if (seconds !== 0n) yield ['latest handshake', ago(seconds, now, paints)];
  if (peer.rxBytes !== 0n || peer.txBytes !== 0n) {
    yield ['transfer', `${amount(peer.rxBytes, paints)} received, ${amount(peer.txBytes, paints)} sent`];
  }
  const keepalive = peer.persistentKeepaliveInterval;
  if (keepalive !== 0) yield ['persistent keepalive', `every ${duration(BigInt(keepalive), paints)}`];
}
