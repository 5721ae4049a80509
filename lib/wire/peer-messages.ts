import type { Digest } from '../core/digest.ts';
import type { PeerInfo } from '../core/node.ts';
import type { PieceProof } from '../core/proof.ts';

export const PEER_PROTOCOL_VERSION = 1;

/** Free slots of the sender; every message that may change the receiver's next decision carries them. */
export interface Slots {
  /** Uploads it would accept now, 0..255. */
  readonly up: number;
  /** Downloads it could start now, 0..255. */
  readonly down: number;
}

/** What one member has signed of pieces of one blob, shown to others: lib/transfer/proofs/proof-judge.ts says what follows. */
export interface Evidence {
  readonly digest: Digest;
  readonly size: number;
  readonly pieceBytes: number;
  /** One, or two that contradict each other. */
  readonly proofs: readonly PieceProof[];
}

/** First message in both directions. Unknown fields are ignored, so that versions can differ across a rollout. */
export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly peer: PeerInfo;
  /** The sender's idea of cluster time, milliseconds since the epoch. */
  readonly clusterTimeMs: number;
  readonly slots: Slots;
}

/**
 * Peer control: what travels on the one WebSocket between two neighbours. `handle` is the sender's own short name for a
 * blob, given by its `open`; it stays valid until its `close`.
 */
export type PeerMessage =
  | Hello
  /** I share this blob: I hold or want pieces of it. */
  | {
      readonly type: 'open';
      readonly handle: number;
      readonly digest: Digest;
      readonly size: number;
      readonly pieceBytes: number;
    }
  /** I cannot dial you: open a connection to my peer port, on which I ask you for pieces. */
  | { readonly type: 'reverse' }
  /** I no longer share it. */
  | { readonly type: 'close'; readonly handle: number }
  /** I hold these pieces, with the proofs I verified them by. */
  | {
      readonly type: 'have';
      readonly handle: number;
      readonly proofs: readonly PieceProof[];
      readonly slots: Slots;
    }
  /** My free slots changed. `hungry`: tell me when you have one for me. */
  | { readonly type: 'slots'; readonly slots: Slots; readonly hungry: boolean }
  /** Supernode to node: fetch this piece from me, I keep a slot for you. */
  | { readonly type: 'offer'; readonly handle: number; readonly proof: PieceProof; readonly slots: Slots }
  /** Node to supernode: I do not take what you offered. */
  | { readonly type: 'decline'; readonly handle: number; readonly index: number; readonly slots: Slots }
  /** Node to supernode only: a client of mine waits for this piece, and nobody sends it: offer it to me next. */
  | { readonly type: 'want'; readonly handle: number; readonly index: number; readonly slots: Slots }
  /** Node to supernode only: where you can read this blob. `authorization` is a secret, kept in memory for one read. */
  | {
      readonly type: 'origin';
      readonly handle: number;
      readonly upstream: string;
      readonly repository: string;
      readonly authorization?: string;
    }
  /** Node to supernode only: the `origin` that follows for this blob is a part of this trace (W3C traceparent). */
  | { readonly type: 'traced'; readonly handle: number; readonly traceparent: string }
  /**
   * Whose signature it is that proofs carry, told before the first of them: a card (lib/security/signer-card.ts), or a
   * tracker's warrant for a node (lib/security/read-warrant.ts).
   */
  | { readonly type: 'voucher'; readonly text: string }
  | ({ readonly type: 'evidence' } & Evidence)
  /** I may get these blobs, in the order of its list: lib/security/capability.ts. Told before anything is asked of you. */
  | { readonly type: 'capability'; readonly text: string; readonly digests: readonly Digest[] }
  /** Supernode: these reads of the blob do not match its digest. I dropped what came from them; so should you. */
  | { readonly type: 'wrong'; readonly handle: number; readonly generations: readonly string[] }
  /** Supernode to node: I cannot read this blob from the registry. `handle` is the node's own, as in its `origin`. */
  | {
      readonly type: 'origin-failed';
      readonly handle: number;
      readonly code: string;
      readonly status: number;
      readonly message: string;
    };
