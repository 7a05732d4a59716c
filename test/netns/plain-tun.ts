/**
 * Runs typetun with a TUN device of the simplest kind, handed over as a descriptor: without virtio headers, so that a
 * super-packet can neither be read from it nor written to it.
 *
 *   node plain-tun.js PROGRAM -f NAME
 */
import { IFF_TUN_NO_PI, openTun } from '../linux/descriptors.js';

process.argv.splice(1, 1);
process.env['WG_TUN_FD'] = String(openTun(process.argv.at(-1) ?? '', IFF_TUN_NO_PI));
await import(process.argv[1] ?? '');
