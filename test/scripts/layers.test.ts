import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { judgeImport, layerViolations } from '../../scripts/layers.js';

const ROOT = resolve(import.meta.dirname, '../../..');

/** Calls `body` with a small project that has these sources. */
function withProject(sources: Readonly<Record<string, string>>, body: (root: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'typetun-layers-'));
  try {
    writeFileSync(join(root, 'tsconfig.json'), '{"compilerOptions":{"module":"NodeNext"},"include":["src"]}');
    for (const [path, text] of Object.entries(sources)) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    body(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('layer check', () => {
  const allowed: [from: string, specifier: string][] = [
    ['src/core/noise.ts', './messages.js'],
    ['src/linux/udp.ts', './ffi.js'],
    ['src/linux/ffi.ts', 'koffi'],
    ['src/linux/netlink.ts', 'node:fs'],
    ['src/crypto/evp.ts', '../linux/ffi.js'],
    ['src/crypto/evp.ts', '../core/suite.js'],
    ['src/crypto/noble.ts', '@noble/ciphers/chacha.js'],
    ['src/crypto/noble.ts', '../core/batch.js'],
    ['src/offload/split.ts', '../core/ip-header.js'],
    ['src/engine/worker.ts', '../core/device.js'],
    ['src/cli/main.ts', '../engine/handle.js'],
  ];
  for (const [from, specifier] of allowed) {
    it(`lets ${from} import ${specifier}`, () => assert.equal(judgeImport(from, specifier), undefined));
  }

  const refused: [from: string, specifier: string][] = [
    ['src/core/noise.ts', 'node:crypto'],
    ['src/core/noise.ts', '@noble/hashes/blake2.js'],
    ['src/core/device.ts', '../linux/clock.js'],
    ['src/linux/udp.ts', '../core/endpoint.js'],
    ['src/linux/udp.ts', 'koffi'],
    ['src/crypto/noble.ts', '../linux/ffi.js'],
    ['src/crypto/noble.ts', 'node:crypto'],
    ['src/crypto/evp.ts', '../linux/udp.js'],
    ['src/crypto/evp.ts', '../core/device.js'],
    ['src/offload/split.ts', '../core/ip-header-other.js'],
    ['src/uapi/server.ts', '../engine/handle.js'],
    ['src/config/parse.ts', 'node:fs'],
    ['src/engine/worker.ts', '../cli/main.js'],
    ['src/engine/worker.ts', '../../test/helper.js'],
    ['src/elsewhere/a.ts', './b.js'],
  ];
  for (const [from, specifier] of refused) {
    it(`refuses ${specifier} in ${from}`, () => assert.equal(typeof judgeImport(from, specifier), 'string'));
  }

  it('finds every form of import in a project, and only the wrong ones', () => {
    const sources = {
      'src/core/good.ts': "export const text = `import 'node:fs'`; // import 'node:fs'\n",
      'src/core/static.ts': "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n",
      'src/core/dynamic.ts': "export const later = () => import('node:os');\n",
      'src/core/again.ts': "export { good } from '../linux/good.js';\n",
      'src/core/type.ts': "export type Q = import('node:net').Socket;\n",
      'src/core/side.ts': "import 'koffi';\nexport {};\n",
      'src/linux/good.ts': 'export const good = 1;\n',
    };
    withProject(sources, (root) => {
      assert.deepEqual(layerViolations(root), [
        'src/core/again.ts: core may not import linux/good',
        'src/core/dynamic.ts: core may not import node:os',
        'src/core/side.ts: core may not import the package koffi',
        'src/core/static.ts: core may not import node:fs',
        'src/core/type.ts: core may not import node:net',
      ]);
    });
  });

  it('finds nothing wrong in this checkout', () => assert.deepEqual(layerViolations(ROOT), []));
});

describe("the core's own tsconfig", () => {
  const globals = ['setTimeout(() => {}, 1)', 'console.log(1)', 'process.pid', 'performance.now()', 'Buffer.alloc(1)'];
  for (const expression of [...globals, 'crypto.randomUUID()', 'document.title', "fetch('')"]) {
    it(`refuses ${expression}`, () => {
      const root = mkdtempSync(join(tmpdir(), 'typetun-core-'));
      try {
        const base = JSON.stringify(join(ROOT, 'src/core/tsconfig.json'));
        writeFileSync(
          join(root, 'tsconfig.json'),
          `{"extends":${base},"compilerOptions":{"rootDir":"."},"include":["."]}`,
        );
        writeFileSync(join(root, 'package.json'), '{"type":"module"}');
        writeFileSync(join(root, 'bad.ts'), `export const bad: unknown = ${expression};\n`);
        const tsc = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', root]);
        assert.notEqual(tsc.status, 0);
        assert.match(`${tsc.stdout}`, /Cannot find name/);
      } finally {
        rmSync(root, { recursive: true });
      }
    });
  }
});
