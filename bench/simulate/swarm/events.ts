/** What happens; the fields of an event (a, b, c, d) are given behind it. */
export const Happens = {
  /** flow, version: the last byte leaves its sender. */
  flowEnds: 0,
  /** flow, generation: a request for a piece is there. */
  request: 1,
  /** flow, generation: the last byte is there. */
  arrived: 2,
  /** flow, generation: the piece is checked and stored. */
  stored: 3,
  /** flow, generation, free slots of the sender: it has no slot for us. */
  busy: 4,
  /** flow, generation: nothing has been taken by the receiver for too long. */
  uploadStalls: 5,
  /** end, its link, free slots up and down in one number, 1 = hungry. */
  slots: 6,
  /** end, its link, blob and piece in one number, free slots. */
  offer: 7,
  decline: 8,
  /** end: time to tell neighbours what it has got. */
  haveDue: 9,
  /** end, message, free slots: all its neighbours hear of it. */
  have: 10,
  /** group of ends. */
  tick: 11,
  /** node: its caller asks for the image. */
  asked: 12,
  /** node, blob or -1 = all, kind of announcement: it is at the tracker. */
  announce: 13,
  /** node, answer: the tracker's answer is there. */
  neighbours: 14,
  /** end, end: they have said hello. */
  linkUp: 15,
  /** end, end: they notice that their link is broken. */
  linkDown: 16,
  /** Nodes die. */
  crash: 17,
  /** Seeds die. */
  seedCrash: 18,
  /** The tracker and the neighbours notice that the seeds are dead. */
  seedsLost: 19,
  /** node: it looks whether it has enough neighbours. */
  askAgain: 20,
  /** node: the registry has told it its layers. */
  ready: 21,
  /** node, blob or -1 = all, kind of announcement: the tracker has dealt with it. */
  answered: 22,
  /** seed, number of an import: another site brings a blob from it. */
  importerMet: 23,
  /** number of an import: there is news at where it brings from. */
  importable: 24,
  /** flow, request: it has reached the seed from which a piece is brought into a site. */
  importStarts: 25,
  /** zone: its border goes down. */
  siteCut: 26,
  /** zone: the trackers on either side notice that those on the other one are gone. */
  siteLost: 27,
  /** The border is up again. */
  siteHeals: 28,
} as const;

/** Free slots up and down in one number: an event carries few. */
export function packSlots(up: number, down: number): number {
  return (Math.max(0, up) << 8) | Math.max(0, down);
}

const PIECE_BITS = 22;
const PIECE_MASK = (1 << PIECE_BITS) - 1;
/** Blobs of one scenario at most, so that blob and piece fit in one number. */
export const MAX_BLOBS = 1 << (31 - PIECE_BITS);

export function packPiece(blob: number, piece: number): number {
  return (blob << PIECE_BITS) | piece;
}

export function blobOf(packed: number): number {
  return packed >>> PIECE_BITS;
}

export function pieceOf(packed: number): number {
  return packed & PIECE_MASK;
}
