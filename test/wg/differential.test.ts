/**
 * The stock `wg` and ours on the same words and files, each with a typetun device of its own, in namespaces of
 * their own. Compared are exit code, standard output, standard error, and what the device has afterwards.
 *
 * Both devices stay down, so that they have no sockets and a port that is chosen is no difference.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SHOW_FIELDS } from '../../src/cli/wg/commands.js';
import { FULL, missing, withPrivateRun } from '../netns/environment.js';
import { startDevice } from './device.js';
import { type Exemption, Generator, KEYS, type KeyFiles, PRIVATE } from './generate.js';
import { type Call, ours, oursSpawned, reset, type Said, stateOf, stock } from './tools.js';

const CASES = FULL ? 20_000 : 2_400;
/** Every so many cases ours is a process of its own. */
const SPAWN_EVERY = 50;
/** What the device is shown and printed after every so many cases. */
const SHOW_EVERY = 4;
/** Configurations that cases begin with. */
const BASES = 16;
const SEED = Number(process.env['TYPETUN_TEST_SEED'] ?? 1);
const TIMEOUT_MS = FULL ? 3_600_000 : 240_000;
/** One of the stock tool's, one of ours: of the same length, and in no other text. */
const [STOCK, OURS] = ['ttdiffs', 'ttdiffo'];

/** Habits in which ours differs on purpose: docs/adr. Each says how the outputs are brought to the same. */
const NEWER_USAGE = (text: string): string => text.replaceAll('[+|-]', '');
const FIELDS: readonly string[] = [...SHOW_FIELDS, 'bogus', ''];

withPrivateRun(import.meta.filename, () => {
  describe('wg and typetun wg', { skip: missing(['wg']) }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'typetun-differential-'));
    const daemons: (() => Promise<void>)[] = [];
    const files = keyFiles(directory);

    before(async () => {
      for (const name of [STOCK, OURS]) daemons.push(await startDevice(name));
    });
    after(async () => {
      for (const end of daemons) await end();
      rmSync(directory, { recursive: true });
    });

    const namesGone = (said: Said): Said => ({
      code: said.code,
      stdout: NEWER_USAGE(said.stdout.replaceAll(STOCK, 'IFACE').replaceAll(OURS, 'IFACE')),
      stderr: NEWER_USAGE(said.stderr.replaceAll(STOCK, 'IFACE').replaceAll(OURS, 'IFACE')),
    });

    /** Both tools, told the same by `callFor`, which is given the device's name. */
    async function both(callFor: (name: string) => Call, asProcess: boolean): Promise<[Said, Said]> {
      const run = asProcess ? oursSpawned : ours;
      return [namesGone(await stock(callFor(STOCK))), namesGone(await run(callFor(OURS)))];
    }

    async function compare(label: string, callFor: (name: string) => Call): Promise<void> {
      const [theirs, mine] = await both(callFor, false);
      assert.deepEqual(mine, theirs, label);
    }

    async function start(base: string): Promise<void> {
      const path = join(directory, 'base.conf');
      writeFileSync(path, base);
      for (const name of [STOCK, OURS]) {
        await reset(name);
        assert.deepEqual(await ours({ args: ['setconf', name, path] }), { code: 0, stdout: '', stderr: '' });
      }
    }

    it(`agree on ${CASES} generated command lines and files`, { timeout: TIMEOUT_MS }, async () => {
      const counts: Record<string, number> = {};
      let before = '';
      let dirty = true;
      for (let number = 0; number < CASES; number++) {
        const seed = SEED * 1_000_003 + number;
        const generator = new Generator(seed, files);
        // Where nothing was changed, the next case can begin.
        if (dirty) {
          await start(new Generator(SEED + (number % BASES), files).base());
          before = await stateOf(OURS);
        }
        const { callFor, text } = oneCase(generator, directory);
        const label = `seed ${seed}\n${before}\n---\n${text}`;
        const [theirs, mine] = await both(callFor, number % SPAWN_EVERY === 0);
        const exemption = [...generator.exemptions].find((name) => EXEMPT[name](theirs, mine));
        counts[exemption ?? 'compared'] = (counts[exemption ?? 'compared'] ?? 0) + 1;
        if (mine.code === 0) counts['accepted'] = (counts['accepted'] ?? 0) + 1;
        if (exemption === undefined) assert.deepEqual(mine, theirs, label);
        dirty = theirs.code === 0;
        const state = await stateOf(OURS);
        if (mine.code !== 0) assert.equal(state, before, `nothing changed: ${label}`);
        if (exemption !== undefined || !dirty) continue;
        assert.equal(state, await stateOf(STOCK), label);
        if (number % SHOW_EVERY !== 0) continue;
        const form = generator.from(FIELDS);
        await compare(`${label}\n--- show ${form}`, (name) => ({ args: ['show', name, ...(form ? [form] : [])] }));
        await compare(`${label}\n--- showconf`, (name) => ({ args: ['showconf', name] }));
      }
      console.log(`cases: ${JSON.stringify(counts)}`);
      // What is compared must be neither all right nor all wrong, and what is exempt must be rare.
      assert.ok(counts['accepted']! > CASES / 4 && counts['accepted']! < CASES * 0.9, JSON.stringify(counts));
      assert.ok(counts['compared']! > CASES * 0.8, JSON.stringify(counts));
    });
  });
});

/** Whether two answers differ for the reason that is named, and for no other. */
const EXEMPT: Readonly<Record<Exemption, (theirs: Said, mine: Said) => boolean>> = {
  'port above 65535': (_, mine) => mine.code === 1 && /Port is not 0-65535: `/.test(mine.stderr),
  'secret in an error': (theirs, mine) => {
    const [start, end] = mine.stderr.split('(hidden)') as [string, string | undefined];
    return end !== undefined && theirs.code === mine.code && theirs.stderr.startsWith(start);
  },
};

function oneCase(generator: Generator, directory: string): { callFor: (name: string) => Call; text: string } {
  const command = generator.from(['set', 'set', 'set', 'setconf', 'setconf', 'addconf', 'syncconf']);
  if (command === 'set') {
    const words = generator.setWords();
    return { callFor: (name) => ({ args: ['set', name, ...words] }), text: `set ${JSON.stringify(words)}` };
  }
  const text = generator.file();
  const path = join(directory, 'case.conf');
  writeFileSync(path, text, 'latin1');
  return { callFor: (name) => ({ args: [command, name, path] }), text: `${command} ${JSON.stringify(text)}` };
}

/** Files with keys, and files that hold none. */
function keyFiles(directory: string): KeyFiles {
  const write = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  mkdirSync(join(directory, 'folder'));
  return {
    good: [
      '/dev/null',
      write('key', `${PRIVATE}\n`),
      write('bare', KEYS[1]!),
      write('space', `${KEYS[2]} \n\t\r\n`),
      write('empty', ''),
    ],
    bad: [
      join(directory, 'none'),
      join(directory, 'folder'),
      '',
      write('short', `${PRIVATE.slice(0, 43)}\n`.slice(0, 20)),
      write('newline', '\n'),
      write('long', `${PRIVATE}x`),
      write('two', `${PRIVATE}\n${PRIVATE}\n`),
      write('early', ` ${PRIVATE}`),
    ],
  };
}
