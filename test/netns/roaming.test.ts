import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { ROAMING } from './scenarios/roaming.js';

withNamespaces(import.meta.filename, () => register(ROAMING));
