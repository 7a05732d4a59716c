/** The packed package in a project of somebody else: TypeScript and JavaScript, every supported Node.js, any OpenSSL. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FULL } from '../netns/environment.js';
import { BROWSER_PROGRAM, fetchProgram, PROGRAM } from './consumer.js';
import { insideOf, unpackDebian13 } from './debian13.js';
import { documentedPrograms, SURROUNDINGS } from './documents.js';
import { mustRun, Project, ROOT, run } from './project.js';

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const STRICT = [
  '--strict',
  '--noEmitOnError',
  '--pretty',
  'false',
  '--exactOptionalPropertyTypes',
  '--target',
  'es2022',
];
const MAJORS = ['22', '24', '26'] as const;
/** The major of undici for each Node.js: what its own fetch is made of, or the next that runs there. */
const UNDICI: Readonly<Record<string, string>> = { '20': '6', '22': '6', '24': '7', '26': '8' };
/** The oldest that knows `await using`; the newest is this project's own. */
const COMPILERS = FULL ? ['5.2', '5.4', '5.9', '6'] : ['5.2'];
const isRoot = process.getuid?.() === 0 && existsSync('/dev/net/tun');
const name = `tucon${process.pid}`;

describe('the package in a project of its own', { timeout: 300_000 }, () => {
  const project = new Project();
  let isInstalled = false;
  before(() => {
    // The npm packages of Node.js are its official binaries, by processor.
    const nodes = MAJORS.map((major) => `node${major}@npm:node-linux-${process.arch}@${major}`);
    const undici = [...new Set(Object.values(UNDICI))].map((major) => `undici${major}@npm:undici@${major}`);
    const compilers = COMPILERS.map((version) => `typescript${version}@npm:typescript@${version}`);
    isInstalled = project.installPackage('@types/node@20', 'undici@6', ...nodes, ...undici, ...compilers);
  });
  after(() => project.remove());

  /** Runs the program in a network of its own, where this is root: there it makes a host device too. */
  function consume(node: readonly string[], env: Readonly<Record<string, string>> = {}): Record<string, unknown> {
    const words = ['env', ...Object.entries(env).map(([key, value]) => `${key}=${value}`), ...node];
    if (isRoot) words.unshift('unshare', '--net');
    const [program = '', ...args] = [...words, ...(isRoot ? [name] : [])];
    return JSON.parse(mustRun(project.folder, program, ...args)) as Record<string, unknown>;
  }

  function expected(major: string): Record<string, unknown> {
    return {
      node: major,
      packets: [40],
      addresses: ['10.0.0.1/24'],
      printed: '[Interface]\nListenPort = 7\n',
      code: 'ERR_UAPI_NO_DEVICE',
      port: isRoot ? 51999 : -1,
      refused: isRoot ? 'ERR_INVALID_ARGUMENT' : '',
      key: '[SecretKey]',
    };
  }

  it('compiles with the strictest types, and runs on every Node.js it supports', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    project.write('program.ts', PROGRAM);
    const options = ['--module', 'nodenext', '--lib', 'es2023', '--types', 'node'];
    mustRun(project.folder, process.execPath, TSC, ...STRICT, ...options, 'program.ts');
    const [own = ''] = process.versions.node.split('.');
    assert.deepEqual(consume([process.execPath, 'program.js']), expected(own));
    for (const major of MAJORS) {
      const node = join(project.folder, `node_modules/node${major}/bin/node`);
      assert.deepEqual(consume([node, 'program.js']), expected(major));
      const version = run(project.folder, node, 'node_modules/typetun/bin/typetun', '--version');
      assert.match(version.stdout, /AEAD: primitives/);
    }
  });

  it('has types for every compiler since 5.2, and every way to find them', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    project.write('typed.ts', PROGRAM);
    for (const compiler of COMPILERS) {
      for (const [module, resolution] of [
        ['node16', 'node16'],
        ['nodenext', 'nodenext'],
        ['esnext', 'bundler'],
      ] as const) {
        const found = ['--module', module, '--moduleResolution', resolution];
        const options = [...found, '--lib', 'es2022,esnext.disposable', '--types', 'node', '--noEmit'];
        const tsc = `node_modules/typescript${compiler}/bin/tsc`;
        mustRun(project.folder, process.execPath, tsc, ...STRICT, ...options, 'typed.ts');
      }
    }
  });

  it('compiles what the documents show', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    const programs = documentedPrograms();
    assert.ok(programs.size >= 8);
    project.write('surroundings.ts', SURROUNDINGS);
    for (const [file, text] of programs) project.write(file, text);
    const options = ['--module', 'nodenext', '--lib', 'es2023,esnext.disposable', '--types', 'node', '--noEmit'];
    const strict = [...STRICT, '--noUncheckedIndexedAccess', '--skipLibCheck'];
    mustRun(project.folder, process.execPath, TSC, ...strict, ...options, 'surroundings.ts', ...programs.keys());
  });

  it('fetch goes through a tunnel, with the undici of each Node.js', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    if (!isRoot) return context.skip('needs root and /dev/net/tun');
    const options = ['--module', 'nodenext', '--lib', 'es2023', '--types', 'node', '--skipLibCheck'];
    const [own = ''] = process.versions.node.split('.');
    for (const major of new Set([own, ...MAJORS])) {
      project.write('fetch.ts', fetchProgram(`undici${UNDICI[major]}`));
      mustRun(project.folder, process.execPath, TSC, ...STRICT, ...options, 'fetch.ts');
      const node = major === own ? process.execPath : join(project.folder, `node_modules/node${major}/bin/node`);
      assert.equal(mustRun(project.folder, node, 'fetch.js'), `${major} true ECONNREFUSED\n`);
    }
  });

  it('compiles for a browser without the types of Node.js', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    project.write('browser.ts', BROWSER_PROGRAM);
    const options = [
      '--module',
      'esnext',
      '--moduleResolution',
      'bundler',
      '--lib',
      'es2022,dom',
      '--types',
      '',
      '--noEmit',
    ];
    mustRun(project.folder, process.execPath, TSC, ...STRICT, ...options, 'browser.ts');
  });

  it('is loaded by require as well, and has nothing but its subpaths', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    const script = `
      const { SecretKey } = require('typetun');
      let code;
      try { require('typetun/dist/src/index.js'); } catch (error) { code = error.code; }
      console.log(SecretKey.generatePresharedKey().toBytes().length, code);`;
    assert.equal(
      mustRun(project.folder, process.execPath, '--no-warnings', '--input-type=commonjs', '-e', script),
      '32 ERR_PACKAGE_PATH_NOT_EXPORTED\n',
    );
  });

  it('does nothing but define when it is imported', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    const script = `
      const look = async () => {
        // What loading the modules themselves left to do.
        await new Promise((resolve) => setTimeout(resolve, 100));
        return {
          globals: Object.getOwnPropertyNames(globalThis),
          listeners: process.eventNames().map((name) => String(name) + process.listenerCount(name)),
          resources: process.getActiveResourcesInfo(),
          environment: Object.keys(process.env),
          builtIns: [Object, Array, Uint8Array, Promise, Function].map((it) => Reflect.ownKeys(it.prototype).map(String)),
        };
      };
      await import('node:worker_threads');
      const before = await look();
      for (const subpath of ['', '/core', '/config', '/uapi']) await import('typetun' + subpath);
      const after = await look();
      console.log(Object.keys(after).filter((what) => String(after[what]) !== String(before[what])).join());`;
    assert.equal(mustRun(project.folder, process.execPath, '--input-type=module', '-e', script), '\n');
  });

  it('works with evp, and with JavaScript alone', (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    const [own = ''] = process.versions.node.split('.');
    for (const TYPETUN_AEAD of ['evp', 'noble']) {
      assert.deepEqual(consume([process.execPath, 'program.js'], { TYPETUN_AEAD }), expected(own));
    }
  });

  it("works with Debian 13's Node.js, whose OpenSSL is a shared library", (context) => {
    if (!isInstalled) return context.skip('the package registry cannot be reached');
    if (!isRoot || run('/', 'apt-get', '--version').status !== 0)
      return context.skip('needs root, /dev/net/tun and apt-get');
    const folder = join(project.folder, 'debian13');
    mkdirSync(folder);
    const root = unpackDebian13(folder);
    cpSync(join(project.folder, 'node_modules/typetun'), join(root, 'app/node_modules/typetun'), { recursive: true });
    for (const dependency of ['koffi', '@koromix', '@noble']) {
      const from = join(project.folder, 'node_modules', dependency);
      if (existsSync(from)) cpSync(from, join(root, 'app/node_modules', dependency), { recursive: true });
    }
    for (const file of ['package.json', 'program.js']) cpSync(join(project.folder, file), join(root, 'app', file));
    const [program = '', ...words] = insideOf(root);
    const inside = (...more: string[]): string => mustRun('/', program, ...words, '/usr/bin/node', ...more);
    assert.match(inside('/app/node_modules/typetun/dist/src/cli/main.js', '--version'), /AEAD: evp \(OpenSSL 3\./);
    assert.deepEqual(JSON.parse(inside('/app/program.js', name)), expected('20'));
  });
});
