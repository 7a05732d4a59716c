import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { TRAFFIC } from './scenarios/traffic.js';

withNamespaces(import.meta.filename, () => register(TRAFFIC));
