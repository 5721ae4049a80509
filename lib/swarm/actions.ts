/**
 * What a core decides, written into one reused buffer: no allocation per decision. The caller reads entries
 * 0..length-1 and then clears. Fields that a kind does not use are -1.
 */
export const Action = {
  /** Fetch `piece` of `blob` from `peer`; report back under `request`. */
  request: 0,
  /** Give up `request` (another copy arrived first, or the peer is gone). */
  cancel: 1,
  /** Tell every neighbour that shares `blob` that we now hold `piece`. */
  have: 2,
  /** Tell `peer` our slots: one is kept for it, or the one that was kept for us is not needed. */
  slots: 3,
  /** Seed to peer: take `piece` of `blob`, a slot is kept for you. */
  offer: 4,
  /** Peer to seed: no, thanks (already here, coming from elsewhere, or no free download slot). */
  decline: 5,
  /** Tell `peer` that we want pieces it has but cannot ask now (it has no free slot): it will send its slots. */
  hungry: 6,
} as const;
export type ActionKind = (typeof Action)[keyof typeof Action];

export class ActionBuffer {
  length = 0;
  kind = new Uint8Array(64);
  peer = new Int32Array(64);
  blob = new Int32Array(64);
  piece = new Int32Array(64);
  request = new Int32Array(64);

  push(kind: ActionKind, peer: number, blob: number, piece: number, request: number): void {
    const at = this.length;
    if (at === this.kind.length) this.#grow();
    this.kind[at] = kind;
    this.peer[at] = peer;
    this.blob[at] = blob;
    this.piece[at] = piece;
    this.request[at] = request;
    this.length = at + 1;
  }

  clear(): void {
    this.length = 0;
  }

  #grow(): void {
    const size = this.kind.length * 2;
    const kind = new Uint8Array(size);
    kind.set(this.kind);
    this.kind = kind;
    this.peer = grown(this.peer, size);
    this.blob = grown(this.blob, size);
    this.piece = grown(this.piece, size);
    this.request = grown(this.request, size);
  }
}

function grown(from: Int32Array, size: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(size);
  to.set(from);
  return to;
}
