import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadClusterState } from '../../dfget/daemon/cluster-state.ts';
import { loadPause, type Pause } from '../../dfget/daemon/pause.ts';
import { switched } from '../../dfget/paused-names.ts';
import { MemoryTracker } from '../../lib/discovery/memory-discovery.ts';
import { createNoDiscovery } from '../../lib/discovery/no-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';

const UPSTREAMS = ['harbor.corp', 'quay.io'];

function makeFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-pause-'));
  // What the cluster says last may be on its way to the disk.
  t.teardown(() => rmSync(folder, { recursive: true, maxRetries: 5 }));
  return folder;
}

/** One node without a tracker. */
function start(t: Test, upstreams = UPSTREAMS) {
  const folder = makeFolder(t);
  const metrics = createMetrics({ defaults: false });
  const deps = { discovery: createNoDiscovery(), clock: new FakeClock(), wallClockMs: () => 0 };
  const load = async (): Promise<Pause> => {
    const cluster = await loadClusterState({ log: silentLog(), ...deps }, folder);
    return loadPause({ log: silentLog(), metrics, cluster }, { folder, upstreams, hasTracker: false });
  };
  const gauge = async (): Promise<number | undefined> => (await metrics.paused.get()).values[0]?.value;
  return { folder, load, gauge };
}

/** Nodes around a tracker in memory, each with a wall clock of its own. */
function startCluster(t: Test) {
  const clock = new FakeClock();
  const rng = createRng(3);
  const tracker = new MemoryTracker(
    { clock, createChooser: () => new TrackerCore({}, rng) },
    { latencyMs: 5 },
  );
  let ids = 0;
  const settle = (ms = 100): void => {
    const until = clock.now() + ms;
    while (clock.advanceToNext(until));
  };
  const startNode = async (options: { readonly folder?: string; readonly aheadMs?: number } = {}) => {
    const { aheadMs = 0, folder = makeFolder(t) } = options;
    const id = (ids++).toString(16).padStart(40, '0');
    const discovery = tracker.connect({ id, role: 'node', host: 'h', port: 1, zone: '' });
    const wallClockMs = (): number => 1_000_000 + clock.now() + aheadMs;
    const cluster = await loadClusterState({ log: silentLog(), discovery, clock, wallClockMs }, folder);
    const pause = await loadPause(
      { log: silentLog(), metrics: createMetrics({ defaults: false }), cluster },
      { folder, upstreams: UPSTREAMS, hasTracker: true },
    );
    settle();
    /** The command on this node, and its answer once time has passed. */
    const change = async (...args: Parameters<Pause['change']>) => {
      const answer = pause.change(...args);
      let done = false;
      void answer.finally(() => {
        done = true;
      });
      // Files and the clock take turns.
      for (let turn = 0; !done && turn < 1_000; turn++) {
        settle(10);
        await new Promise((resolve) => setImmediate(resolve));
      }
      return await answer;
    };
    return { pause, change, folder, discovery };
  };
  return { tracker, startNode, settle };
}

const pausedOf = (pause: Pause): string[] => UPSTREAMS.filter(pause.isPaused);

t.test('a family of registries is paused as a whole, or one of them', async (t) => {
  const { load, gauge } = start(t, ['*.gcr.io', 'quay.io']);
  const pause = await load();
  await pause.change('pause', '*.gcr.io');
  t.ok(pause.isPaused('eu.gcr.io'));
  t.notOk(pause.isPaused('quay.io'));
  t.equal(await gauge(), 1);
  await pause.change('resume', '*.gcr.io');
  t.notOk(pause.isPaused('eu.gcr.io'));
  await pause.change('pause', 'eu.gcr.io');
  t.ok(pause.isPaused('eu.gcr.io'));
  t.notOk(pause.isPaused('us.gcr.io'));
  t.equal(await gauge(), 1);
  await t.rejects(pause.change('pause', 'gcr.io'), { code: 'UPSTREAM_UNKNOWN' });
});

t.test('one upstream, all of them, and back', async (t) => {
  const { load, gauge } = start(t);
  const pause = await load();
  t.same(pausedOf(pause), []);
  await pause.change('pause', 'quay.io');
  t.same(await pause.change('pause', 'quay.io'), {
    paused: ['quay.io'],
    otherSwitch: [],
    scope: 'node',
    confirmed: true,
  });
  t.same([pausedOf(pause), pause.paused, await gauge()], [['quay.io'], ['quay.io'], 1]);
  await pause.change('pause', 'all');
  t.same([pausedOf(pause), pause.paused, await gauge()], [UPSTREAMS, ['all'], 2]);
  await t.rejects(pause.change('resume', 'quay.io'), { code: 'CONFIG_INVALID', message: /resume all/ });
  await pause.change('resume', 'all');
  t.same([pausedOf(pause), pause.paused, await gauge()], [[], [], 0]);
});

t.test('it outlives the daemon', async (t) => {
  const { load, gauge } = start(t);
  await (await load()).change('pause', 'quay.io');
  const again = await load();
  t.same([pausedOf(again), await gauge()], [['quay.io'], 1]);
  await again.change('resume', 'quay.io');
  t.same(pausedOf(await load()), []);
});

