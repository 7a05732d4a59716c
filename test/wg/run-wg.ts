/** `typetun wg` alone. */
import { run } from '../../src/cli/wg/main.js';

process.exitCode = await run(process.argv.slice(2));
