import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { ROUTING } from './scenarios/routing.js';

withNamespaces(import.meta.filename, () => register(ROUTING));
