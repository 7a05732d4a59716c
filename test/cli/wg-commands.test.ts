/** The table of `typetun wg`'s commands against what runs, and against its man page. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { SET_INTERFACE_WORDS, SET_PEER_WORDS, SHOW_FIELDS, SUBCOMMANDS } from '../../src/cli/wg/commands.js';
import { FIELDS } from '../../src/cli/wg/fields.js';
import { ours } from '../wg/tools.js';

const MAN = readFileSync(new URL('../../../man/typetun-wg.8', import.meta.url), 'utf8').replaceAll('\\-', '-');

describe('the commands of typetun wg', () => {
  for (const { name, usage } of SUBCOMMANDS) {
    it(`has ${name}, which says how it is used, and its man page has it`, async () => {
      // One word too many for each but set, for which one is too few.
      const args = name === 'set' ? [name, 'wg0'] : [name, 'a', 'b', 'c'];
      const { code, stderr } = await ours({ args });
      assert.deepEqual([code, stderr], [1, `Usage: wg ${name}${usage && ' '}${usage}\n`]);
      assert.match(MAN, new RegExp(`\\n(\\.B |\\\\fB)${name}(\\\\fR|\\n)`));
    });
  }

  it('has every field of show, and words of set, in its man page', () => {
    assert.deepEqual(Object.keys(FIELDS), [...SHOW_FIELDS]);
    for (const word of [...SHOW_FIELDS, ...SET_INTERFACE_WORDS, ...SET_PEER_WORDS, 'remove']) {
      assert.ok(new RegExp(`(\\.B |\\.BR |\\\\fB)${word}\\b`).test(MAN), word);
    }
  });
});
