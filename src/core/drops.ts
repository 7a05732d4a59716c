/**
 * Why packets were dropped: each reason is counted, and nothing else is said to the network.
 */
const REASONS = [
  // On the way out.
  'badInnerPacketOut',
  'noPeer',
  'noEndpoint',
  'loop',
  'stagedFull',
  'stagedFlushed',
  'tooLong',
  'handshakeImpossible',
  'socketFull',
  'sendError',
  'icmpLimited',
  // On the way in.
  'tooShort',
  'badType',
  'badLength',
  'handshakeQueueFull',
  'badMac1',
  'underLoad',
  'rateLimited',
  'badHandshake',
  'unknownPeer',
  'replayedHandshake',
  'floodedHandshake',
  'badCookie',
  'unknownIndex',
  'expiredKeypair',
  'badTag',
  'replayed',
  'badInnerPacketIn',
  'badSource',
  'ecn',
  'tunFull',
  'tunError',
] as const;

export type DropReason = (typeof REASONS)[number];

/** Reasons as numbers. */
export const Drop: Readonly<Record<DropReason, number>> = Object.fromEntries(
  REASONS.map((reason, number) => [reason, number]),
) as Record<DropReason, number>;

export class DropCounters {
  readonly #counts: Float64Array = new Float64Array(REASONS.length);

  count(reason: number): void {
    this.#counts[reason]!++;
  }

  add(reason: number, packets: number): void {
    this.#counts[reason]! += packets;
  }

  /** The reasons that occurred, with their counts. */
  snapshot(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [number, reason] of REASONS.entries()) {
      if (this.#counts[number]! > 0) counts[reason] = this.#counts[number]!;
    }
    return counts;
  }
}