t.test('what cannot be read is taken for everything', async (t) => {
  for (const file of ['paused.json', 'cluster-settings.json']) {
    for (const text of ['{', '{}', '']) {
      const { folder, load } = start(t);
      writeFileSync(join(folder, file), text);
      t.same(pausedOf(await load()), UPSTREAMS, `${file}: ${JSON.stringify(text)}`);
    }
  }
});

t.test('a name that is no upstream is refused, and the others are named', async (t) => {
  const pause = await start(t).load();
  for (const action of ['pause', 'resume'] as const) {
    const wrong = { code: 'UPSTREAM_UNKNOWN', message: /harbor\.corp, quay\.io/ };
    await t.rejects(pause.change(action, 'nope'), wrong);
  }
  const alone = { code: 'CONFIG_INVALID', message: /no tracker/ };
  await t.rejects(pause.change('pause', 'all', 'cluster'), alone, 'nor is a cluster that is not there');
});

t.test('what no tracker would take is refused before it is said', async (t) => {
  const many = Array.from({ length: 256 }, (_, index) => `r${index}`);
  t.equal(switched(many.slice(1), 'pause', 'r0').length, 256);
  t.throws(() => switched(many, 'pause', 'another'), { code: 'CONFIG_INVALID' });
  t.equal(switched(many, 'pause', 'r0').length, 256, 'one of them again is no more');
  t.throws(() => switched([], 'pause', 'a'.repeat(301)), { code: 'CONFIG_INVALID' });
});

t.test('in a cluster all nodes are paused, also one that starts later, until all resume', async (t) => {
  const { settle, startNode } = startCluster(t);
  const [first, second] = [await startNode(), await startNode()];
  t.same(await first.change('pause', 'all'), {
    paused: ['all'],
    otherSwitch: [],
    scope: 'cluster',
    confirmed: true,
  });
  t.same([pausedOf(first.pause), pausedOf(second.pause)], [UPSTREAMS, UPSTREAMS]);
  const third = await startNode();
  t.same(pausedOf(third.pause), UPSTREAMS);
  t.same(await second.change('resume', 'all'), {
    paused: [],
    otherSwitch: [],
    scope: 'cluster',
    confirmed: true,
  });
  settle();
  t.same(
    [first, second, third].map(({ pause }) => pausedOf(pause)),
    [[], [], []],
  );
});

t.test('this node alone: the others do not hear of it, and the cluster does not resume it', async (t) => {
  const { startNode } = startCluster(t);
  const [first, second] = [await startNode(), await startNode()];
  t.match(await first.change('pause', 'quay.io', 'node'), { paused: ['quay.io'], scope: 'node' });
  t.same(pausedOf(second.pause), []);
  await second.change('pause', 'harbor.corp');
  t.match(await first.change('resume', 'harbor.corp'), { paused: [], otherSwitch: ['quay.io'] });
  await second.change('pause', 'harbor.corp');
  t.same([first.pause.paused, first.pause.pausedHere], [['quay.io', 'harbor.corp'], ['quay.io']]);
  await second.change('resume', 'all');
  t.same([pausedOf(first.pause), pausedOf(second.pause)], [['quay.io'], []]);
});

t.test('nodes keep it on disk: a tracker and a whole cluster that start again are paused', async (t) => {
  const before = startCluster(t);
  const node = await before.startNode();
  await node.change('pause', 'quay.io');
  const { startNode } = startCluster(t);
  const again = await startNode({ folder: node.folder });
  t.same(pausedOf(again.pause), ['quay.io']);
  t.same(
    pausedOf((await startNode()).pause),
    ['quay.io'],
    'a node that never heard of it hears from the tracker',
  );
});

t.test(
  'what cannot be read is not told to the cluster, and gives way to what the cluster says',
  async (t) => {
    const { startNode } = startCluster(t);
    const folder = makeFolder(t);
    writeFileSync(join(folder, 'cluster-settings.json'), 'half a fi');
    const broken = await startNode({ folder });
    const other = await startNode();
    t.same([pausedOf(broken.pause), pausedOf(other.pause)], [UPSTREAMS, []]);
    await other.change('pause', 'quay.io');
    t.same([pausedOf(broken.pause), pausedOf(other.pause)], [['quay.io'], ['quay.io']]);
  },
);

t.test('a clock that is ahead does not keep the others from resuming', async (t) => {
  const { startNode } = startCluster(t);
  const [ahead, exact] = [await startNode({ aheadMs: 3_600_000 }), await startNode()];
  await ahead.change('pause', 'all');
  await exact.change('resume', 'all');
  t.same([pausedOf(ahead.pause), pausedOf(exact.pause)], [[], []]);
});

t.test(
  'without a tracker that answers this node is paused at once, and the others when one is back',
  async (t) => {
    const { settle, startNode, tracker } = startCluster(t);
    const [first, second] = [await startNode(), await startNode()];
    tracker.reachable = false;
    t.same(await first.change('pause', 'all'), {
      paused: ['all'],
      otherSwitch: [],
      scope: 'cluster',
      confirmed: false,
    });
    t.same([pausedOf(first.pause), pausedOf(second.pause)], [UPSTREAMS, []]);
    tracker.reachable = true;
    settle();
    t.same(pausedOf(second.pause), UPSTREAMS);
  },
);
