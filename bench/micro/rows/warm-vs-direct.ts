import { curl } from '../curl.ts';
import { createPullRig } from '../pull-rig.ts';
import { type Figure, inPairs, median, type Row } from '../row.ts';

const BLOB_BYTES = 256 * 1024 * 1024;
/** 1 Gbit/s */
const REGISTRY_RATE = 125_000_000;

/** What a pull costs that the node has had before, beside a direct one. */
export const warmVsDirect: Row = {
  name: 'warm-vs-direct',
  about: 'a blob from the store of the node against a direct pull, over 1 Gbit/s and over loopback',
  needs: ['docker-registry', 'curl', 'ip', 'tc'],
  async measure(context) {
    await using rig = await createPullRig({
      ...{ nodes: 1, blobs: 1, blobBytes: BLOB_BYTES },
      ...{ registryBytesPerSecond: REGISTRY_RATE, signal: context.signal },
    });
    const [blob] = rig.blobs;
    await curl(rig.atNode(0, blob!));
    const figures: Figure[] = [];
    for (const [row, registry, target] of [
      ['warm-vs-direct', rig.registry, 0.25],
      ['warm-vs-direct-unshaped', rig.unshaped, 2],
    ] as const) {
      const pairs = await inPairs(
        context,
        () => curl(rig.atNode(0, blob!)),
        () => curl(rig.atRegistry(registry, blob!)),
      );
      const ratios = pairs.map(({ baseline, ours }) => ours.seconds / baseline.seconds);
      figures.push({ row, value: median(ratios), unit: 'x', target, better: 'lower', runs: ratios });
    }
    return figures;
  },
};
