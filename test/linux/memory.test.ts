import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import koffi from 'koffi';
import { releaseStartupPages } from '../../src/linux/memory.js';

const PAGE = 4096;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE = 2;

/** Resident pages of files, KiB. */
function residentFileKib(status: string): number {
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(status)?.[1]);
}

describe('releaseStartupPages', () => {
  it('gives back what the start of Node.js touched, and what comes after runs as before', () => {
    const module = new URL('../../src/linux/memory.js', import.meta.url).href;
    const program = `
      import { createHash } from 'node:crypto';
      import { readFileSync } from 'node:fs';
      import { releaseStartupPages } from ${JSON.stringify(module)};
      const before = readFileSync('/proc/self/status', 'utf8');
      releaseStartupPages();
      const after = readFileSync('/proc/self/status', 'utf8');
      const hash = createHash('blake2s256').update('typetun').digest('hex');
      console.log(JSON.stringify({ before, after, hash, year: new Date(0).toLocaleDateString('de') }));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    const { before, after, hash, year } = JSON.parse(said) as Record<'before' | 'after' | 'hash' | 'year', string>;
    const kib = [residentFileKib(before), residentFileKib(after)] as const;
    assert.ok(kib[1] < kib[0] / 2, `${kib[0]} KiB before, ${kib[1]} KiB after`);
    assert.equal(hash, createHash('blake2s256').update('typetun').digest('hex'));
    assert.equal(year, new Date(0).toLocaleDateString('de'));
  });

  it('leaves what was written to a private mapping of a file that is read-only now', () => {
    const libc = koffi.load(null);
    const mmap = libc.func('mmap', 'int64_t', ['uintptr_t', 'size_t', 'int', 'int', 'int', 'int64_t']);
    const mprotect = libc.func('mprotect', 'int', ['uintptr_t', 'size_t', 'int']);
    const munmap = libc.func('munmap', 'int', ['uintptr_t', 'size_t']);
    const folder = mkdtempSync(join(tmpdir(), `typetun-memory-${process.pid}-`));
    const path = join(folder, 'file');
    writeFileSync(path, new Uint8Array(PAGE).fill(1));
    const fd = openSync(path, 'r');
    const at = Number(mmap(0, PAGE, PROT_READ_WRITE, MAP_PRIVATE, fd, 0));
    closeSync(fd);
    try {
      assert.ok(at > 0);
      new Uint8Array(koffi.view(at, PAGE)).fill(2);
      assert.equal(mprotect(at, PAGE, PROT_READ), 0);
      assert.match(readFileSync('/proc/self/maps', 'utf8'), new RegExp(`^\\S+ r--p .* ${path}$`, 'm'));
      releaseStartupPages();
      assert.deepEqual(new Uint8Array(koffi.view(at, PAGE)), new Uint8Array(PAGE).fill(2));
    } finally {
      munmap(at, PAGE);
      rmSync(folder, { recursive: true });
    }
  });
});
