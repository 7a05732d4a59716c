/**
 * Network namespaces with a tunnel between two of them, as in the kernel's own tests:
 *
 *   namespace 1            namespace 0                    namespace 2
 *   [wgA] 192.168.241.1    sockets of both, on loopback   192.168.241.2 [wgB]
 *         fd00::1                                         fd00::2
 *
 * Each device is made in namespace 0 and moved from there: its socket stays where it was born.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Implementation = 'typetun' | 'wireguard-go' | 'wireguard-go-newest';

const TYPETUN = fileURLToPath(new URL('../../../bin/typetun', import.meta.url));

/** The command of an implementation, or undefined when it is not on this machine. */
export function commandOf(implementation: Implementation): string | undefined {
  if (implementation === 'typetun') return TYPETUN;
  const newest = process.env['TYPETUN_WIREGUARD_GO_NEWEST'] ?? `${process.env['HOME']}/go/bin/wireguard`;
  if (implementation === 'wireguard-go-newest') return existsSync(newest) ? newest : undefined;
  return has('wireguard-go') ? 'wireguard-go' : undefined;
}

export function has(tool: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${tool}`]);
    return true;
  } catch {
    return false;
  }
}

/**
 * Why namespace tests cannot run here, or false. In CI a missing tool is a failure, not a skip.
 * @param tools commands that the test starts
 */
export function cannotRun(...tools: readonly string[]): string | false {
  const missing = ['ip', 'wg', 'ping', ...tools].filter((tool) => !has(tool));
  if (missing.length > 0) {
    assert.ok(process.env['CI'] !== 'true', `missing in CI: ${missing.join(' ')}`);
    return `not installed: ${missing.join(' ')}`;
  }
  if (process.getuid?.() !== 0)
    return 'needs root: run as root, or under "unshare --user --map-root-user --net --mount"';
  return false;
}

export interface Side {
  readonly name: string;
  readonly ns: string;
  readonly process: ChildProcess;
  readonly privateKey: string;
  readonly publicKey: string;
  log: string;
}

let labs = 0;

export class Lab {
  readonly #id: string = `${process.pid}-${labs++}`;
  readonly #namespaces = new Set<string>();
  readonly sides: Side[] = [];

  ns(short: number | string): string {
    return `tt${this.#id}-${short}`;
  }

  /** Runs a shell command line, with $A $B and the namespaces' names known to the caller. @returns stdout */
  async sh(command: string, timeoutMs = 60_000): Promise<string> {
    try {
      const { stdout } = await run('bash', ['-o', 'pipefail', '-c', command], {
        timeout: timeoutMs,
        maxBuffer: 1 << 26,
      });
      return stdout.trim();
    } catch (error) {
      const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string };
      const logs = this.sides.map((side) => `--- ${side.name}\n${side.log.slice(-1500)}`).join('\n');
      throw new Error(`failed: ${command}\n${stderr}${stdout}\n${logs}`);
    }
  }

  /** The same inside a namespace. */
  in(ns: number | string, command: string, timeoutMs?: number): Promise<string> {
    return this.sh(`ip netns exec ${this.ns(ns)} bash -o pipefail -c '${command.replaceAll("'", "'\\''")}'`, timeoutMs);
  }

  /** Whether a command in a namespace succeeds. */
  async succeeds(ns: number | string, command: string): Promise<boolean> {
    try {
      await this.in(ns, command);
      return true;
    } catch {
      return false;
    }
  }

  async namespace(...shorts: readonly (number | string)[]): Promise<void> {
    for (const short of shorts) {
      await this.sh(`ip netns add ${this.ns(short)} && ip -n ${this.ns(short)} link set lo up`);
      this.#namespaces.add(this.ns(short));
    }
  }

  /** Starts a daemon in a namespace, and gives it a key. */
  async daemon(implementation: Implementation, ns: number | string): Promise<Side> {
    const command = commandOf(implementation);
    assert.ok(command, `${implementation} is not installed`);
    const name = `w${this.sides.length}x${this.#id.replace('-', 'x')}`.slice(0, 15);
    const child = spawn('ip', ['netns', 'exec', this.ns(ns), command, '-f', name], {
      env: { ...process.env, LOG_LEVEL: 'debug', WG_PROCESS_FOREGROUND: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const privateKey = await this.sh('wg genkey');
    const publicKey = await this.sh(`wg pubkey <<< ${privateKey}`);
    const side: Side = { name, ns: this.ns(ns), process: child, privateKey, publicKey, log: '' };
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        side.log = (side.log + text).slice(-200_000);
      });
    }
    this.sides.push(side);
    await this.until(`${name} to listen`, () => existsSync(`/var/run/wireguard/${name}.sock`));
    await this.sh(`wg set ${name} private-key <(echo ${privateKey})`);
    return side;
  }

  /** The two sides of the drawing above, configured and up. */
  async tunnel(implementations: readonly [Implementation, Implementation], mtu = 1420): Promise<[Side, Side]> {
    await this.namespace(0, 1, 2);
    const a = await this.daemon(implementations[0], 0);
    const b = await this.daemon(implementations[1], 0);
    for (const [i, side, peer] of [
      [1, a, b],
      [2, b, a],
    ] as const) {
      await this.sh(
        `ip -n ${this.ns(0)} link set ${side.name} netns ${this.ns(i)}
         ip -n ${this.ns(i)} address add 192.168.241.${i}/24 dev ${side.name}
         ip -n ${this.ns(i)} address add fd00::${i}/112 dev ${side.name} nodad
         wg set ${side.name} listen-port ${i} peer ${peer.publicKey} allowed-ips 192.168.241.${3 - i}/32,fd00::${3 - i}/128
         ip -n ${this.ns(i)} link set mtu ${mtu} up dev ${side.name}`,
      );
    }
    return [a, b];
  }

  /** Each side's endpoint: the other's socket on the loopback. */
  async endpoints(a: Side, b: Side, host: '127.0.0.1' | '[::1]'): Promise<void> {
    await this.sh(`wg set ${a.name} peer ${b.publicKey} endpoint ${host}:2`);
    await this.sh(`wg set ${b.name} peer ${a.publicKey} endpoint ${host}:1`);
  }

  async ping(ns: number, host: string, options = '-c 3 -i 0.05 -W 2'): Promise<void> {
    await this.in(ns, `ping -q -n ${options} ${host}`);
  }

  /** ping floods both ways, then TCP and UDP over both families, and parallel streams. */
  async traffic(megabytes = 8): Promise<void> {
    await this.ping(2, '192.168.241.1', '-c 300 -f -W 1');
    await this.ping(1, 'fd00::2', '-c 300 -f -W 1');
    for (const [from, to, host] of [
      [1, 2, '192.168.241.2'],
      [2, 1, 'fd00::1'],
    ] as const) {
      for (const options of [`-n ${megabytes}M`, `-n ${megabytes}M -P 5`, `-n 1M -b 0 -u -l 1100`]) {
        await this.in(to, `iperf3 -s -1 -D -B ${host} --logfile /dev/null -I /tmp/iperf-${this.ns(to)}.pid`);
        await this.until('iperf3 to listen', () => this.succeeds(to, 'ss -Hltn sport = :5201 | grep -q .'));
        await this.in(from, `iperf3 -c ${host} ${options}`);
        await this.until('iperf3 to end', async () => !(await this.succeeds(to, 'ss -Hltn sport = :5201 | grep -q .')));
      }
    }
  }

  async until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
    for (const start = Date.now(); !(await condition()); await sleep(30)) {
      if (Date.now() - start > timeoutMs) throw new Error(`waited in vain for ${what}`);
    }
  }

  /** Ends everything, and makes sure of it: processes, sockets, namespaces. */
  async close(): Promise<void> {
    for (const { process: child } of this.sides) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    for (const ns of this.#namespaces) await this.sh(`ip netns del ${ns}`).catch(() => '');
    const left = await this.sh('ip netns list; ls /var/run/wireguard; true');
    for (const name of [...this.#namespaces, ...this.sides.map((side) => `${side.name}.sock`)]) {
      assert.ok(!left.split(/\s+/).includes(name), `${name} was left behind`);
    }
  }
}

/** Makes a lab, and ends it whatever happens. */
export async function withLab(test: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab();
  try {
    await test(lab);
  } finally {
    await lab.close();
  }
}
