/**
 * Who is measured: typetun in three forms, and the other userspace implementations, found on this machine
 * or built from their registries into a cache. Who cannot be had is left out, and said.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandOf, which } from '../test/netns/environment.js';
import type { Column } from './results.js';

export type ContestantId =
  | 'typetun'
  | 'wireguard-go'
  | 'gotatun'
  | 'boringtun'
  | 'wireguard-go-debian'
  | 'typetun-evp'
  | 'ceiling';

export interface Contestant extends Column {
  readonly id: ContestantId;
  /** The words that start it, before `-f NAME`. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Measured in full; the others with one stream of TCP alone. */
  readonly whole: boolean;
}

const CEILING = fileURLToPath(new URL('./ceiling.js', import.meta.url));
/** Where peers are built, so that the next run finds them. */
const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'typetun-bench');
const BUILD_TIMEOUT_MS = 20 * 60_000;

/** A program that is no device: it carries streams of one user's. */
const FORWARDER = 'onetun';

interface Peer {
  readonly id: ContestantId | typeof FORWARDER;
  readonly title: string;
  readonly whole: boolean;
  find(): string | undefined;
  /** The words that build it into {@link CACHE}. */
  readonly build?: readonly string[];
  version(path: string): string;
}

/** The first line, or nothing, of what a command prints. */
function firstLine(...[command = '', ...words]: readonly string[]): string {
  const { stdout, status } = spawnSync(command, words, { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? (stdout.split('\n')[0] ?? '').trim() : '';
}

function moduleVersion(path: string): string {
  const { stdout } = spawnSync(goTool(), ['version', '-m', path], { encoding: 'utf8', timeout: 20_000 });
  return /^\s*mod\s+\S+\s+(\S+)/m.exec(stdout ?? '')?.[1] ?? firstLine(path, '--version');
}

function goTool(): string {
  return which('go') ?? '/usr/local/go/bin/go';
}

function inCache(name: string): string | undefined {
  const path = join(CACHE, 'bin', name);
  return existsSync(path) ? path : undefined;
}

/** @param variable names the program; else it is looked for in the cache, in PATH and where cargo installs */
function rust(id: Peer['id'], crate: string, program: string, variable: string): Peer {
  return {
    id,
    title: id,
    whole: true,
    find() {
      const cargo = join(homedir(), '.cargo/bin', program);
      return process.env[variable] ?? inCache(program) ?? which(program) ?? (existsSync(cargo) ? cargo : undefined);
    },
    build: ['cargo', 'install', '--locked', '--root', CACHE, crate],
    version: (path) => firstLine(path, '--version').split(' ').at(-1) ?? '',
  };
}

const PEERS: readonly Peer[] = [
  {
    id: 'wireguard-go',
    title: 'wireguard-go, newest',
    whole: true,
    find: () => commandOf('wireguard-go-newest')?.[0] ?? inCache('wireguard'),
    build: ['env', `GOBIN=${join(CACHE, 'bin')}`, goTool(), 'install', 'golang.zx2c4.com/wireguard@latest'],
    version: moduleVersion,
  },
  rust('gotatun', 'gotatun-cli', 'gotatun', 'TYPETUN_BENCH_GOTATUN'),
  rust('boringtun', 'boringtun-cli', 'boringtun-cli', 'TYPETUN_BENCH_BORINGTUN'),
  {
    id: 'wireguard-go-debian',
    title: 'wireguard-go, Debian',
    whole: false,
    find: () => which('wireguard-go'),
    version: (path) => firstLine(path, '--version').split(' ').at(-1) ?? '',
  },
];

function own(version: string): Contestant[] {
  const command = commandOf('typetun') ?? [];
  return [
    { id: 'typetun', title: 'typetun', version, command, env: {}, whole: true },
    { id: 'typetun-evp', title: 'typetun, EVP', version, command, env: { TYPETUN_AEAD: 'evp' }, whole: false },
    {
      ...{ id: 'ceiling', title: 'no cipher (ceiling)', version, env: {}, whole: false },
      command: [process.execPath, CEILING],
    },
  ];
}

export interface Field {
  readonly contestants: readonly Contestant[];
  /** Who was asked for and is not there, with the reason. */
  readonly missing: readonly string[];
}

/**
 * @param wanted those to look for
 * @param build whether a peer that is not there may be built, which takes minutes and is said on `say`
 * @param version typetun's own
 */
export function findContestants(
  wanted: readonly ContestantId[],
  build: boolean,
  version: string,
  say: (line: string) => void,
): Field {
  const found: Contestant[] = own(version);
  const missing: string[] = [];
  for (const id of wanted) {
    const peer = PEERS.find((one) => one.id === id);
    if (peer === undefined) continue;
    const program = have(peer, build, say);
    if (typeof program === 'string') missing.push(program);
    else {
      const { title, whole } = peer;
      const { path, version: its } = program;
      found.push({ id, title, whole, version: its, command: [path], env: { WG_SUDO: 'true', LOG_LEVEL: 'error' } });
    }
  }
  const contestants = wanted.map((id) => found.find((one) => one.id === id)).filter((one) => one !== undefined);
  return { contestants, missing };
}

export interface Program {
  readonly path: string;
  readonly version: string;
}

/** @returns why it is not there, for people, where it is not */
function have(peer: Peer, build: boolean, say: (line: string) => void): Program | string {
  let path = peer.find();
  let reason = 'not installed';
  if (path === undefined && build && peer.build) {
    say(`building ${peer.title}: ${peer.build.join(' ')}`);
    reason = buildFailure(peer.build) ?? 'built, and not found afterwards';
    path = peer.find();
  }
  return path === undefined ? `${peer.title}: ${reason}` : { path, version: peer.version(path) };
}

/** The other program that brings a stream into a tunnel without root. Options and result as {@link have} has them. */
export function findOnetun(build: boolean, say: (line: string) => void): Program | string {
  return have(rust(FORWARDER, 'onetun', 'onetun', 'TYPETUN_BENCH_ONETUN'), build, say);
}

function buildFailure([command = '', ...words]: readonly string[]): string | undefined {
  const { error, status, stderr } = spawnSync(command, words, { encoding: 'utf8', timeout: BUILD_TIMEOUT_MS });
  if (error) return error.message;
  if (status === 0) return undefined;
  return `the build failed: ${stderr.trim().split('\n').at(-1) ?? `status ${status}`}`;
}
