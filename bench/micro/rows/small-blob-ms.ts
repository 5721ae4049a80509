import { httpGet } from '../../fixtures/http-get.ts';
import type { Descriptor } from '../../fixtures/image.ts';
import { quantile } from '../../fixtures/table.ts';
import { createPullRig } from '../pull-rig.ts';
import { median, type Row } from '../row.ts';

const BLOB_BYTES = 10 * 1024;
const BLOBS_PER_RUN = 60;

/** How long a client waits for a config that its node does not have and the mesh does. */
export const smallBlobMs: Row = {
  name: 'small-blob-ms',
  about:
    'a 10 KiB blob that another node and the supernode have: from the request to its last byte, p50 and p99',
  needs: ['docker-registry'],
  async measure({ runs, say, signal }) {
    const blobs = (runs + 1) * BLOBS_PER_RUN;
    await using rig = await createPullRig({ nodes: 2, blobs, blobBytes: BLOB_BYTES, signal });
    const get = async (node: number, blob: Descriptor): Promise<number> => {
      const startedMs = performance.now();
      await httpGet(rig.atNode(node, blob), {}, signal, () => {});
      return performance.now() - startedMs;
    };
    const times: number[][] = [];
    for (let run = 0; run <= runs; run++) {
      const batch = rig.blobs.slice(run * BLOBS_PER_RUN, (run + 1) * BLOBS_PER_RUN);
      for (const blob of batch) await get(0, blob);
      const taken: number[] = [];
      for (const blob of batch) taken.push(await get(1, blob));
      if (run > 0) times.push(taken);
      say(`run ${run} of ${runs}`);
    }
    const p50s = times.map(median);
    const p99s = times.map((taken) => quantile(taken, 0.99));
    return [
      {
        ...{ row: 'small-blob-ms', value: median(times.flat()), unit: 'ms', target: 20, better: 'lower' },
        ...{ runs: p50s, note: 'with the question to the registry whether the caller may read it' },
      },
      {
        ...{ row: 'small-blob-ms-p99', value: quantile(times.flat(), 0.99), unit: 'ms', target: 50 },
        ...{ better: 'lower', runs: p99s, note: `of ${times.flat().length} blobs` },
      },
    ];
  },
};
