import type { PieceEvent, Waited } from './trace.ts';

/**
 * What a client waited for:
 * - `authorization`: the registry's word that it may read the blob
 * - `first-piece`: anybody to have the first piece
 * - `source`: anybody linked to have the piece; its reader, a supernode as a rule, had not brought it yet
 * - `slots`: a free slot to send it, here or there
 * - `transfer`: the bytes of the piece, from its sender
 * - `verification`: hash and disk, and the digest of the whole blob
 */
export const CAUSES = [
  'authorization',
  'first-piece',
  'source',
  'slots',
  'transfer',
  'verification',
] as const;
export type Cause = (typeof CAUSES)[number];

/** A stretch of a client's waiting, and who it waited for, if that is known. */
export interface Stretch {
  readonly cause: Cause;
  readonly ms: number;
  /** Id of a peer, or `registry`. */
  readonly on?: string;
}

/** What the registry is called where others have ids. */
export const REGISTRY = 'registry';

/**
 * Cuts a client's wait for a piece at what happened to that piece.
 * @param untilMs when the wait ended
 * @param piece how it came; undefined when it is not known, and then all of it is `source`
 * @param first whether nothing of the blob had come before
 * @param reader who read it from the registry, as far as is known
 */
export function stretchesOf(
  wait: Pick<Waited, 'sinceMs'>,
  untilMs: number,
  piece: (PieceEvent & { readonly atMs: number }) | undefined,
  first: boolean,
  reader: string | undefined,
): Stretch[] {
  const { sinceMs } = wait;
  const unknown: Cause = first ? 'first-piece' : 'source';
  const on = reader === undefined ? {} : { on: reader };
  if (piece === undefined) return stretch({ cause: unknown, ms: untilMs - sinceMs, ...on });
  const isDirect = piece.source === 'origin';
  const sender = isDirect ? REGISTRY : piece.from;
  const from = sender === undefined ? {} : { on: sender };
  // Each is at least the one before it: a piece may be asked for at once, and be here before the client waits.
  let at = sinceMs;
  const until = (timeMs: number | undefined): number => {
    const end = Math.min(untilMs, Math.max(at, timeMs ?? at));
    const ms = end - at;
    at = end;
    return ms;
  };
  const known = until(piece.knownMs ?? piece.askedMs);
  const asked = until(piece.askedMs);
  const arrived = until(piece.arrivedMs);
  return [
    ...stretch({ cause: unknown, ms: known, ...(isDirect ? {} : on) }),
    ...stretch({ cause: 'slots', ms: asked, ...from }),
    ...stretch({ cause: 'transfer', ms: arrived, ...from }),
    ...stretch({ cause: 'verification', ms: untilMs - at }),
  ];
}

function stretch(stretch: Stretch): Stretch[] {
  return stretch.ms > 0 ? [stretch] : [];
}

/** Generation of a read -> the supernode that most of its pieces came from straight: whoever read it, or copied it first. */
export class Readers {
  readonly #bytes = new Map<string, Map<string, number>>();

  note({ bytes, from, generation, source }: PieceEvent): void {
    if (source !== 'supernode' || from === undefined) return;
    const senders = this.#bytes.get(generation) ?? new Map<string, number>();
    this.#bytes.set(generation, senders);
    senders.set(from, (senders.get(from) ?? 0) + bytes);
  }

  of(piece: PieceEvent | undefined): string | undefined {
    if (piece === undefined) return undefined;
    if (piece.source === 'supernode') return piece.from;
    let best: string | undefined;
    let most = 0;
    for (const [id, bytes] of this.#bytes.get(piece.generation) ?? []) {
      if (bytes > most) [best, most] = [id, bytes];
    }
    return best;
  }
}
