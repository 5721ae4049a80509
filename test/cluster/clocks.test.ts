import t from 'tap';
import type { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { ClusterTime } from '../../lib/security/cluster-time.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 6 * MIB + 5;
const TEN_MINUTES_MS = 600_000;
const EPOCH_MS = 1_800_000_000_000;
const NODES = 6;

/** What a process has heard: by how much each tracker's clock is wrong, and by how much its own. */
interface Heard {
  readonly trackers?: readonly number[];
  readonly ownMs?: number;
}

function timeOf({ ownMs = 0, trackers = [] }: Heard, clock: FakeClock): ClusterTime {
  const rightMs = (): number => EPOCH_MS + clock.now();
  const time = new ClusterTime(clock, () => rightMs() + ownMs);
  for (const [index, wrongMs] of trackers.entries()) {
    time.heard(`tracker${index}`, rightMs() + wrongMs, clock.now());
  }
  return time;
}

/** A cluster whose members have heard this; all nodes pull. @returns how often the registry was read, and who refused */
async function pullAmong(heard: (name: string) => Heard, during = async (_: Running): Promise<void> => {}) {
  const times = new Map<string, ClusterTime>();
  const cluster = await MemoryCluster.start({
    ...{ seed: 1, nodes: NODES, supernodes: 2, identities: true, capabilities: true },
    time: (name, clock) => {
      const time = timeOf(heard(name), clock);
      times.set(name, time);
      return time;
    },
  });
  // Who has no right reads for itself, and nobody says in its place that anybody may have it.
  cluster.origin.open = false;
  const digest = cluster.blob(SIZE);
  const pulls = Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, SIZE)));
  await during({ cluster, times });
  const got = await cluster.until(pulls);
  if (got.some((one) => one !== digest)) throw new Error(`pulled ${got.join()}`);
  const refusals = await Promise.all(
    [...cluster.nodes, ...cluster.supernodes].map(({ deps }) => deps.metrics.refused.get()),
  );
  return { ratio: cluster.origin.ratio(digest), refused: refusals.flatMap(({ values }) => values) };
}

interface Running {
  readonly cluster: MemoryCluster;
  readonly times: ReadonlyMap<string, ClusterTime>;
}

const isSupernode = (name: string): boolean => name.startsWith('super');
const isOdd = (name: string): boolean => Number(name.at(-1)) % 2 === 1;

for (const wrongMs of [TEN_MINUTES_MS, -TEN_MINUTES_MS]) {
  const wrong = wrongMs > 0 ? 'ahead' : 'behind';
  const both = { trackers: [wrongMs, 0] };
  const before = { trackers: [0, 0] };

  t.test(
    `a tracker comes back with its clock 10 minutes ${wrong}: the registry is read once, whoever has heard of it`,
    async (t) => {
      const cases: Record<string, (name: string) => Heard> = {
        'only the supernodes have heard of it': (name) => (isSupernode(name) ? both : before),
        'all but the supernodes have': (name) => (isSupernode(name) ? before : both),
        'every other machine has': (name) => (isOdd(name) ? both : before),
        'the supernodes know that tracker alone': (name) =>
          isSupernode(name) ? { trackers: [wrongMs] } : before,
        'every other node knows that tracker alone': (name) =>
          !isSupernode(name) && isOdd(name) ? { trackers: [wrongMs] } : before,
        'one tracker is ahead, the other behind, and nobody knows both': (name) =>
          isSupernode(name) ? { trackers: [wrongMs] } : { trackers: [-wrongMs] },
      };
      for (const [what, heard] of Object.entries(cases)) {
        t.same(await pullAmong(heard), { ratio: 1, refused: [] }, what);
      }
    },
  );

  t.test(`during a pull, half of the nodes hear that it is 10 minutes ${wrong}`, async (t) => {
    const told = await pullAmong(
      () => before,
      async ({ cluster, times }) => {
        await cluster.run(80);
        for (const [name, time] of times) {
          if (!isOdd(name)) continue;
          const nowMs = EPOCH_MS + cluster.clock.now();
          for (const tracker of ['tracker0', 'tracker1']) {
            time.heard(tracker, nowMs + wrongMs, cluster.clock.now());
          }
        }
      },
    );
    t.same(told, { ratio: 1, refused: [] });
  });

  t.test(`machines whose own clocks are 10 minutes ${wrong}, before any tracker has answered`, async (t) => {
    for (const isWrong of [isSupernode, isOdd]) {
      const told = await pullAmong((name) => ({ ownMs: isWrong(name) ? wrongMs : 0 }));
      t.same(told, { ratio: 1, refused: [] }, isWrong.name);
    }
  });
}
