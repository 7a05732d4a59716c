/**
 * A network of its own for an ordinary user: user, network, mount and PID namespace, with one way out, a
 * TUN whose descriptor is held outside. namespaces(7), user_namespaces(7).
 *
 *   this process ── sh ▸ setpriv ▸ unshare ── helper, PID 1 inside ── commands
 *        │  UDP sockets, engine                 │ makes TUN, routes, private files, sockets
 *        └────────── requests, descriptors ─────┘
 *
 * Each end takes the other with it: the helper ends when its channel to the owner closes; the kernel kills
 * `unshare` when its parent dies (prctl(2) PR_SET_PDEATHSIG), the helper when `unshare` does, and all
 * that is inside when the helper does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type SocketOptions, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP, isIPv6, Server, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Exit } from '../linux/children.js';
import { descriptorPair, receiveDescriptor, sendDescriptor } from '../linux/descriptors.js';
import { close } from '../linux/libc.js';
import { RootlessError, rootlessError } from './error.js';
import { servicesToHide } from './hidden.js';
import { withSystemPath } from './programs.js';
import type { Answer, CommandSetup, ConnectSetup, FoundAddress, NamespaceSetup, News, Request } from './protocol.js';
import { demandTun, explainRefusal, hasPrivileges } from './refusal.js';

/** @public */
export { RootlessError } from './error.js';

export interface NamespaceOptions {
  /** Of the interface inside; `wg0` without. */
  readonly name?: string;
  /** With prefix lengths: `10.0.0.2/32`, `fd00::2/128`. */
  readonly addresses: readonly string[];
  /** Prefixes that lead into the tunnel: `0.0.0.0/0`. */
  readonly routes: readonly string[];
  /** Bytes; 1420 without. */
  readonly mtu?: number;
  /** Without servers, no name but those of /etc/hosts is found inside. */
  readonly dns?: { readonly servers: readonly string[]; readonly search?: readonly string[] };
  /** Of commands inside, to find the sockets that have to be hidden from them. */
  readonly env?: NodeJS.ProcessEnv;
  /** Descriptor of the one that commands start in; without it, that of this process. */
  readonly directory?: number;
}

/** What need not be UTF-8 is bytes. */
type Word = string | Uint8Array;

export interface CommandOptions {
  /** Each `NAME=value`; this process's own without. */
  readonly env?: readonly Word[];
  /** Descriptors of this process that become 0, 1 and 2; its own without. */
  readonly streams?: readonly [number, number, number];
  /** Numbers of signals that the command ignores from the start, as after nohup(1). */
  readonly ignored?: readonly number[];
  /** Soft limit of open files; without, it is the hard one, as Node.js has it. */
  readonly openFiles?: number;
}

export interface RunningCommand {
  readonly exited: Promise<Exit>;
  /** Tells of a signal to this process. Unless all of the process group got it, the command gets it. */
  signal(signal: NodeJS.Signals): void;
  /** Called each time the command was stopped, with the number of the signal that did it. */
  onStopped: (signal: number) => void;
}

export interface ConnectOptions extends ConnectSetup {
  readonly allowHalfOpen?: boolean;
  /** Gives up: the promise is rejected, and nothing stays open. */
  readonly signal?: AbortSignal;
}

export interface ListenOptions {
  /** An address inside, or a name; `::` without: every address, IPv4 as well. */
  readonly host?: string;
  /** 0, or without: any. */
  readonly port?: number;
  readonly backlog?: number;
  readonly allowHalfOpen?: boolean;
  readonly pauseOnConnect?: boolean;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  /** Milliseconds. */
  readonly keepAliveInitialDelay?: number;
}

type UdpLookup = NonNullable<SocketOptions['lookup']>;

const HELPER = fileURLToPath(new URL('./helper.js', import.meta.url));
/** The terminal's signals are the command's; a death of the owner is nobody's to ignore. */
const START = 'trap "" HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2 ALRM; exec setpriv --pdeathsig KILL unshare "$@"';
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child'];
const USER_NAMESPACE = ['--user', '--map-root-user'];
const DEFAULT_MTU = 1420;
/** A helper that does not go by itself is killed. */
const END_MS = 3_000;

