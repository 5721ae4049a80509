import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const WARM_UP_MS = 20;

/** Zone -> bytes of pieces that came into it from elsewhere, registries apart; each piece that came twice counts twice. */
function borders(cluster: MemoryCluster): Map<string, number> {
  const members = [...cluster.nodes, ...cluster.supernodes];
  const zoneOf = new Map(members.map(({ deps, name }) => [name, deps.self().zone]));
  const zoneOfId = new Map(members.map(({ deps }) => [deps.self().id, deps.self().zone]));
  const into = new Map<string, number>();
  for (const { event, who } of cluster.events) {
    if (event.kind !== 'piece' || event.from === undefined) continue;
    const zone = zoneOf.get(who) ?? '?';
    if (zoneOfId.get(event.from) === zone) continue;
    into.set(zone, (into.get(zone) ?? 0) + event.bytes);
  }
  return into;
}

/** Pieces that were read from the registry when somebody had got them from whoever read them first. */
function readTwice({ events }: MemoryCluster): number[] {
  const given = new Set<number>();
  const again: number[] = [];
  for (const { event } of events) {
    if (event.kind !== 'piece') continue;
    if (event.source !== 'origin') given.add(event.index);
    else if (given.has(event.index)) again.push(event.index);
  }
  return again;
}

async function pullAll(cluster: MemoryCluster, digest: Digest, size: number): Promise<void> {
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, size));
  for (const got of await cluster.until(Promise.all(pulls), 120_000)) {
    if (got !== digest) throw new Error('a node got other bytes');
  }
}

t.test('each blob crosses the border of each zone with supernodes once', async (t) => {
  for (const size of [34 * MIB, 20 * MIB, 100_000]) {
    const sites = ['fra', 'ams', 'par'];
    const cluster = await MemoryCluster.start({ seed: 1, nodes: 6, zones: sites, supernodes: 3, sites });
    await cluster.run(WARM_UP_MS);
    const digest = cluster.blob(size);
    await pullAll(cluster, digest, size);
    t.equal(cluster.origin.ratio(digest), 1, `${size}: read once from the registry`);
    for (const [zone, bytes] of borders(cluster)) t.ok(bytes <= size, `${size} ${zone}: ${bytes}`);
  }
});

t.test('of four sites each reads a part, and the registry is read once', async (t) => {
  const sites = ['fra', 'ams', 'par', 'lon'];
  const cluster = await MemoryCluster.start({ seed: 13, nodes: 4, zones: sites, supernodes: 4, sites });
  await cluster.run(WARM_UP_MS);
  // More stripes than sites.
  const size = 70 * MIB;
  const digest = cluster.blob(size);
  await pullAll(cluster, digest, size);
  t.equal(cluster.origin.ratio(digest), 1);
  const into = [...borders(cluster).values()];
  t.equal(
    into.reduce((sum, bytes) => sum + bytes, 0),
    3 * size,
    'what one reads three bring',
  );
});

t.test(
  'a tree of zones: the inner ones get it from the one around them, which alone asks further out',
  async (t) => {
    const sites = ['eu', 'eu/fra', 'eu/ams', 'us'];
    const cluster = await MemoryCluster.start({
      ...{ seed: 2, nodes: 8, supernodes: 4, sites },
      zones: ['eu/fra', 'eu/ams/1', 'us', 'eu/fra/rack-2'],
    });
    await cluster.run(WARM_UP_MS);
    const size = 34 * MIB;
    const digest = cluster.blob(size);
    await pullAll(cluster, digest, size);
    t.equal(cluster.origin.ratio(digest), 1);
    const into = borders(cluster);
    t.equal(into.get('eu/fra'), size);
    t.equal(into.get('eu/ams'), size);
    t.ok((into.get('eu') ?? 0) + (into.get('us') ?? 0) <= size, 'what one reads the other brings');
  },
);

t.test(
  'a supernode dies in the middle: its own zone and those that it read for get the blob all the same',
  async (t) => {
    const sites = ['fra', 'ams', 'par'];
    for (const victim of [0, 1, 2]) {
      const cluster = await MemoryCluster.start({
        ...{ seed: 3 + victim, nodes: 3, zones: sites, supernodes: 3, sites },
        originBytesPerSecond: 8 * MIB,
      });
      await cluster.run(WARM_UP_MS);
      const size = 34 * MIB;
      const digest = cluster.blob(size);
      const pulls = pullAll(cluster, digest, size);
      await cluster.run(700);
      cluster.crash(cluster.supernodes[victim]!);
      await pulls;
      const ratio = cluster.origin.ratio(digest);
      t.ok(ratio < 1.5, `${ratio.toFixed(3)}x the blob was read`);
    }
  },
);

t.test('a site that is cut off from the others goes on by the registry that it reaches', async (t) => {
  const sites = ['fra', 'par'];
  const cluster = await MemoryCluster.start({ seed: 7, nodes: 4, zones: sites, supernodes: 2, sites });
  await cluster.run(WARM_UP_MS);
  const all = [...cluster.nodes, ...cluster.supernodes];
  const zoneOf = ({ deps }: (typeof all)[number]): string => deps.self().zone;
  for (const a of all) {
    for (const b of all) if (zoneOf(a) < zoneOf(b)) cluster.network.partition(a.name, b.name);
  }
  const size = 34 * MIB;
  const digest = cluster.blob(size);
  const startedMs = cluster.clock.now();
  await pullAll(cluster, digest, size);
  t.ok(cluster.clock.now() - startedMs < 15_000, `${cluster.clock.now() - startedMs} ms`);
  t.equal(borders(cluster).size, 0);
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 2.2, `${ratio.toFixed(3)}x the blob was read by two sites that know nothing of each other`);
});

