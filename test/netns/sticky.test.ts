import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { STICKY } from './scenarios/sticky.js';

withNamespaces(import.meta.filename, () => register(STICKY));
