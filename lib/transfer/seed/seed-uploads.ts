import { IMPORTS_PER_SOURCE } from '../../swarm/import-plan.ts';
import type { SeedCore } from '../../swarm/seed-core.ts';
import type { Decisions } from '../decisions.ts';
import { isSupernode, type Neighbour } from '../peers/neighbour.ts';
import { Uploads, type UploadsDeps, type UploadsHost } from '../peers/uploads.ts';

/** A gateway asks for the next piece before we have seen the end of the last one. */
const MOST_IMPORTS = 2 * IMPORTS_PER_SOURCE;

/**
 * A supernode's uploads: to nodes as its core decides, to supernodes of other sites a few at a time, since a whole site
 * waits for them, and to those of its own site from what nodes leave: a node waits, they only check.
 */
export function createSeedUploads(
  deps: UploadsDeps,
  decisions: Decisions<SeedCore>,
  host: Pick<UploadsHost, 'neighbour' | 'blob'> & {
    /** Our own. */
    zone(): string;
  },
): Uploads {
  const imports = new WeakMap<Neighbour, number>();
  const isImporter = (neighbour: Neighbour): boolean =>
    isSupernode(neighbour) && neighbour.peer.zone !== host.zone();
  return new Uploads(deps, {
    ...host,
    admit: (neighbour, blob, piece) => {
      if (isImporter(neighbour)) {
        const underWay = imports.get(neighbour) ?? 0;
        if (underWay < MOST_IMPORTS) imports.set(neighbour, underWay + 1);
        return underWay < MOST_IMPORTS;
      }
      return decisions.decide((core, now) =>
        isSupernode(neighbour) ? core.freeSlots > 0 : core.admit(neighbour.slot, blob.slot, piece, now),
      );
    },
    freeSlots: () => decisions.core.freeSlots,
    ended: (neighbour) => {
      if (isImporter(neighbour)) {
        const left = (imports.get(neighbour) ?? 1) - 1;
        if (left === 0) imports.delete(neighbour);
        else imports.set(neighbour, left);
      } else if (!isSupernode(neighbour)) {
        decisions.decide((core, now) => core.uploaded(neighbour.slot, now));
      }
    },
  });
}
