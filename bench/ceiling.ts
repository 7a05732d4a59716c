/** The daemon around ceiling-worker.ts, as far as a measurement needs one: `node dist/bench/ceiling.js -f NAME`. */
import { once } from 'node:events';
import { startEngine } from '../src/engine/index.js';
import { listenUapi } from '../src/uapi/server.js';

const log = (_level: string, message: string): void => void process.stderr.write(`${message}\n`);
const ended = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
const name = process.argv.at(-1) ?? '';
const engine = await startEngine({ name, log }, new URL('./ceiling-worker.js', import.meta.url));
const uapi = await listenUapi({
  name: engine.interfaceName,
  target: engine,
  log,
});
await Promise.race([ended, uapi.removed, engine.ended]);
await uapi.close();
await engine.close();
