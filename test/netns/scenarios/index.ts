/** Every scenario, by the test file (GROUP.test.ts) that registers it. */
import type { Scenario } from '../scenario.js';
import { CONFIGURATION } from './configuration.js';
import { LIFECYCLE } from './lifecycle.js';
import { LOOPS } from './loops.js';
import { ROAMING } from './roaming.js';
import { ROUTING } from './routing.js';
import { STICKY } from './sticky.js';
import { TRAFFIC } from './traffic.js';

export const GROUPS: Readonly<Record<string, readonly Scenario[]>> = {
  traffic: TRAFFIC,
  roaming: ROAMING,
  loops: LOOPS,
  routing: ROUTING,
  sticky: STICKY,
  configuration: CONFIGURATION,
  lifecycle: LIFECYCLE,
};
