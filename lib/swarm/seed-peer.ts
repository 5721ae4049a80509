import type { PeerPace } from './gift-pace.ts';
import type { PassingOn } from './gift-spread.ts';
import type { FarValue } from './seed-blob.ts';

/** Number of the supernode's own zone. */
export const OWN_ZONE = 0;
export const NEVER = -1;

/** A node as the seed that it is linked to knows it. */
export interface SeedPeer extends PeerPace, PassingOn {
  /** Number of its zone. */
  readonly zone: number;
  /** Downloads it could start: last told, less what was offered since. */
  down: number;
  /** Slots of ours that it takes. */
  active: number;
  /** Number of the last gift to it: the lowest waited longest. */
  lastGift: number;
  /** The same of the last one that it had told us that it waits for. */
  lastWant: number;
  /** When it last got a piece from anywhere (at first: when it first told its slots), milliseconds; or {@link NEVER}. */
  gotAt: number;
}

export function newSeedPeer(zone: number, far: FarValue): SeedPeer {
  return {
    zone,
    far,
    down: 0,
    active: 0,
    lastGift: 0,
    lastWant: 0,
    gotAt: NEVER,
    slowness: 1,
    kept: 0,
    keptAt: 0,
  };
}
