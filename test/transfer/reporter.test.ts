import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { Reporter } from '../../lib/transfer/reporter.ts';
import type { SwarmStatus } from '../../lib/transfer/swarm-status.ts';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import type { ReportMessage } from '../../lib/wire/report-messages.ts';

const digest = digestOf(Buffer.from('layer'));
const other = digestOf(Buffer.from('other'));
const supernode = 'ab'.repeat(20);
const WATCH = { type: 'watch', everyMs: 1000, forMs: 10_000, fresh: true } as const;

function setUp() {
  const clock = new FakeClock();
  const metrics = createMetrics({ defaults: false });
  const reporter = new Reporter(clock, metrics);
  const shared: SwarmStatus['blobs'][number][] = [];
  reporter.follow(() => shared);
  const reports: ReportMessage[] = [];
  const link = {};
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const next = async (): Promise<ReportMessage | undefined> => {
    const until = clock.now() + 1000;
    do await settle();
    while (clock.advanceToNext(until));
    return reports.at(-1);
  };
  const send = (report: ReportMessage): void => {
    // Whatever it says, a tracker reads it.
    t.same(decodeControl(encodeControl(report)), report);
    reports.push(report);
  };
  return { metrics, reporter, shared, reports, link, settle, next, send };
}

const blob = (of: typeof digest, held: number, readers = 1) => ({
  ...{ digest: of, size: 4096, pieces: 4, held, readers, waitingMs: 0, efficiency: null },
});

t.test('everything first, then only what has changed', async (t) => {
  const { link, metrics, next, reporter, reports, send, settle, shared } = setUp();
  shared.push(blob(digest, 1), blob(other, 4, 0));
  metrics.receivedBytes.inc({ source: 'peer' }, 1000);
  metrics.receivedBytes.inc({ source: 'object-store' }, 70);
  metrics.sentBytes.inc({ to: 'client' }, 10);
  reporter.watched(link, WATCH, send);
  await settle();
  t.match(reports, [
    {
      fresh: true,
      version: /^\d/,
      bytes: { peer: 1000, objectStore: 70, toClients: 10, origin: 0 },
      blobs: [
        { handle: 0, digest, size: 4096, pieces: 4, held: 1 },
        { handle: 1, digest: other, held: 4 },
      ],
    },
  ]);
  shared[0] = blob(digest, 2);
  metrics.receivedBytes.inc({ source: 'peer' }, 24);
  const second = await next();
  t.same(second?.blobs, [{ handle: 0, held: 2, readers: 1 }]);
  t.equal(second?.fresh, undefined);
  t.equal(second?.bytes.peer, 1024, 'sums are those of the metrics');
  shared.shift();
  t.match(await next(), { blobs: [], gone: [0] });
  shared.push(blob(digest, 0));
  t.match(await next(), { blobs: [{ handle: 2, digest }], gone: [] }, 'what comes back is told anew');
});

t.test('who sent, who is banned, and what clients waited for', async (t) => {
  const { link, next, reporter, reports, send, settle } = setUp();
  reporter.note(0, { kind: 'ban', peer: 'cd'.repeat(20), reason: 'corrupt-piece' });
  reporter.watched(link, WATCH, send);
  await settle();
  t.match(reports[0]?.bans, [{ reason: 'corrupt-piece' }], 'also bans from before anybody watched');
  const piece = {
    kind: 'piece',
    digest,
    index: 3,
    source: 'supernode',
    generation: 'g',
    from: supernode,
  } as const;
  reporter.note(900, { ...piece, bytes: 4096, knownMs: 50, askedMs: 100, arrivedMs: 880 });
  reporter.note(900, { kind: 'waited', pull: 1, digest, index: 3, sinceMs: 0 });
  t.match(await next(), {
    from: [[supernode, 4096]],
    bans: [],
    slow: { cause: 'transfer', on: supernode, ms: 780, ofMs: 1000 },
  });
  const quiet = await next();
  t.same([quiet?.from, quiet?.slow], [[], undefined], 'each is told once');
});

t.test('a client that waits and gets nothing is told of, too', async (t) => {
  const { link, next, reporter, send, settle, shared } = setUp();
  reporter.watched(link, WATCH, send);
  await settle();
  shared.push({ ...blob(digest, 0), waitingMs: 5000 });
  t.match(await next(), { slow: { cause: 'source', ms: 1000, ofMs: 1000 } });
});

t.test('nobody watches any more: it stops by itself, and begins anew when asked anew', async (t) => {
  const { link, next, reporter, reports, send, settle } = setUp();
  reporter.watched(link, WATCH, send);
  await settle();
  for (let seconds = 0; seconds < 30; seconds++) await next();
  t.equal(reports.length, 11, 'for ten seconds');
  reporter.watched(link, WATCH, send);
  await settle();
  t.equal(reports.at(-1)?.fresh, true);
  const more = { type: 'watch', everyMs: 1000, forMs: 10_000 } as const;
  for (let seconds = 0; seconds < 30; seconds++) {
    reporter.watched(link, more, send);
    await next();
  }
  t.equal(reports.filter(({ fresh }) => fresh === true).length, 2, 'prolonged, it goes on');
  t.equal(reports.length, 42);
});
