import { usageOf } from '../../fixtures/usage.ts';
import { curl } from '../curl.ts';
import { createPullRig } from '../pull-rig.ts';
import { inPairs, median, type Row } from '../row.ts';

const BLOB_BYTES = 256 * 1024 * 1024;
/** 1 Gbit/s */
const REGISTRY_RATE = 125_000_000;
const GB = 1e9;

/** What a first pull costs beside a direct one, over the same line to the registry. */
export const coldVsDirect: Row = {
  name: 'cold-vs-direct',
  about:
    'a blob that nobody has, through supernode and node, against a direct pull; 1 Gbit/s to the registry',
  needs: ['docker-registry', 'curl', 'ip', 'tc'],
  async measure(context) {
    const { runs, signal } = context;
    await using rig = await createPullRig({
      ...{ nodes: 1, blobs: runs + 1, blobBytes: BLOB_BYTES },
      ...{ registryBytesPerSecond: REGISTRY_RATE, signal },
    });
    const { blobs, cluster, registry } = rig;
    const pids = cluster.members.map(({ ready }) => ready.pid);
    const fresh = blobs.values();
    const before = await usageOf(pids);
    const pairs = await inPairs(
      context,
      () => curl(rig.atNode(0, fresh.next().value!)),
      () => curl(rig.atRegistry(registry, blobs[0]!)),
    );
    const { cpuSeconds } = await usageOf(pids);
    const ratios = pairs.map(({ baseline, ours }) => ours.seconds / baseline.seconds);
    const later = pairs.map(({ baseline, ours }) => ours.firstByteMs - baseline.firstByteMs);
    const ours = (cpuSeconds - before.cpuSeconds) / (((runs + 1) * BLOB_BYTES) / GB);
    return [
      {
        ...{ row: 'cold-vs-direct', unit: 'x', target: 1.15, better: 'lower' },
        ...{ value: median(ratios), runs: ratios, cpuSecondsPerGB: { ours } },
        note: 'CPU seconds of tracker, supernode and node together',
      },
      {
        ...{ row: 'cold-vs-direct-first-byte-ms', unit: 'ms', target: 50, better: 'lower' },
        ...{ value: median(later), runs: later, note: 'how much later than the direct pull' },
      },
    ];
  },
};
