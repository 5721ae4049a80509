/** What happens; the fields of an event are given behind it. */
export const Happens = {
  /** flow, version: the last byte leaves its sender. */
  flowEnds: 0,
  /** flow, version of the request: asks for a piece. */
  request: 1,
  /** flow, generation: the last byte is there. */
  arrived: 2,
  /** flow, generation, free slots of the sender: no free slot. */
  busy: 3,
  /** end, its link, free slots up and down in one number, 1 = hungry. */
  slots: 4,
  /** end, its link, piece, free slots. */
  offer: 5,
  decline: 6,
  /** end: time to tell neighbours what it has got. */
  haveDue: 7,
  /** end, message, free slots: all its neighbours hear of it. */
  have: 8,
  /** seed, piece: read from the registry. */
  landed: 9,
  /** group of ends. */
  tick: 10,
} as const;

/** Free slots up and down in one number: an event carries few. */
export function packSlots(up: number, down: number): number {
  return (Math.max(0, up) << 8) | Math.max(0, down);
}
