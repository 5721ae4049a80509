import type { Page } from 'playwright-core';
import t from 'tap';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { pullImage } from '../../bench/fixtures/pull.ts';
import { openBrowser, refreshes, tileIs } from '../helpers/browser.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { S3_CREDENTIALS, startS3 } from '../helpers/s3-server.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const NODES = 4;

Object.assign(process.env, S3_CREDENTIALS);

const SUMS = ['origin', 'object-store', 'supernode', 'peer', 'to-clients'] as const;
type Sums = Record<(typeof SUMS)[number], number>;

/** The value of a counter with a label in Prometheus text. */
function valueOf(text: string, name: string, label: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${name}{`) && each.includes(`"${label}"`));
  return Number(line?.split(' ').at(-1) ?? 0);
}

const NOTHING: Sums = { origin: 0, 'object-store': 0, supernode: 0, peer: 0, 'to-clients': 0 };

interface Measured {
  readonly sums: Sums;
  /** By peer address. */
  readonly rows: ReadonlyMap<string, Sums>;
}

/** What `/metrics` of all processes say now. */
async function measure({ daemons, supernodes }: Cluster): Promise<Measured> {
  const rows = new Map<string, Sums>();
  const sums: Sums = { ...NOTHING };
  await Promise.all(
    [...daemons, ...supernodes].map(async ({ ready }) => {
      const text = await (await fetch(`http://${ready.admin}/metrics`)).text();
      const row = {
        origin: valueOf(text, 'damselfly_received_bytes_total', 'origin'),
        'object-store': valueOf(text, 'damselfly_received_bytes_total', 'object-store'),
        supernode: valueOf(text, 'damselfly_received_bytes_total', 'supernode'),
        peer: valueOf(text, 'damselfly_received_bytes_total', 'peer'),
        'to-clients': valueOf(text, 'damselfly_sent_bytes_total', 'client'),
      };
      rows.set(ready.peer, row);
      for (const key of SUMS) sums[key] += row[key];
    }),
  );
  return { sums, rows };
}

/** A client reads one blob. */
async function readBlob(stage: Stage, daemon: Cluster['daemons'][number], digest: string): Promise<void> {
  await (await fetch(`${proxyUrl(daemon)}/v2/${stage.repository}/blobs/${digest}`)).arrayBuffer();
}

/** Has another cluster, which is gone then, keep one layer in the bucket. */
async function fillBucket(stage: Stage, supernodeFlags: readonly string[], digest: string): Promise<void> {
  const folder = await stage.makeFolder('before');
  const cluster = await stage.startCluster({
    folder,
    nodes: 1,
    supernodes: 1,
    secure: false,
    supernodeFlags,
  });
  const [daemon, supernode] = [cluster.daemons[0]!, cluster.supernodes[0]!];
  await readBlob(stage, daemon, digest);
  const deadline = AbortSignal.timeout(30_000);
  for (let kept = 0; kept === 0; ) {
    const text = await (await fetch(`http://${supernode.ready.admin}/metrics`, { signal: deadline })).text();
    kept = Number(/^damselfly_object_store_total\{kind="keep",outcome="ok"\} (\d+)$/m.exec(text)?.[1] ?? 0);
  }
  await cluster.stop();
}

/** Runs in the page. */
const READ_TILES = `[...document.querySelectorAll('#tiles > div')].map((tile) =>
  [tile.dataset.key, tile.querySelector('dd').dataset.exact])`;
const READ_ROWS = `[...document.querySelectorAll('#members tr')].map((row) =>
  [...row.querySelectorAll('td')].map((cell) => cell.dataset.exact ?? cell.textContent))`;
const READ_PERCENTS = `[...document.querySelectorAll('#swarms button')].map((button) => Number(button.dataset.percent))`;

/** What the page shows: the tiles, and the rows of its members by address. */
async function shown(page: Page): Promise<Measured & { readonly tiles: ReadonlyMap<string, string> }> {
  const [tiles, rows] = await page.evaluate<[[string, string][], string[][]]>(
    `[${READ_TILES}, ${READ_ROWS}]`,
  );
  const exact = new Map(tiles);
  return {
    tiles: exact,
    sums: Object.fromEntries(SUMS.map((key) => [key, Number(exact.get(key))])) as Sums,
    rows: new Map(
      rows.map(([, address = '', , , origin, bucket, supernode, peer, , toClients]) => [
        address,
        {
          ...{ origin: Number(origin), 'object-store': Number(bucket) },
          ...{ supernode: Number(supernode), peer: Number(peer), 'to-clients': Number(toClients) },
        },
      ]),
    ),
  };
}

/** Looks at each refresh. The page's policy lets nothing in it evaluate text, so that playwright cannot wait there. */
async function until(page: Page, expression: string): Promise<void> {
  const deadline = AbortSignal.timeout(60_000);
  while ((await page.evaluate(expression)) !== true) {
    deadline.throwIfAborted();
    await refreshes(page, 1);
  }
}

