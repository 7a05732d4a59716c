/**
 * `npm run bench`: typetun beside wireguard-go, gotatun and boringtun, in one run, on this machine.
 * bench/options.ts has the options, docs/performance.md the method.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { missing } from '../test/netns/environment.js';
import { noUser } from '../test/rootless/user.js';
import { measureAead } from './aead.js';
import { measureConfig } from './config.js';
import { type Contestant, findContestants, findOnetun } from './contestants.js';
import { publish } from './document.js';
import { measureFlood } from './flood.js';
import { measureHandshakes } from './handshakes.js';
import { describeMachine, describeVersion } from './machine.js';
import { baselineOf, groupTable, markdownTable } from './markdown.js';
import { measureNetwork, NETWORK_SUBJECTS } from './network.js';
import { measureOffload } from './offload.js';
import { DAEMON_SUBJECTS, type MicroSubject, type Options, parseOptions, USAGE } from './options.js';
import { measureReplay } from './replay.js';
import type { Effort, Group, Results } from './results.js';
import { measureRootless } from './rootless.js';
import { measureScale } from './scale.js';
import { measureSoak } from './soak.js';
import { measureStall } from './stall.js';
import { measureTables } from './tables.js';
import { judge, TARGET_HEADER } from './targets.js';
import { measureStart } from './wg-start.js';

/** What is measured in this process, without a tunnel. */
const MICRO: Readonly<Record<MicroSubject, (effort: Effort) => Group[] | Promise<Group[]>>> = {
  aead: measureAead,
  offload: measureOffload,
  replay: measureReplay,
  tables: measureTables,
  config: measureConfig,
  wg: measureStart,
};

async function measure(options: Options, args: readonly string[]): Promise<Results> {
  const started = new Date();
  const version = describeVersion();
  const reasons: string[] = [];
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const fail = (reason: string): void => {
    reasons.push(reason);
    say(`not measured: ${reason}`);
  };
  const { subjects, rounds, seconds, quick, soak } = options;
  const groups: Group[] = [];
  if (soak > 0 || [...NETWORK_SUBJECTS, ...DAEMON_SUBJECTS].some((subject) => subjects.has(subject))) {
    const contestants = field(options, version, say, fail);
    const whole = contestants.filter((one) => one.whole);
    if (soak > 0) groups.push(...(await measureSoak(contestants, soak, say)));
    else {
      groups.push(...(await measureNetwork({ contestants, subjects, rounds, seconds, quick, say, fail })));
      const run = { contestants: whole, rounds, quick, say, fail };
      if (subjects.has('handshakes')) groups.push(...(await measureHandshakes(run)));
      // A round takes one minute or two, and there is a quarter of an hour for everything.
      const long = { ...run, rounds: subjects.size === 1 ? rounds : 1 };
      if (subjects.has('flood')) groups.push(...(await measureFlood(long)));
      if (subjects.has('scale')) groups.push(...(await measureScale(long)));
      if (subjects.has('stall')) groups.push(...(await measureStall(long)));
    }
  }
  if (soak === 0 && subjects.has('rootless')) groups.push(...(await streams(options, version, say, fail)));
  for (const [subject, run] of Object.entries(MICRO)) {
    if (soak > 0 || !subjects.has(subject)) continue;
    say(subject);
    groups.push(...(await run({ rounds, quick })));
  }
  return {
    format: 1,
    command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
    version,
    started: started.toISOString(),
    durationS: Math.round((Date.now() - started.getTime()) / 1000),
    machine: describeMachine(),
    groups,
    missing: reasons,
  };
}

/** Who can be measured through a tunnel here: nobody where none can be made. */
function field(
  { contestants, build }: Options,
  version: string,
  say: (line: string) => void,
  fail: (reason: string) => void,
): readonly Contestant[] {
  const obstacle = process.getuid?.() === 0 ? missing(['iperf3']) : 'tunnels are measured by root';
  if (obstacle !== false) {
    fail(`everything through a tunnel: ${obstacle}`);
    return [];
  }
  const found = findContestants(contestants, build, version, say);
  for (const reason of found.missing) fail(reason);
  return found.contestants;
}

/** Streams of an ordinary user's: none where root cannot become one. */
async function streams(
  { build, rounds, seconds }: Options,
  version: string,
  say: (line: string) => void,
  fail: (reason: string) => void,
): Promise<Group[]> {
  const obstacle = noUser(['wg', 'ping', 'setsid']);
  if (obstacle !== false) {
    fail(`streams without root: ${obstacle}`);
    return [];
  }
  const onetun = findOnetun(build, say);
  if (typeof onetun === 'string') fail(onetun);
  return measureRootless({
    ...{ version, rounds, seconds, say, fail },
    onetun: typeof onetun === 'string' ? undefined : onetun,
  });
}

function show(results: Results): void {
  const { groups, missing: reasons, machine, durationS, version } = results;
  console.log(`\ntypetun ${version}, Node.js ${machine.node}, Linux ${machine.kernel}, ${durationS} s`);
  console.log('median (least–most) ×ratio of the medians; ↓ less is better');
  for (const group of groups) console.log(`\n${group.title}. ${baselineOf(group)}\n\n${groupTable(group)}`);
  const verdicts = judge(results);
  if (verdicts.length > 0) {
    console.log(`\nTargets\n\n${markdownTable(TARGET_HEADER, verdicts)}`);
  }
  if (reasons.length > 0) console.log(`\nNot measured:\n${reasons.map((reason) => `- ${reason}`).join('\n')}`);
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    console.log(USAGE);
    return 0;
  }
  const results =
    options.from === undefined
      ? await measure(options, args)
      : (JSON.parse(readFileSync(options.from, 'utf8')) as Results);
  if (options.from === undefined) {
    mkdirSync(dirname(options.json), { recursive: true });
    writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
  }
  show(results);
  if (options.publish) publish(results, join(import.meta.dirname, '../../docs'));
  return results.groups.length > 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
