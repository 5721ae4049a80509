import t from 'tap';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { borders } from '../helpers/borders.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const ZONES = ['eu/fra', 'us'];
const NODES = 4;

t.test(
  'two zones with a supernode each: every byte is read once, and crosses each border once',
  { skip },
  async (t) => {
    await using stage = await createStage('sites', { image: { totalBytes: 48 * MIB, layers: 2 } });
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 2, zones: ZONES });
    const before = await stage.registry.counters();
    const { image, repository } = stage;
    const targets = cluster.daemons.map((daemon) => ({
      ...{ base: proxyUrl(daemon), repository, tag: image.tag },
    }));
    const outcomes = await pullTogether(targets, { signal: AbortSignal.timeout(60_000), workers: 2 });
    const done = { kind: 'done', result: { manifestDigest: image.manifest.digest, bytes: image.bytes } };
    t.match(outcomes, Array(NODES).fill(done));
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes <= image.bytes * 1.001, `the registry sent ${(bytes / image.bytes).toFixed(4)}x`);
    const into = await borders(cluster, ZONES);
    for (const [zone, crossed] of into) {
      t.ok(crossed <= image.bytes * 1.001, `${(crossed / image.bytes).toFixed(4)}x into ${zone}`);
    }
    const all = [...into.values()].reduce((sum, crossed) => sum + crossed, 0);
    t.ok(all > 0 && all <= image.bytes * 1.001, `${(all / image.bytes).toFixed(4)}x into both together`);
  },
);