t.test(
  'the live page shows a pull from 0 to 100 %, with the numbers of /metrics no more than a refresh old',
  { skip: skipReason({ programs: ['docker-registry', 'chromium'] }) },
  async (t) => {
    const stage = await createStage('live', {
      image: { totalBytes: 96 * MIB, layers: 3 },
      registryRate: 10 * MIB,
    });
    t.teardown(() => stage[Symbol.asyncDispose]());
    const s3 = await startS3();
    t.teardown(() => s3.close());
    const supernodeFlags = ['--blob-store', s3.url];
    const [inBucket] = stage.image.layers;
    await fillBucket(stage, supernodeFlags, inBucket!.digest);
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1, secure: false, supernodeFlags });
    const { daemons, tracker } = cluster;
    const origin = `http://${tracker.ready.http}`;
    const browser = await openBrowser(origin);
    t.teardown(() => browser[Symbol.asyncDispose]());
    const { page, problems } = browser;
    await page.goto(`${origin}/live`);
    await tileIs(page, 'reporting', NODES + 1);
    const before = await shown(page);
    t.equal(before.tiles.get('nodes'), String(NODES));
    t.equal(before.tiles.get('supernodes'), '1');
    t.equal(before.tiles.get('zones'), '1');
    t.match(before.tiles.get('versions'), /^\d+\.\d+\.\d+$/);
    t.same(before.sums, NOTHING);
    await browser.picture('live-0-before');
    await readBlob(stage, daemons[0]!, inBucket!.digest);

    const image = { repository: stage.repository, tag: stage.image.tag };
    const { signal } = new AbortController();
    let done = false;
    const pulls = Promise.all(
      daemons.map((daemon) => pullImage({ ...image, base: proxyUrl(daemon) }, { signal })),
    ).finally(() => {
      done = true;
    });
    const seen = new Set<number>();
    for (let looks = 0; !done; looks++) {
      const least = await measure(cluster);
      await refreshes(page, 2);
      const now = await shown(page);
      const most = await measure(cluster);
      for (const key of SUMS) {
        const within = least.sums[key] <= now.sums[key] && now.sums[key] <= most.sums[key];
        t.ok(within, `${key}: ${least.sums[key]} <= ${now.sums[key]} <= ${most.sums[key]}`);
        for (const [address, row] of now.rows) {
          const low = least.rows.get(address)?.[key] ?? -1;
          const high = most.rows.get(address)?.[key] ?? -1;
          if (row[key] < low || row[key] > high) {
            t.fail(`${key} of ${address}: ${low} <= ${row[key]} <= ${high}`);
          }
        }
      }
      const percents = await page.evaluate<number[]>(READ_PERCENTS);
      for (const percent of percents) seen.add(percent);
      if (looks === 1) {
        await browser.picture('live-1-during');
        await page.emulateMedia({ colorScheme: 'dark' });
        await refreshes(page, 1);
        await browser.picture('live-1-during-dark');
        await page.emulateMedia({ colorScheme: 'light' });
      }
    }
    const ended = await pulls;
    for (const { manifestDigest } of ended) t.equal(manifestDigest, stage.image.manifest.digest);
    t.ok(
      [...seen].some((percent) => percent > 0 && percent < 100),
      `on the way: ${[...seen].join(', ')} %`,
    );

    await until(
      page,
      `((all) => all.length >= 3 && all.every((percent) => percent === 100))(${READ_PERCENTS})`,
    );
    const metrics = await measure(cluster);
    await refreshes(page, 2);
    const after = await shown(page);
    t.same(after.sums, metrics.sums, 'once all is quiet the page says what /metrics say');
    t.same([...after.rows].sort(), [...metrics.rows].sort(), 'and so does each row');
    const blobs = stage.image.layers.reduce((sum, { size }) => sum + size, stage.image.config.size);
    t.equal(metrics.sums['to-clients'], NODES * blobs + inBucket!.size, 'all of it went to four clients');
    t.ok(
      SUMS.every((key) => metrics.sums[key] > 0),
      'some of it by every way, the bucket too',
    );
    t.match(await page.textContent('#picture-text'), `${NODES + 1} of ${NODES + 1} members have all of it`);
    await browser.picture('live-2-after');

    await t.test('the keyboard is enough', async (t) => {
      const focus = (what: string): Promise<string> =>
        page.evaluate<string>(`document.activeElement.${what}`);
      await page.evaluate('document.body.focus()');
      await page.keyboard.press('Tab');
      t.equal(await focus('textContent'), 'To the swarms');
      await page.keyboard.press('Enter');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Tab');
      const digest = await focus('dataset.digest');
      t.match(digest, /^sha256:/, 'a swarm has the focus');
      t.notMatch(await page.textContent('#picture-text'), digest.slice(0, 15), 'another one is shown');
      await page.keyboard.press('Enter');
      await refreshes(page, 1);
      t.equal(await focus("getAttribute('aria-pressed')"), 'true');
      t.match(await page.textContent('#picture-text'), digest.slice(0, 15));
    });

    await t.test('members are found by what they are', async (t) => {
      const { peer } = daemons[2]!.ready;
      await page.fill('#find', peer);
      await until(page, `document.querySelectorAll('#members tr').length === 1`);
      t.match(await page.textContent('#members'), peer);
      await page.fill('#find', '');
    });

    await t.test('a member that leaves is gone, and a tracker that is gone is told', async (t) => {
      await daemons[3]!.stop();
      await tileIs(page, 'nodes', NODES - 1);
      t.same(problems, [], 'no errors until here');
      await tracker.stop();
      await page.waitForSelector('#state[data-state=lost]');
      t.match(await page.textContent('#state'), /does not answer/);
    });
  },
);
