/**
 * The first process of the namespace. It sets things up, makes sockets and runs commands for its owner, who
 * stays outside. When the owner is gone, it ends; and with it, as the first of a PID namespace, everything
 * inside.
 */
import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { receiveDescriptor, sendDescriptor } from '../linux/descriptors.js';
import { close } from '../linux/libc.js';
import { Capability, keepCapabilities } from '../linux/process.js';
import { runInside, signalCommand, watchChildren } from './inner-commands.js';
import { bindInside, connectInside } from './inner-sockets.js';
import { makeInterface } from './interface.js';
import { makePrivateFiles } from './private-files.js';
import { type Answer, type Failure, type News, type Numbered, PASSING_FD, type Request } from './protocol.js';

const STREAMS = 3;
/** The owner takes what waits as soon as it gets to it. */
const RETRY_MS = 1;
const cancelled = new Map<number, AbortController>();
/** Whether the tunnel has a name server. */
let asksForNames = true;

function say(message: Answer | News): void {
  // The channel is closed when the owner is going: this process is about to end as well.
  if (process.connected) process.send?.(message);
}

/** Hands a descriptor to the owner, under the number of the request that it is for. */
async function pass(fd: number, id: number): Promise<void> {
  while (!sendDescriptor(PASSING_FD, fd, id)) await sleep(RETRY_MS);
}

function receiveStreams(): number[] {
  return Array.from({ length: STREAMS }, () => receiveDescriptor(PASSING_FD)?.fd).filter((fd) => fd !== undefined);
}

/** The working directory may be covered by now: commands start where its path leads. */
function enterAgain(): void {
  try {
    process.chdir(process.cwd());
  } catch {
    // It is deleted, or its name is no text.
  }
}

/** What is left: low ports, and signals for commands that changed their user. What root executes has all again. */
function dropPrivileges(): void {
  if (process.getuid?.() === 0) keepCapabilities(Capability.kill, Capability.netBindService);
}

type Extras = Partial<Pick<Extract<Answer, { type: 'answer' }>, 'descriptor' | 'addresses'>>;

async function handle(request: Numbered<Request>): Promise<Extras> {
  switch (request.type) {
    case 'set-up': {
      asksForNames = request.setup.dns.servers.length > 0;
      makePrivateFiles(request.setup);
      enterAgain();
      const tun = await makeInterface(request.setup);
      await pass(tun.fd, request.id);
      close(tun.fd);
      dropPrivileges();
      return { descriptor: true };
    }
    case 'run': {
      const streams = receiveStreams();
      try {
        runInside(request.id, request.setup, streams);
      } finally {
        for (const fd of streams) close(fd);
      }
      return {};
    }
    case 'connect': {
      const controller = new AbortController();
      cancelled.set(request.id, controller);
      try {
        await connectInside(request.setup, (fd) => pass(fd, request.id), controller.signal);
      } finally {
        cancelled.delete(request.id);
      }
      return { descriptor: true };
    }
    case 'bind':
      await bindInside(request.setup, (fd) => pass(fd, request.id));
      return { descriptor: true };
    case 'lookup':
      return { addresses: await lookup(request.host, { all: true, family: request.family }) };
    case 'cancel':
      cancelled.get(request.request)?.abort();
      return {};
    case 'signal':
      signalCommand(request.command, request.signal);
      return {};
  }
}

function failure(error: unknown): Failure {
  const { code = 'ERR_ROOTLESS', message, errors = [] } = error as Error & { code?: string; errors?: Error[] };
  if (code === 'EAI_AGAIN' && !asksForNames) {
    // It would be so again: nobody is asked.
    return { code: 'ENOTFOUND', message: `${message.replace(code, 'ENOTFOUND')}: the tunnel has no name server (DNS)` };
  }
  // Where several addresses of a name were tried, Node.js says nothing of its own.
  const texts = message === '' ? errors.map((each) => each.message) : [message];
  return { code, message: texts.join('; ') };
}

process.on('disconnect', () => process.exit(0));
process.on('message', async (request: Numbered<Request>) => {
  const { id } = request;
  try {
    say({ type: 'answer', id, ...(await handle(request)) });
  } catch (error) {
    say({ type: 'failed', id, failure: failure(error) });
  }
});
watchChildren(say);
if (process.connected) say({ type: 'ready' });
else process.exit(0);
