import { digestOf } from '../../lib/core/digest.ts';
import type { Rng } from '../../lib/runtime/rng.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
