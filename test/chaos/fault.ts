import type { Role } from './machine.ts';
import type { PullEnd } from './pulls.ts';
import type { AccessKind } from './registry-access.ts';
import type { Schedule } from './schedule.ts';
import type { World } from './world.ts';

/** What a run must keep to beside the invariants that hold for every run. */
export interface FaultLimits {
  /** Slowest pull of those that count, over the same in calm. @default nothing is said of it, and no calm pull made */
  readonly makespanRatio?: number;
  /** What the registry sent during the struck pull, over the size of the image. */
  readonly registryRatio?: number;
  /** So many attempts of a client may be cut off; the next one must succeed. @default 0 */
  readonly mayCut?: number;
}

/** One row of the table: what goes wrong, and what must hold all the same. */
export interface Fault {
  readonly name: string;
  /** In words, for reports. */
  readonly what: string;
  readonly limits: FaultLimits;
  /** Who may read the registry. @default 'public' */
  readonly access?: AccessKind;
  /** Flags of all starts of a machine. */
  flags?(role: Role, index: number): readonly string[];
  /** Between the calm pull and the struck one. */
  prepare?(world: World): Promise<void>;
  /** Plans what happens during the struck pull. */
  plan?(world: World, schedule: Schedule): void;
  /** Instead of one pull on all nodes. */
  drive?(world: World, schedule: Schedule): Promise<readonly PullEnd[]>;
  /** Allowance to add to the registry's ratio, measured when it struck. */
  allowance?(world: World): number;
  /** Once all pulls have ended: why the fault was not felt, or undefined. Ends the fault where it would hide a leak. */
  after?(world: World): Promise<string | undefined>;
}
