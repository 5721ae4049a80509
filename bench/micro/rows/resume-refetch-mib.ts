import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../../fixtures/child.ts';
import { sumMetric } from '../../fixtures/metrics.ts';
import { curl } from '../curl.ts';
import { createPullRig } from '../pull-rig.ts';
import { median, type Row } from '../row.ts';

const MIB = 1024 * 1024;
const BLOB_BYTES = 1024 * MIB;
const POLL_MS = 20;

/** What a killed node fetches twice. */
export const resumeRefetchMib: Row = {
  name: 'resume-refetch-mib',
  about: 'kill -9 of the node daemon at half of a 1 GiB blob, then on: what it fetches again',
  needs: ['docker-registry', 'curl'],
  async measure({ runs, say, signal }) {
    const found: number[] = [];
    for (let run = 0; run < runs; run++) {
      await using rig = await createPullRig({ nodes: 1, blobs: 1, blobBytes: BLOB_BYTES, signal });
      const [blob] = rig.blobs;
      const { cluster } = rig;
      const received = (): Promise<number> =>
        sumMetric([cluster.daemons[0]!.ready.admin], 'damselfly_received_bytes_total');
      const first: Child<unknown> = cluster.daemons[0]!;
      const cut = curl(rig.atNode(0, blob!)).catch(() => undefined);
      while ((await received()) < blob!.size / 2) await sleep(POLL_MS, undefined, { signal });
      await first.kill('SIGKILL');
      await cut;
      await cluster.restartDaemon(0);
      const { bytes } = await curl(rig.atNode(0, blob!));
      if (bytes !== blob!.size) throw new Error(`${bytes} bytes of ${blob!.size}`);
      const sent = await sumMetric(
        cluster.supernodes.map(({ ready }) => ready.admin),
        'damselfly_sent_bytes_total',
        { to: 'peer' },
      );
      const { bytes: registryBytes } = await rig.registry.counters();
      // From the supernode, with what was under way at the kill; and from the registry past it.
      found.push((sent + registryBytes - 2 * blob!.size) / MIB);
      say(`run ${run + 1} of ${runs}: ${found.at(-1)?.toFixed(1)} MiB`);
    }
    return [
      {
        ...{ row: 'resume-refetch-mib', value: median(found), unit: 'MiB', target: 8, better: 'lower' },
        ...{ runs: found, note: 'more than the blob that left supernode and registry' },
      },
    ];
  },
};
