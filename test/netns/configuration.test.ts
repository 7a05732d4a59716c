import { withNamespaces } from './harness.js';
import { register } from './scenario.js';
import { CONFIGURATION } from './scenarios/configuration.js';

withNamespaces(import.meta.filename, () => register(CONFIGURATION));
