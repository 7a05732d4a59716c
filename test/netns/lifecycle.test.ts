import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { LIFECYCLE } from './scenarios/lifecycle.js';

withNamespaces(import.meta.filename, () => register(LIFECYCLE));