const SIGKILL = 9;

function bytesOf(word: Word): string {
  return Buffer.from(word as string).toString('latin1');
}

interface Waiter {
  readonly settle: (answer: Answer, fd: number | undefined) => void;
  readonly abandon: (error: Error) => void;
}

export class RootlessNamespace {
  /** Of the TUN inside, with a virtio_net_hdr. Whoever takes it (an engine) closes it. */
  tunFd = -1;
  readonly mtu: number;
  /** Settles when the namespace is gone: with the error unless that was by {@link close}. */
  readonly ended: Promise<Error | undefined>;
  readonly #child: ChildProcess;
  readonly #passing: number;
  readonly #isPrivileged: boolean;
  readonly #waiting = new Map<number, Waiter>();
  readonly #passed = new Map<number, number | undefined>();
  readonly #commands = new Map<number, { onStopped: (signal: number) => void; exit: (exit: Exit) => void }>();
  #nextId = 1;
  #said = '';
  #isClosing = false;
  #isEnded = false;
  #ready: () => void = () => {};

  private constructor(mtu: number, env: NodeJS.ProcessEnv, directory: number | undefined) {
    this.mtu = mtu;
    this.#isPrivileged = hasPrivileges();
    const [ours, theirs] = descriptorPair();
    this.#passing = ours;
    const words = [...(this.#isPrivileged ? [] : USER_NAMESPACE), ...NAMESPACES, '--', process.execPath, HELPER];
    this.#child = spawn('sh', ['-c', START, 'sh', ...words], {
      // NODE_OPTIONS are for the owner, and for commands.
      env: { ...env, PATH: withSystemPath(env['PATH']), NODE_OPTIONS: undefined },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc', theirs],
      ...(directory !== undefined && { cwd: `/proc/self/fd/${directory}` }),
    });
    close(theirs);
    // There is none where it could not be started.
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-4096);
    });
    this.#child.on('message', (message: Answer | News) => this.#hear(message));
    this.ended = this.#whenEnded();
  }

  async #whenEnded(): Promise<Error | undefined> {
    const { code, message } = await this.#howEnded();
    this.#isEnded = true;
    close(this.#passing);
    const error = new RootlessError(this.#isClosing ? 'ERR_CLOSED' : code, message);
    this.#abandonAll(error);
    return this.#isClosing ? undefined : error;
  }

  /** Not by `close` of the child: that does not come after a disconnect. */
  #howEnded(): Promise<{ code: string; message: string }> {
    const child = this.#child;
    const heard = child.stderr && once(child.stderr, 'close').catch(() => {});
    return new Promise((resolve) => {
      child.on('error', ({ code = 'ERR_NAMESPACE', message }: NodeJS.ErrnoException) => {
        // Else something was sent to a helper that ended a moment ago: its exit is still to come.
        if (child.pid === undefined) resolve({ code, message });
      });
      child.once('exit', async (code, signal) => {
        await heard;
        const last = this.#said.trim().split('\n').at(-1) || `the helper ended with ${signal ?? code}`;
        // What unshare(1) says of itself when its child died of SIGKILL.
        const message = last.startsWith('unshare: sigprocmask') ? 'the helper was killed' : last;
        resolve({ code: 'ERR_NAMESPACE', message });
      });
    });
  }

  /**
   * Makes the namespace, with its interface up.
   * @throws RootlessError with a text for people that says what is not permitted, and what can be done
   */
  static async open(options: NamespaceOptions): Promise<RootlessNamespace> {
    demandTun();
    const env = options.env ?? process.env;
    let namespace: RootlessNamespace | undefined;
    try {
      namespace = new RootlessNamespace(options.mtu ?? DEFAULT_MTU, env, options.directory);
      await namespace.#setUp(options, env);
      return namespace;
    } catch (error) {
      await namespace?.close();
      throw rootlessError(explainRefusal(error as Error));
    }
  }

  async #setUp(options: NamespaceOptions, env: NodeJS.ProcessEnv): Promise<void> {
    const ready = new Promise<void>((resolve) => {
      this.#ready = resolve;
    });
    const failed = await Promise.race([ready, this.ended]);
    if (failed) throw failed;
    const setup: NamespaceSetup = {
      name: options.name ?? 'wg0',
      addresses: options.addresses,
      routes: options.routes,
      mtu: this.mtu,
      dns: { servers: options.dns?.servers ?? [], search: options.dns?.search ?? [] },
      hidden: servicesToHide(env, process.getuid?.() ?? 0),
    };
    this.tunFd = await this.#askForDescriptor({ type: 'set-up', setup });
  }

  /**
   * Runs a command inside, as the user who called, in the directory that this process was in when the namespace was
   * opened. One that is not found ends with 127, one that cannot be run with 126.
   * @throws RootlessError
   */
  async run(words: readonly Word[], { streams = [0, 1, 2], ...options }: CommandOptions = {}): Promise<RunningCommand> {
    this.#demandOpen();
    const { env = Object.entries(process.env).map(([name, value]) => `${name}=${value}`), openFiles } = options;
    const setup: CommandSetup = {
      words: words.map(bytesOf),
      env: env.map(bytesOf),
      ignored: options.ignored ?? [],
      ...(openFiles !== undefined && { openFiles }),
      ...(!this.#isPrivileged && { identity: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } }),
    };
    const id = this.#nextId;
    const running = { onStopped: (): void => {}, exit: (_exit: Exit): void => {} };
    const exited = new Promise<Exit>((resolve) => {
      running.exit = resolve;
    });
    this.#commands.set(id, running);
    const handle: RunningCommand = Object.assign(running, {
      exited,
      signal: (signal: NodeJS.Signals): void => {
        void this.#ask({ type: 'signal', command: id, signal }).catch(() => {});
      },
    });
    for (const fd of streams) sendDescriptor(this.#passing, fd, id);
    try {
      await this.#ask({ type: 'run', setup });
      return handle;
    } catch (error) {
      this.#commands.delete(id);
      throw error;
    }
  }

  /**
   * Connects from inside; names are looked up there.
   * @returns a socket of this process, connected
   * @throws RootlessError with the code that connect(2) or the look-up gave
   */
  async connect({ allowHalfOpen = false, signal, ...setup }: ConnectOptions): Promise<Socket> {
    const fd = await this.#askForDescriptor({ type: 'connect', setup }, signal);
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen });
  }

  /** Listens inside. @returns a server of this process, listening. @throws RootlessError */
  async listen({ host = '::', port = 0, backlog, ...options }: ListenOptions = {}): Promise<Server> {
    const { fd } = await this.#bind('tcp', host, port);
    const server = new Server(options);
    const listening = once(server, 'listening');
    server.listen({ fd, ...(backlog !== undefined && { backlog }) });
    // Somebody else may listen already, who was bound there at the same time.
    await listening.catch((error: unknown) => Promise.reject(rootlessError(error)));
    return server;
  }

  /** Binds a UDP socket inside. @returns a socket of this process, bound. @throws RootlessError */
  async bindUdp({ host = '::', port = 0 }: Pick<ListenOptions, 'host' | 'port'> = {}): Promise<UdpSocket> {
    const { fd, address } = await this.#bind('udp', host, port);
    const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4', lookup: this.#lookupForUdp });
    const listening = once(socket, 'listening');
    socket.bind({ fd });
    await listening;
    return socket;
  }

  /** @returns a socket of this process, bound, and the address of `host` */
  async #bind(type: 'tcp' | 'udp', host: string, port: number): Promise<{ fd: number; address: string }> {
    const [found] = isIP(host) === 0 ? await this.lookup(host) : [{ address: host }];
    const address = found?.address ?? '';
    return { fd: await this.#askForDescriptor({ type: 'bind', setup: { type, address, port } }), address };
  }

  /** Names that a UDP socket sends to are looked up inside as well, and IPv4 addresses fit a socket of both. */
  readonly #lookupForUdp: UdpLookup = (host, options, done) => {
    const wanted = Number(typeof options === 'object' ? options.family : options);
    const answer = (address: string, family: number): void =>
      wanted === 6 && family === 4 ? done(null, `::ffff:${address}`, 6) : done(null, address, family);
    if (isIP(host) !== 0) process.nextTick(answer, host, isIP(host));
    else {
      this.lookup(host, wanted === 4 ? 4 : 0).then(
        ([first]) => answer(first?.address ?? '', first?.family ?? 0),
        (error: Error) => done(error, '', 0),
      );
    }
  };

  /** Looks a name up inside. @throws RootlessError, such as ENOTFOUND */
  async lookup(host: string, family: 0 | 4 | 6 = 0): Promise<readonly FoundAddress[]> {
    const { answer } = await this.#ask({ type: 'lookup', host, family });
    return answer.addresses ?? [];
  }

  /** Ends everything inside; it is gone when this settles. Sockets handed out stay, and lead nowhere. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    await this.ended;
    clearTimeout(late);
  }

  #demandOpen(): void {
    if (this.#isEnded || this.#isClosing || !this.#child.connected) {
      throw new RootlessError('ERR_CLOSED', 'the namespace is closed');
    }
  }

  async #askForDescriptor(request: Request, signal?: AbortSignal): Promise<number> {
    const { fd } = await this.#ask(request, signal);
    if (fd === undefined) throw new RootlessError('EMFILE', 'this process may not open more files (ulimit -n)');
    return fd;
  }

  #ask(request: Request, signal?: AbortSignal): Promise<{ answer: Extract<Answer, { type: 'answer' }>; fd?: number }> {
    return new Promise((resolve, reject) => {
      this.#demandOpen();
      signal?.throwIfAborted();
      const id = this.#nextId++;
      const abort = (): void => {
        this.#waiting.delete(id);
        reject(signal?.reason as Error);
        if (this.#child.connected) this.#child.send({ type: 'cancel', request: id, id: this.#nextId++ });
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.set(id, {
        settle: (answer, fd) => {
          signal?.removeEventListener('abort', abort);
          if (answer.type === 'answer') resolve({ answer, ...(fd !== undefined && { fd }) });
          else reject(new RootlessError(answer.failure.code, answer.failure.message));
        },
        abandon: (error) => {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      });
      this.#child.send({ ...request, id });
    });
  }

  #hear(message: Answer | News): void {
    switch (message.type) {
      case 'ready':
        this.#ready();
        break;
      case 'stopped':
        this.#commands.get(message.command)?.onStopped(message.signal);
        break;
      case 'exited':
        this.#commands.get(message.command)?.exit(message.exit);
        this.#commands.delete(message.command);
        break;
      default:
        this.#settle(message);
    }
  }

  #settle(answer: Answer): void {
    let fd: number | undefined;
    if (answer.type === 'answer' && answer.descriptor) {
      while (!this.#passed.has(answer.id)) {
        const passed = receiveDescriptor(this.#passing);
        if (!passed) break;
        this.#passed.set(passed.tag, passed.fd);
      }
      fd = this.#passed.get(answer.id);
      this.#passed.delete(answer.id);
    }
    const waiter = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (waiter) waiter.settle(answer, fd);
    else if (fd !== undefined) close(fd);
  }

  #abandonAll(error: Error): void {
    for (const { abandon } of this.#waiting.values()) abandon(error);
    this.#waiting.clear();
    for (const fd of this.#passed.values()) if (fd !== undefined) close(fd);
    this.#passed.clear();
    for (const { exit } of this.#commands.values()) exit({ code: null, signal: SIGKILL });
    this.#commands.clear();
  }
}
