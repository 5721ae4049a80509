import type { Digest } from '../../core/digest.ts';
import type { PeerInfo } from '../../core/node.ts';
import { NO_TRACER, type Tracer } from '../../observe/spans.ts';

/** Of one blob: whoever comes later is not told of. A reader that stays for days sees no end of them. */
const MAX_SENDERS = 256;

/** How one piece came from a neighbour, or did not; clock times of the process, milliseconds. */
interface Sent {
  readonly askedMs: number;
  /** Its last byte came then, or it was given up. */
  readonly untilMs: number;
  /** 0: it did not come, or not as it should be. */
  readonly bytes: number;
  /** It was given up, since another copy of it was here first. */
  readonly overtaken: boolean;
}

interface Sender {
  readonly peer: PeerInfo;
  readonly sinceMs: number;
  untilMs: number;
  bytes: number;
  pieces: number;
  lost: number;
  overtaken: number;
  transferMs: number;
  slowestMs: number;
}

/** What each neighbour sent of one blob while clients read it: one span a neighbour, since a pull has thousands of pieces. */
export class Senders {
  readonly #byId = new Map<string, Sender>();
  #traceparent: string | undefined;

  /** @param traceparent of the pull that reads it now; of several, all count for the first one */
  note(peer: PeerInfo, { askedMs, bytes, overtaken, untilMs }: Sent, traceparent: string): void {
    this.#traceparent ??= traceparent;
    if (this.#byId.size >= MAX_SENDERS && !this.#byId.has(peer.id)) return;
    const none = { bytes: 0, pieces: 0, lost: 0, overtaken: 0, transferMs: 0, slowestMs: 0 };
    const sender = this.#byId.get(peer.id) ?? { peer, sinceMs: askedMs, untilMs, ...none };
    this.#byId.set(peer.id, sender);
    const tookMs = untilMs - askedMs;
    sender.untilMs = untilMs;
    sender.transferMs += tookMs;
    sender.slowestMs = Math.max(sender.slowestMs, tookMs);
    if (overtaken) sender.overtaken++;
    else if (bytes === 0) sender.lost++;
    else {
      sender.pieces++;
      sender.bytes += bytes;
    }
  }

  /** Nobody reads the blob any more: their spans are sent, and the next reader begins anew. */
  tell(digest: Digest, tracer: Tracer = NO_TRACER): void {
    for (const sender of this.#byId.values()) {
      const { bytes, lost, overtaken, peer, pieces, sinceMs, slowestMs, transferMs, untilMs } = sender;
      const span = tracer.begin('get pieces', {
        kind: 'client',
        parent: this.#traceparent,
        sinceMs,
        facts: {
          'server.address': peer.host,
          'server.port': peer.port,
          'damselfly.blob.digest': digest,
          'damselfly.peer.id': peer.id,
          'damselfly.peer.role': peer.role,
          'damselfly.peer.zone': peer.zone,
          'damselfly.pieces.received': pieces,
          'damselfly.pieces.lost': lost,
          'damselfly.pieces.overtaken': overtaken,
          'damselfly.bytes.received': bytes,
          'damselfly.transfer.ms': Math.round(transferMs),
          'damselfly.slowest_piece.ms': Math.round(slowestMs),
        },
      });
      span.end(pieces === 0 ? 'no-piece' : undefined, untilMs);
    }
    this.#byId.clear();
    this.#traceparent = undefined;
  }
}
