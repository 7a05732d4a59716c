/**
 * A device whose data worker crashes, in a process of its own: `crash-program.js KIND WAY`. Prints as JSON what a
 * program would see of it. The way `heap` needs a limit of it and crash-heap.js in NODE_OPTIONS.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  createHostDevice,
  createRootlessDevice,
  type RootlessDevice,
  SecretKey,
  type TypetunError,
} from '../../src/index.js';
import { descendants, enterNewNetwork } from './network.js';

const [kind, way] = process.argv.slice(2);
const name = `tlq${process.pid}`;
const said: string[] = [];

/** Descriptors by number. What closes by itself later, or is a thread's of libuv, is not a device's. */
function descriptors(): Map<string, string> {
  return new Map(
    readdirSync('/proc/self/fd').flatMap((fd): [string, string][] => {
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`);
        return /^socket:|tun$|eventfd/.test(path) ? [[fd, path]] : [];
      } catch {
        return [];
      }
    }),
  );
}

/** What was not open before. */
function opened(before: ReadonlyMap<string, string>): [fd: string, path: string][] {
  return [...descriptors()].filter(([fd, path]) => before.get(fd) !== path);
}

/** The device's UDP sockets, of both families, once its worker has opened them: it learns by itself that it is up. */
async function udpSockets(before: ReadonlyMap<string, string>): Promise<number[]> {
  for (;;) {
    const rows = ['udp', 'udp6'].flatMap((table) => readFileSync(`/proc/thread-self/net/${table}`, 'utf8').split('\n'));
    const sockets = new Set(rows.map((row) => `socket:[${row.trim().split(/\s+/)[9]}]`));
    const found = opened(before).filter(([, path]) => sockets.has(path));
    if (found.length === 2) return found.map(([fd]) => Number(fd));
    await sleep(5);
  }
}

// The library shows its worker to nobody.
let worker: Worker | undefined;
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (...words: Parameters<typeof post>): void {
  worker = this;
  post.apply(this, words);
};

/** A connection whose peer does not answer: settles when the packet is on its way, with the connection's promise. */
async function connecting(device: RootlessDevice): Promise<{ connected: Promise<unknown> }> {
  const publicKey = SecretKey.generatePrivateKey().publicKey();
  const peers = [{ publicKey, endpoint: '127.0.0.1:9', allowedIps: ['10.3.3.4'] }];
  await device.configure({ privateKey: SecretKey.generatePrivateKey(), peers });
  const connected = device.connect({ host: '10.3.3.4', port: 9 });
  connected.catch(() => {});
  while ((await device.status()).peers[0]?.txBytes === 0) await sleep(5);
  return { connected };
}

/** Something open through the device. It has to end with it. */
async function open(device: RootlessDevice): Promise<void> {
  const server = await device.listen({ host: '10.3.3.3', port: 80 });
  const udp = await device.bindUdp();
  const accepted = once(server, 'connection');
  const socket = await device.connect({ host: '10.3.3.3', port: 80 });
  const [other] = (await accepted) as [typeof socket];
  for (const [what, it] of Object.entries({ server, udp, socket, other }))
    it.on('close', () => said.push(`${what} closed`));
}

async function main(): Promise<void> {
  if (kind === 'host') enterNewNetwork();
  const before = descriptors();
  const device =
    kind === 'host' ? await createHostDevice({ name }) : await createRootlessDevice({ addresses: ['10.3.3.3/24'] });
  const held = opened(before);
  const calls: Promise<unknown>[] = [];
  if ('connect' in device) {
    await open(device);
    if (way !== 'heap') calls.push((await connecting(device)).connected);
  }
  device.on('error', (error) => {
    const { code, cause, message } = error as TypetunError;
    said.push(`error ${code}: ${message}`);
    if ((cause as NodeJS.ErrnoException).code) said.push(`cause ${(cause as NodeJS.ErrnoException).code}`);
  });
  const closed = new Promise<void>((resolve) => device.on('close', resolve));

  if (way === 'tun') closeSync(Number(held.find(([, path]) => path.endsWith('tun'))?.[0]));
  if (way === 'socket') for (const fd of await udpSockets(before)) closeSync(fd);
  if (way === 'helper') process.kill(descendants().at(-1) ?? 0, 'SIGKILL');
  calls.push(device.status(), device.configure({ listenPort: 0 }));
  if (way === 'terminate') void worker?.terminate();
  const settled = await Promise.allSettled(calls);
  await closed;
  said.push('close');
  await device.close();
  const late = await device.status().catch(({ code }: TypetunError) => code);
  const links = execFileSync('ip', ['-brief', 'link'], { encoding: 'utf8' });
  const sockets = readdirSync('/var/run/wireguard');
  process.stdout.write(
    JSON.stringify({
      said,
      pending: settled.map((it) => (it.status === 'rejected' ? (it.reason as TypetunError).code : it.status)),
      late,
      left: [
        ...opened(before).map(([, path]) => path),
        ...[links.includes(name) && 'interface', sockets.includes(`${name}.sock`) && 'UAPI socket'].filter(Boolean),
      ],
    }),
  );
}

await main();
