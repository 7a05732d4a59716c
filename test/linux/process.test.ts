import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { release } from 'node:os';
import { describe, it } from 'node:test';

const module = JSON.stringify(new URL('../../src/linux/process.js', import.meta.url).href);
const [major = 0, minor = 0] = release().split('.').map(Number);
const hasSlices = major > 6 || (major === 6 && minor >= 12);

/** What `shortenTimeSlices` tells in a process of its own, and that process's nice value. @param by a command that starts it */
function shorten(...by: string[]): number[] {
  const script = `
    const { shortenTimeSlices } = await import(${module});
    const { getPriority } = await import('node:os');
    console.log(JSON.stringify([shortenTimeSlices(100_000), getPriority(0)]));
  `;
  const [command = '', ...words] = [...by, process.execPath, '--input-type=module', '--eval', script];
  return JSON.parse(execFileSync(command, words, { encoding: 'utf8' })) as number[];
}

describe('shortenTimeSlices', () => {
  it('sets the slice where the kernel has it, and nothing else', () => {
    assert.deepEqual(shorten('nice', '-n', '3'), [hasSlices ? 100_000 : 0, 3]);
  });

  it('leaves another policy alone', () => {
    assert.deepEqual(shorten('chrt', '--batch', '0'), [0, 0]);
  });
});
