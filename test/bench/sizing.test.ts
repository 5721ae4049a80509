import t from 'tap';
import { adviseOn } from '../../bench/sizing/advice.ts';
import { CLUSTERS, SUPERNODES, sizingJob } from '../../bench/sizing/clusters.ts';
import { sizingPage } from '../../bench/sizing/page.ts';

const CLUSTER = { nodes: 1000, image: '1GiB', card: '1Gbit/s' };
const trial = (supernodes: number, seconds: number): Parameters<typeof adviseOn>[1][number] => ({
  ...{ supernodes, seconds, limitSeconds: 8.6 },
});

t.test('as few supernodes as come within 5 % of the fastest', async (t) => {
  t.equal(adviseOn(CLUSTER, [trial(2, 9.4), trial(3, 9.1), trial(5, 9)]).supernodes, 2);
  t.equal(adviseOn(CLUSTER, [trial(2, 9.6), trial(3, 9.1), trial(5, 9)]).supernodes, 3);
  t.equal(adviseOn(CLUSTER, [trial(5, 9), trial(3, 12), trial(2, 20)]).supernodes, 5);
});

t.test('trackers, disk and the registry alone go by the size of the cluster', async (t) => {
  const small = adviseOn(CLUSTER, [trial(2, 9)]);
  t.equal(small.trackers, 2);
  t.equal(small.supernodeDiskBytes, 2 * 1024 ** 3);
  // 1,000 GiB at 1.25 GB/s.
  t.ok(Math.abs(small.directSeconds - 859) < 0.1, `${small.directSeconds}`);
  t.equal(adviseOn({ ...CLUSTER, nodes: 120_000 }, [trial(2, 9)]).trackers, 3);
});

t.test(
  'every cluster is tried with each number of supernodes, and the page has a line and a command for each',
  async (t) => {
    const names = CLUSTERS.flatMap((cluster) => SUPERNODES.map((n) => sizingJob(cluster, n).scenario.name));
    t.equal(new Set(names).size, CLUSTERS.length * SUPERNODES.length);
    const page = sizingPage(
      [
        {
          cluster: CLUSTER,
          advice: adviseOn(CLUSTER, [trial(3, 9.04)]),
          command: 'npm run bench:sim -- --nodes 1000',
        },
      ],
      {
        code: { commit: '0123456789abcdef', changed: false, key: '' },
        date: '2026-01-01',
        machine: { cpu: 'a', cores: 2, memoryBytes: 1, system: 'b', node: 'v24.0.0' },
      },
    );
    t.match(
      page,
      '| 1,000 | 1GiB | 1Gbit/s | 3 | 2 | 9.0 s | 8.6 s | 14 m 19 s | 2.0 GiB | 2.7 s | `npm run bench:sim -- --nodes 1000` |',
    );
  },
);
