import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { GeneratedImage } from '../../bench/fixtures/image.ts';
import { parseMetrics, sumMetric } from '../../bench/fixtures/metrics.ts';
import { canCreateNetwork } from '../../bench/fixtures/network.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import type { Machine } from '../chaos/machine.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { REPOSITORY, type Site, type Sites, startSites } from '../helpers/sites.ts';

const MIB = 1024 * 1024;
const skip =
  skipReason({ programs: ['docker-registry', 'redis-server', 'ip', 'iptables'] }) ||
  (!canCreateNetwork() && 'needs root');
const NODES = 20;
/** One layer of three stripes, each of which another site's supernode reads. */
const IMAGE_BYTES = 48 * MIB;
/** Slow enough that twenty nodes on one small machine wait for their links, and not for its processors. */
const LINK_BYTES_PER_SECOND = 8 * MIB;
/** Each supernode sends the image into its own zone, and a third of it to two others and to the bucket. */
const SERVER_BYTES_PER_SECOND = 24 * MIB;
/**
 * What a kill may cost the registry beside what only the killed one held: a node whose client has waited for 4.6 s reads a
 * piece, and a few may do so at a time. In images; 24 pieces of this one.
 */
const SLACK = 0.25;
const PULL_MS = 180_000;
const STEP_MS = 240_000;
const HEAL_MS = 60_000;
const POLL_MS = 200;
/** When supernodes have read about half of it: they are faster than nodes. */
const STRIKE_SHARE = 0.03;

t.setTimeout(1_800_000);

interface Pulled {
  readonly failed: readonly string[];
  /** What the registry's replicas sent of it, in images. */
  readonly registry: number;
  /** What came into each zone, in images. */
  readonly crossed: readonly string[];
  readonly mostCrossed: number;
  /** Which nodes read from the registry themselves, and why. */
  readonly fallbacks: readonly string[];
}

/** How often each node has read from the registry itself, by reason. */
async function fallbacksOf(nodes: readonly Machine[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { admin, isUp, name } of nodes) {
    if (!isUp) continue;
    const page = await (await fetch(`http://${admin}/metrics`)).text();
    for (const sample of parseMetrics(page)) {
      if (sample.name !== 'damselfly_fallback_total') continue;
      counts.set(`${name} ${sample.labels['reason']}`, sample.value);
    }
  }
  return counts;
}

