/**
 * `typetun/config`: the configuration files of wg(8) and wg-quick(8), read, written and compared. Pure: no
 * file is opened, no name is looked up, nothing runs.
 */
export { changeOfPeer, changeToAdd, changeToSet } from './change.js';
export { type CurrentConfig, diffConfig } from './diff.js';
export { ConfigError, type ConfigErrorCode } from './errors.js';
export { decodeKey, encodeKey, KEY_BYTES, KEY_TEXT_BYTES } from './key.js';
export { MAX_CONFIG_BYTES } from './lines.js';
export { type ConfigWarning, type ParseOptions, parseConfig, parseQuickConfig } from './parse.js';
export { type PrintableConfig, type PrintablePeer, printConfig } from './print.js';
export { parseQuickLines } from './quick.js';
export { stripQuickLines } from './strip.js';
export type {
  PeerConfig,
  PeerEndpoint,
  QuickConfig,
  TextValue,
  WgQuickConfig,
  WireGuardConfig,
} from './types.js';
