/** `typetun/core` and `typetun/config`, bundled for a browser and run in one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { build } from 'esbuild';
import { mustRun, ROOT, run } from './project.js';

/** For root, without a graphics card, and without a word to anybody outside. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Of two devices and the parser, minified: about what it is, so that an accidental import is noticed. */
const MAX_BUNDLE_BYTES = 160_000;

describe('in a browser', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'typetun-browser-'));
  after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  const page = join(folder, 'page.html');

  async function bundle(entry: string): Promise<string> {
    const { outputFiles } = await build({
      entryPoints: [join(ROOT, entry)],
      bundle: true,
      minify: true,
      format: 'iife',
      platform: 'browser',
      target: 'es2022',
      write: false,
    });
    return outputFiles[0]!.text;
  }

  it('two devices shake hands and exchange data', async (context) => {
    const browser = ['chromium', 'chromium-browser', 'google-chrome'].find(
      (name) => run('/', name, '--version').status === 0,
    );
    if (browser === undefined) {
      assert.ok(!process.env['CI'], 'CI needs chromium');
      return context.skip('needs chromium');
    }
    const script = await bundle('dist/test/package/browser-program.js');
    assert.ok(script.length < MAX_BUNDLE_BYTES, `${script.length} bytes`);
    writeFileSync(
      page,
      `<!doctype html><body>nothing ran</body><script>${script.replaceAll('</script', '<\\/script')}</script>`,
    );
    const dom = mustRun(
      folder,
      browser,
      ...FLAGS,
      `--user-data-dir=${join(folder, 'profile')}`,
      '--dump-dom',
      `file://${page}`,
    );
    const text = /<body>(.*?)(?:<script|<\/body)/s.exec(dom)?.[1] ?? dom;
    const { agent, ...result } = JSON.parse(text) as { agent: string };
    assert.match(agent, /Chrom/);
    assert.deepEqual(result, {
      hasProcess: false,
      areSame: true,
      handshakes: true,
      drops: [{}, {}],
      address: 'fd00::1/64',
      key: '[SecretKey]',
    });
  });
});