/** The nodes pull the image, all at the same moment. @param strike is called in the middle */
async function pullAll(
  { registryBytes, sites }: Sites,
  image: GeneratedImage,
  nodes: readonly Machine[],
  strike?: () => Promise<void>,
): Promise<Pulled> {
  const crossedBefore = await Promise.all(sites.map(({ border }) => border.crossed()));
  const before = await registryBytes(image);
  const fallbacksBefore = await fallbacksOf(nodes);
  const received = nodes.map(() => 0);
  let struck: Promise<void> | undefined;
  const outcomes = await pullTogether(
    nodes.map(({ proxy }) => ({ base: `http://${proxy}`, repository: REPOSITORY, tag: image.tag })),
    {
      signal: AbortSignal.timeout(PULL_MS),
      workers: 2,
      onProgress(puller, bytes) {
        received[puller] = bytes;
        const share = received.reduce((sum, each) => sum + each, 0) / (image.bytes * nodes.length);
        if (share > STRIKE_SHARE) struck ??= strike?.();
      },
    },
  );
  await struck;
  const failed = outcomes.flatMap((outcome, at) => {
    if (outcome.kind === 'failed') return [`${nodes[at]?.name}: ${outcome.reason}`];
    const { bytes, manifestDigest } = outcome.result;
    const right = bytes === image.bytes && manifestDigest === image.manifest.digest;
    return right ? [] : [`${nodes[at]?.name} got ${bytes} bytes of ${manifestDigest}`];
  });
  const crossed = await Promise.all(
    sites.map(async ({ border }, at) => ((await border.crossed()) - crossedBefore[at]!) / image.bytes),
  );
  const fallbacks = [...(await fallbacksOf(nodes))]
    .map(([what, count]) => [what, count - (fallbacksBefore.get(what) ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${what} ${count}`);
  return {
    failed,
    fallbacks,
    registry: ((await registryBytes(image)) - before) / image.bytes,
    crossed: crossed.map((share, at) => `${share.toFixed(3)}x into ${sites[at]?.zone}`),
    mostCrossed: Math.max(...crossed),
  };
}

/** Until what each tracker knows is as expected. @returns seconds. @throws Error with what they know */
async function untilKnown(
  sites: readonly Site[],
  what: 'members' | 'supernodes',
  isExpected: (known: number, site: Site) => boolean,
): Promise<number> {
  const startedMs = performance.now();
  for (;;) {
    const known = await Promise.all(
      sites.map(({ tracker }) => sumMetric([tracker.admin], `damselfly_tracker_${what}`)),
    );
    const passedMs = performance.now() - startedMs;
    if (sites.every((site, at) => isExpected(known[at]!, site))) return passedMs / 1000;
    if (passedMs > HEAL_MS) throw new Error(`trackers know ${known.join(', ')} ${what}`);
    await sleep(POLL_MS);
  }
}

/** Until every tracker knows every member again. */
function healed({ machines, sites }: Sites): Promise<number> {
  return untilKnown(sites, 'members', (members) => members >= machines.length - sites.length);
}

t.test(
  'sites in network namespaces: three trackers on one Redis, three supernodes on one bucket, twenty nodes',
  { skip, timeout: 1_800_000 },
  async (t) => {
    await using all = await startSites({
      ...{ zones: ['eu/fra', 'us', 'ap/tyo'], nodes: NODES, bytesPerSecond: LINK_BYTES_PER_SECOND },
      serverBytesPerSecond: SERVER_BYTES_PER_SECOND,
      ...{ imageBytes: IMAGE_BYTES, layers: 1 },
    });
    const nodes = all.sites.flatMap((site) => site.nodes);
    const away = all.sites[0] as Site;
    const others = all.sites.slice(1);
    const once = (t: Test, { crossed, failed, fallbacks, mostCrossed, registry }: Pulled): void => {
      t.same(failed, []);
      t.ok(registry <= 1.005, `the registry sent ${registry.toFixed(4)}x; ${fallbacks.join(', ')}`);
      t.ok(mostCrossed <= 1.1, crossed.join(', '));
    };

    await t.test('machines that have just been started pull', { timeout: STEP_MS }, async (t) => {
      t.same((await pullAll(all, await all.push('warm-up'), nodes)).failed, []);
    });

    const first = await all.push('first');
    await t.test('each byte is read once, and crosses each border once', { timeout: STEP_MS }, async (t) => {
      once(t, await pullAll(all, first, nodes));
    });

    const strikes: Readonly<
      Record<string, readonly [kill: () => Promise<void>, start: () => Promise<void>, lost: number]>
    > = {
      // Who shares what is announced to the next one, and no byte is there.
      tracker: [() => others[0]!.tracker.kill(), () => others[0]!.tracker.start(), 0],
      // The third that it reads, of which others may hold nothing yet.
      supernode: [() => others[0]!.supernode.kill(), () => others[0]!.supernode.start(), 1 / 3],
      // Leases and what other trackers told: each goes on from memory.
      Redis: [() => all.redis.kill(), () => all.redis.start(), 0],
      // What it has others gave it.
      node: [() => others[0]!.nodes[0]!.kill(), () => others[0]!.nodes[0]!.start(), 0],
      // Of an image that is new nothing is there.
      'S3 server': [() => all.s3.kill(), () => all.s3.start(), 0],
    };
    for (const [what, [kill, start, lost]] of Object.entries(strikes)) {
      await t.test(`one is killed in the middle of a pull: ${what}`, { timeout: STEP_MS }, async (t) => {
        const image = await all.push(`kill-${what.toLowerCase().replace(' ', '-')}`);
        const pulling = what === 'node' ? nodes.filter((node) => node !== others[0]!.nodes[0]) : nodes;
        const { crossed, failed, fallbacks, registry } = await pullAll(all, image, pulling, kill);
        t.same(failed, []);
        t.ok(
          registry <= 1 + lost + SLACK,
          `the registry sent ${registry.toFixed(3)}x; ${[...crossed, ...fallbacks].join(', ')}`,
        );
        await start();
        await healed(all);
      });
    }

    await t.test('a site that is cut off goes on', { timeout: STEP_MS * 2 }, async (t) => {
      const held = await all.push('held');
      once(t, await pullAll(all, held, [...away.nodes.slice(1), ...others.flatMap((site) => site.nodes)]));
      const [during, later] = [await all.push('during'), await all.push('later')];
      const early = pullAll(all, during, nodes, () => away.border.cut(true));
      const cut = await early;
      t.same(cut.failed, [], 'what is under way when it happens');
      t.comment(`of it the registry sent ${cut.registry.toFixed(3)}x; ${cut.fallbacks.join(', ')}`);
      const seconds = await untilKnown(all.sites, 'supernodes', (known, site) =>
        site === away ? known === 1 : known === others.length,
      );
      t.comment(`${seconds.toFixed(1)} s later both sides know who is left`);
      const kept = await pullAll(all, held, away.nodes);
      t.same(kept.failed, [], 'what the site holds');
      t.ok(kept.registry < 0.01, `and the registry sent ${kept.registry.toFixed(4)}x of it`);
      const fresh = await pullAll(all, later, nodes);
      t.same(fresh.failed, [], 'what it does not hold comes by its own replica of the registry');
      t.ok(
        fresh.registry <= 2.01,
        `once on each side: ${fresh.registry.toFixed(3)}x; ${fresh.fallbacks.join(', ')}`,
      );
      await away.border.cut(false);
      await healed(all);
      const after = await all.push('after');
      once(t, await pullAll(all, after, nodes));
    });

    t.same(
      all.machines.filter(({ hasDied }) => hasDied).map(({ name }) => name),
      [],
      'nobody ended by itself',
    );
  },
);
