import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { LOOPS } from './scenarios/loops.js';

withNamespaces(import.meta.filename, () => register(LOOPS));
