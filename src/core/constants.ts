/**
 * The protocol's numbers, and ours.
 */

// Specification constants (paper, section 6.1 unless said otherwise).

const MS = 1000;
export const REKEY_AFTER_TIME_MS: number = 120 * MS;
export const REJECT_AFTER_TIME_MS: number = 180 * MS;
const REKEY_ATTEMPT_TIME_MS = 90 * MS;
export const REKEY_TIMEOUT_MS: number = 5 * MS;
export const KEEPALIVE_TIMEOUT_MS: number = 10 * MS;
/** 2^60, as its upper 32 bits; the lower are zero. */
export const REKEY_AFTER_MESSAGES_HI: number = 2 ** 28;
/** 2^64 - 2^13 - 1, in two halves. */
export const REJECT_AFTER_MESSAGES_HI: number = 2 ** 32 - 1;
export const REJECT_AFTER_MESSAGES_LO: number = 2 ** 32 - 2 ** 13 - 1;
/** Keys are wiped this long after the last new session (section 6.3). */
export const KEYS_WIPED_AFTER_MS: number = 3 * REJECT_AFTER_TIME_MS;
/** A responder changes its cookie secret this often (section 5.4.7). */
export const COOKIE_REFRESH_TIME_MS: number = 120 * MS;
/** Added to the rekey timeout at random (section 6.1). */
export const REKEY_TIMEOUT_JITTER_MS = 333;
/** Cleartext is padded to a multiple of this (section 5.4.6). */
export const PADDING = 16;

// Implementation constants.

/** A sender trusts a received cookie a little shorter than its giver, for the way it travelled. */
export const COOKIE_USE_TIME_MS: number = COOKIE_REFRESH_TIME_MS - 5 * MS;
/** Handshake attempts after the first before we give up: the attempt time in rekey timeouts. */
export const MAX_HANDSHAKE_RETRIES: number = REKEY_ATTEMPT_TIME_MS / REKEY_TIMEOUT_MS;
/** Initiations accepted from one peer: at most one in this time. */
export const INITIATIONS_INTERVAL_MS = 20;
/** DSCP AF41, as the kernel's implementation marks handshakes. */
export const HANDSHAKE_TOS = 0x88;

/** Handshake messages waiting; under load from an eighth of that, and for a second after. */
export const HANDSHAKE_QUEUE_SIZE = 1024;
export const UNDER_LOAD_FROM: number = HANDSHAKE_QUEUE_SIZE / 8;
export const UNDER_LOAD_FOR_MS = 1000;
/** Cookie replies between two flushes; what would be the next is dropped without one. */
export const MAX_COOKIE_REPLIES = 8;

/** Handshakes under load, of one source. */
export const RATE_PER_SECOND = 20;
export const RATE_BURST = 5;
export const RATE_TABLE_SIZE = 65536;

/** Staged packets: of one peer, and 2 KiB cells of all together (32 MiB). */
export const MAX_STAGED_PACKETS = 128;
export const MAX_STAGED_CELLS = 16384;

export const MAX_PEERS: number = 2 ** 20;
/** Of both families together. */
export const MAX_PREFIXES: number = 2 ** 22;
/** Session objects kept for reuse. */
export const MAX_POOLED_SESSIONS = 64;
/** Events that nobody has fetched. */
export const MAX_EVENTS = 1024;

/** ICMP errors: how many may wait, their size (RFC 4443, section 2.4 c), and their rate. */
export const ICMP_RING = 16;
export const ICMP_MAX_SIZE = 1280;
export const ICMP_PER_SECOND = 100;
export const ICMP_BURST = 20;

/** How long a session is remembered to travel inside another one. */
export const LOOP_MEMORY_MS = 1000;
