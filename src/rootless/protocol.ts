/** What the owner of a namespace and the helper inside it say to each other, over Node's own channel. */
import type { Exit } from '../linux/children.js';

export interface NamespaceSetup {
  /** Of the interface inside. */
  readonly name: string;
  /** With prefix lengths: `10.0.0.2/32`. */
  readonly addresses: readonly string[];
  /** Prefixes that lead into the tunnel: `0.0.0.0/0`. */
  readonly routes: readonly string[];
  readonly mtu: number;
  readonly dns: { readonly servers: readonly string[]; readonly search: readonly string[] };
  /** Existing paths that commands inside shall not see: directories and sockets. */
  readonly hidden: readonly string[];
}

/** Words of a command and its environment (`NAME=value`) as the system has them: one character a byte. */
export interface CommandSetup {
  readonly words: readonly string[];
  readonly env: readonly string[];
  /** Numbers of the signals that it ignores from the start. */
  readonly ignored: readonly number[];
  /** Soft limit of open files. */
  readonly openFiles?: number;
  /** Whom the command shall be: set where the helper is root of a user namespace only. */
  readonly identity?: { readonly uid: number; readonly gid: number };
}

export interface ConnectSetup {
  readonly host: string;
  readonly port: number;
  readonly family?: 4 | 6;
  readonly localAddress?: string;
  readonly localPort?: number;
}

export interface BindSetup {
  readonly type: 'tcp' | 'udp';
  /** `::` takes IPv4 as well. */
  readonly address: string;
  /** 0: any. */
  readonly port: number;
}

/** Each request is answered once. Those marked with * bring descriptors with the answer, or with the request. */
export type Request =
  | { readonly type: 'set-up'; readonly setup: NamespaceSetup } // *the TUN comes back
  | { readonly type: 'run'; readonly setup: CommandSetup } // *three go along
  | { readonly type: 'connect'; readonly setup: ConnectSetup } // *the socket comes back
  | { readonly type: 'bind'; readonly setup: BindSetup } // *the socket comes back
  | { readonly type: 'lookup'; readonly host: string; readonly family: 0 | 4 | 6 }
  /** The answer to the request of this number is not wanted any more. */
  | { readonly type: 'cancel'; readonly request: number }
  /** The owner got this signal. Unless the whole process group did, the command gets it as well. */
  | { readonly type: 'signal'; readonly command: number; readonly signal: NodeJS.Signals };

export type Numbered<T> = T & { readonly id: number };

export interface Failure {
  readonly code: string;
  readonly message: string;
}

export interface FoundAddress {
  readonly address: string;
  readonly family: number;
}

/** `descriptor`: one was passed over {@link PASSING_FD} before, tagged with the request's number. */
export type Answer =
  | { readonly type: 'answer'; readonly id: number; readonly descriptor?: true; readonly addresses?: FoundAddress[] }
  | { readonly type: 'failed'; readonly id: number; readonly failure: Failure };

/** `command` is the number of the request that started it. */
export type News =
  | { readonly type: 'ready' }
  | { readonly type: 'stopped'; readonly command: number; readonly signal: number }
  | { readonly type: 'exited'; readonly command: number; readonly exit: Exit };

/** Signals to the owner that are the command's. */
export const PASSED_ON = [
  ...['SIGINT', 'SIGQUIT', 'SIGTSTP', 'SIGTERM', 'SIGHUP'],
  ...['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGCONT', 'SIGWINCH'],
] as NodeJS.Signals[];

/** In the helper: the descriptor that others are passed over. */
export const PASSING_FD = 4;
