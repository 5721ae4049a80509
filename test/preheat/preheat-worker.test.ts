import t from 'tap';
import type { BlobRequest } from '../../lib/core/blob-source.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PreheatLink } from '../../lib/discovery/preheat-port.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { MemoryOrigin } from '../../lib/origin/memory/memory-origin.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { PreheatWorker } from '../../lib/transfer/preheat/preheat-worker.ts';
import type { PreheatMessage } from '../../lib/wire/preheat-messages.ts';
import { BLOBS } from './core-rig.ts';

const KIB = 1024;
const ORDER: Extract<PreheatMessage, { readonly type: 'preheat' }> = {
  type: 'preheat',
  ...{ task: 'a.b', upstream: 'memory.test', repository: 'team/app' },
  ...{ blobs: BLOBS, everyMs: 500, authorization: 'Bearer secret' },
};

function rig(fetch: (request: BlobRequest, signal: AbortSignal) => Promise<void>) {
  const clock = new FakeClock();
  const origin = new MemoryOrigin({ clock, latencyMs: 1, bytesPerSecond: 1 }).client();
  const worker = new PreheatWorker(
    { clock, origin, log: silentLog(), metrics: createMetrics({ defaults: false }) },
    { labels: { pool: 'gpu' }, parallel: 1, fetch: (request, { signal }) => fetch(request, signal) },
  );
  const sent: PreheatMessage[] = [];
  const link: PreheatLink = { id: 'ws://tracker', connected: true, send: (message) => sent.push(message) };
  const settle = async (untilMs = 0): Promise<void> => {
    const end = clock.now() + untilMs;
    do await new Promise(setImmediate);
    while (clock.advanceToNext(end));
  };
  return { clock, link, sent, settle, worker };
}

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));

t.test('blobs in their order, with the credentials, and the end is told', async (t) => {
  const asked: BlobRequest[] = [];
  const { link, sent, settle, worker } = rig(async (request) => void asked.push(request));
  worker.welcomed(link);
  t.same(sent.shift(), { type: 'labels', labels: { pool: 'gpu' } });
  worker.heard(link, ORDER);
  await settle();
  t.same(
    asked.map(({ digest }) => digest),
    BLOBS.map(({ digest }) => digest),
  );
  t.match(asked[0]?.origin, {
    upstream: 'memory.test',
    repository: 'team/app',
    authorization: 'Bearer secret',
  });
  t.same(sent, [{ type: 'preheat-progress', task: 'a.b', state: 'done', bytes: 150 }]);
});

t.test('an order that comes again goes on; one that is taken back ends, and nothing is told', async (t) => {
  let begun = 0;
  const { link, sent, settle, worker } = rig(async (_request, signal) => {
    begun++;
    await untilAborted(signal);
  });
  worker.heard(link, ORDER);
  worker.heard(link, ORDER);
  await settle(2000);
  t.equal(begun, 1);
  t.match(sent[0], { state: 'running', bytes: 0 });
  const told = sent.length;
  worker.heard(link, { type: 'preheat-cancel', task: 'a.b' });
  await settle(2000);
  t.equal(sent.length, told);
  worker.heard(link, ORDER);
  await settle();
  t.equal(begun, 2, 'a new order is a new one');
  await worker.close();
});

t.test('a registry that is away for a moment is asked again, one that refuses is not', async (t) => {
  let failures = 2;
  const away = rig(async () => {
    if (failures-- > 0) throw new DamselflyError('UPSTREAM_UNREACHABLE', 'away');
  });
  away.worker.heard(away.link, ORDER);
  await away.settle(10_000);
  t.match(away.sent.at(-1), { state: 'done', bytes: 150 });
  let asked = 0;
  const refusing = rig(async () => {
    asked++;
    throw new DamselflyError('UPSTREAM_REFUSED', 'no', { status: 403 });
  });
  refusing.worker.heard(refusing.link, ORDER);
  await refusing.settle(10_000);
  t.equal(asked, 1);
  t.match(refusing.sent, [{ state: 'failed', error: { code: 'UPSTREAM_REFUSED', message: 'no' } }]);
});

t.test('a rate is kept from blob to blob', async (t) => {
  const times: number[] = [];
  const { clock, link, settle, worker } = rig(async () => void times.push(clock.now()));
  const blobs = BLOBS.map(({ digest }) => ({ digest, size: 640 * KIB }));
  worker.heard(link, { ...ORDER, blobs, rate: 64 * KIB });
  await settle(60_000);
  t.same(times, [0, 10_000]);
});

t.test('what is paused is not fetched, and too much at once is refused', async (t) => {
  const { link, sent, settle, worker } = rig((_request, signal) => untilAborted(signal));
  worker.obeyPause((upstream) => upstream === 'paused.test');
  worker.heard(link, { ...ORDER, upstream: 'paused.test' });
  t.match(sent, [{ state: 'failed', error: { code: 'JOB_REFUSED', message: /paused/ } }]);
  for (let task = 0; task <= 64; task++) worker.heard(link, { ...ORDER, task: `${task}.b` });
  await settle();
  t.match(sent.at(-1), { task: '64.b', state: 'failed', error: { code: 'PEER_BUSY' } });
  await worker.close();
  worker.heard(link, ORDER);
  t.match(sent.at(-1), { task: '64.b' }, 'nothing after its end');
});

t.test('an image that cannot be resolved is told', async (t) => {
  const { link, sent, settle, worker } = rig(async () => {});
  const order = {
    type: 'preheat-resolve',
    task: 'a.r0',
    upstream: 'memory.test',
    repository: 'app',
  } as const;
  worker.heard(link, { ...order, reference: 'v1', platforms: [] });
  worker.heard(link, { ...order, task: 'a.r1', tags: 'v*', platforms: [] });
  await settle(1000);
  const tasks = sent.flatMap((message) => (message.type === 'preheat-resolved' ? [message.task] : []));
  t.same(tasks.sort(), ['a.r0', 'a.r1']);
  for (const message of sent) t.match(message, { error: { code: 'UPSTREAM_UNREACHABLE' } });
});

t.test('questions of people: no tracker, one that goes away, one that says nothing', async (t) => {
  const { clock, link, sent, settle, worker } = rig(async () => {});
  const { signal } = new AbortController();
  const ask = (tracker?: string) => worker.questions.ask({ act: 'list' }, tracker, signal);
  await t.rejects(ask(), { code: 'TRACKER_UNREACHABLE' });
  worker.trackers([link]);
  await t.rejects(ask('ws://another'), {
    code: 'TRACKER_UNREACHABLE',
    message: /^ws:..another does not answer/,
  });
  const cut = ask();
  worker.lost(link);
  await t.rejects(cut, { code: 'TRACKER_UNREACHABLE' });
  const silent = t.rejects(ask(), { code: 'TRACKER_UNREACHABLE' });
  await settle(6000);
  await silent;
  t.ok(clock.now() >= 5000);
  const answered = ask();
  const asked = sent.at(-1);
  if (asked?.type !== 'preheat-ask') throw new Error('nothing was asked');
  worker.heard(link, { type: 'preheat-told', ask: asked.ask, jobs: [] });
  t.same(await answered, { tracker: 'ws://tracker', jobs: [] });
});