t.test('what only a node of its own site holds a supernode reads for the other site', async (t) => {
  const sites = ['fra', 'par'];
  const cluster = await MemoryCluster.start({ seed: 5, nodes: 2, zones: sites, supernodes: 0, sites });
  const size = 34 * MIB;
  const digest = cluster.blob(size);
  const [fra] = cluster.nodes as [Member<PeerEngine>];
  // Before there are supernodes it reads a part for itself.
  const reading = new AbortController();
  const origin = { upstream: 'memory.test', repository: 'team/app' };
  const begun = (async () => {
    const bytes = fra.engine.open({ digest, size, origin }, reading)[Symbol.asyncIterator]();
    while (!reading.signal.aborted && (await bytes.next()).done !== true);
  })().catch(() => {});
  while (cluster.origin.ratio(digest) < 0.4) await cluster.run(5);
  reading.abort();
  await cluster.until(begun);
  // What it asked for comes to its end.
  await cluster.run(1000);
  const had = cluster.origin.ratio(digest);
  for (const [index, name] of ['super0', 'super1'].entries()) await cluster.addSupernode(name, index);
  await cluster.run(WARM_UP_MS);
  const read = cluster.events.filter(({ event }) => event.kind === 'fallback').length;
  await pullAll(cluster, digest, size);
  const again = cluster.events.filter(({ event }) => event.kind === 'fallback').slice(read);
  t.same(again, [], 'no node reads past its supernode');
  const ratio = cluster.origin.ratio(digest);
  t.ok(
    ratio <= 1 + had,
    `${ratio.toFixed(3)}x: what only the node had, ${had.toFixed(3)}x, once more at most`,
  );
});

t.test('what anybody has is not read twice, were a supernode killed and back with its disk', async (t) => {
  const sites = ['fra', 'par', 'ams'];
  const kills = [undefined, { victim: 0, atMs: 1000 }, { victim: 1, atMs: 1500 }];
  for (const [run, kill] of kills.entries()) {
    const cluster = await MemoryCluster.start({
      ...{ seed: 21 + run, nodes: 6, zones: sites, supernodes: 3, sites },
      originBytesPerSecond: 4 * MIB,
    });
    await cluster.run(WARM_UP_MS);
    const size = 34 * MIB;
    const digest = cluster.blob(size);
    const pulls = pullAll(cluster, digest, size);
    if (kill !== undefined) {
      await cluster.run(kill.atMs);
      t.ok(cluster.origin.ratio(digest) < 0.9, 'there is something to read yet');
      const { events } = cluster;
      const before = events.length;
      const { name } = await cluster.restartSupernode(cluster.supernodes[kill.victim]!, 300);
      await pulls;
      const opened = events.slice(before).map(({ event, who }) => {
        return who === name && event.kind === 'blob-open' ? event.held : 0;
      });
      t.ok(Math.max(...opened) > 0, 'it takes part again');
    }
    await pulls;
    t.same(readTwice(cluster), []);
    const ratio = cluster.origin.ratio(digest);
    // What it was reading, and had given nobody yet, when it was killed.
    t.ok(kill === undefined ? ratio === 1 : ratio < 1.05, `${ratio.toFixed(3)}x`);
  }
});

t.test('a budget for the border holds, and nobody goes around it', async (t) => {
  const sites = ['fra', 'par'];
  const cluster = await MemoryCluster.start({
    ...{ seed: 9, nodes: 2, zones: sites, supernodes: 2, sites },
    limits: (name) => (name.startsWith('super') ? { borderRate: 4 * MIB } : {}),
  });
  await cluster.run(WARM_UP_MS);
  const size = 12 * MIB;
  const digest = cluster.blob(size);
  const startedMs = cluster.clock.now();
  await pullAll(cluster, digest, size);
  const seconds = (cluster.clock.now() - startedMs) / 1000;
  t.ok(seconds > 2.5 && seconds < 6, `12 MiB at 4 MiB/s took ${seconds.toFixed(1)} s`);
  t.equal(cluster.origin.ratio(digest), 1);
  t.same([...borders(cluster).values()], [size]);
});

t.test('nodes of a zone that no site looks after get each piece once, from whoever reads it', async (t) => {
  const sites = ['fra', 'par'];
  const cluster = await MemoryCluster.start({
    ...{ seed: 11, nodes: 6, zones: ['fra', 'par', 'nowhere'], supernodes: 2, sites },
  });
  await cluster.run(WARM_UP_MS);
  const size = 34 * MIB;
  const digest = cluster.blob(size);
  await pullAll(cluster, digest, size);
  t.equal(cluster.origin.ratio(digest), 1);
  const crossed = (borders(cluster).get('nowhere') ?? 0) / size;
  t.ok(crossed >= 1 && crossed <= 1.1, `${crossed.toFixed(3)}x into the zone without supernodes`);
});
