/** The core's events as log lines a person can act on. */
import type { AllowedIp } from '../core/change.js';
import type { DeviceEvent } from '../core/device.js';

export function describeEvent(event: DeviceEvent): string {
  switch (event.type) {
    case 'handshake-complete':
      return `${peerName(event.peer)} - Handshake complete, session is up`;
    case 'handshake-gave-up':
      return `${peerName(event.peer)} - Handshake did not complete after 90 seconds, giving up (${event.flushed} packets flushed)`;
    case 'endpoint-changed':
      return `${peerName(event.peer)} - Endpoint changed`;
    case 'prefix-moved':
      return `Allowed IP ${prefixText(event.prefix)} moved from ${peerName(event.from)} to ${peerName(event.to)}`;
  }
}

/** A public key as logs name it: the ends of its base64. */
function peerName(publicKey: Uint8Array): string {
  const text = Buffer.from(publicKey).toString('base64');
  return `peer(${text.slice(0, 4)}…${text.slice(39, 43)})`;
}

function prefixText({ address, cidr }: AllowedIp): string {
  if (address.length === 4) return `${address.join('.')}/${cidr}`;
  const words: string[] = [];
  for (let i = 0; i < 16; i += 2) words.push(((address[i]! << 8) | address[i + 1]!).toString(16));
  const text = words.join(':').replace(/\b(?:0:){1,6}0\b|(?:^|:)0(?::0)+(?::|$)/, '::');
  return `${text.replace(/:{3,}/, '::')}/${cidr}`;
}
