import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { decodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';
import type { PreheatQuestion } from '../../lib/wire/preheat-messages.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';
import { openJobRecords } from '../../tracker/preheat/open-job-records.ts';
import { PreheatJobs } from '../../tracker/preheat/preheat-jobs.ts';
import { BLOBS, IMAGE, id, MANIFEST } from './core-rig.ts';

const SECRET = 'Bearer very-secret';

/** A tracker's jobs with one node, whose messages are collected. */
async function open(records: KeyValue) {
  const clock = new FakeClock();
  const metrics = createTrackerMetrics({ defaults: false });
  const deps = { log: silentLog(), clock, metrics, wallClockMs: () => 1_000_000 + clock.now(), records };
  const jobs = await PreheatJobs.open(deps, {
    defaultNodes: 'all',
    allows: (name) => name === 'registry.test',
  });
  const sent: ControlMessage[] = [];
  const join = (): void =>
    jobs.joined({ id: id(1), role: 'node', host: 'node', port: 1, zone: '' }, (text) => {
      const message = decodeControl(text);
      if (message !== undefined) sent.push(message);
    });
  const resolve = (): void => {
    const order = sent.findLast((message) => message.type === 'preheat-resolve');
    if (order?.type !== 'preheat-resolve') throw new Error('nobody was asked');
    const image = { reference: 'v1', digest: MANIFEST, blobs: BLOBS };
    jobs.heard(id(1), { type: 'preheat-resolved', task: order.task, image });
  };
  const progress = (state: 'running' | 'done', bytes: number): void => {
    const order = sent.findLast((message) => message.type === 'preheat');
    if (order?.type !== 'preheat') throw new Error('nothing was ordered');
    jobs.heard(id(1), { type: 'preheat-progress', task: order.task, state, bytes });
  };
  const pass = (ms: number): void => {
    const untilMs = clock.now() + ms;
    while (clock.advanceToNext(untilMs));
  };
  return { jobs, join, metrics, pass, progress, resolve, sent };
}

async function contents(records: KeyValue): Promise<string> {
  let text = '';
  for await (const [, value] of records.entries('')) text += Buffer.from(value).toString();
  return text;
}

t.test('a job outlives a kill of its tracker at any time, and its credentials do not', async (t) => {
  const records = createMemoryKeyValue();
  const first = await open(records);
  first.join();
  const { id: number } = await first.jobs.create({ image: IMAGE }, SECRET);
  t.match(await contents(records), /registry\.test/);
  first.resolve();
  first.progress('running', 100);
  first.pass(1500);
  await new Promise(setImmediate);
  t.notMatch(await contents(records), /very-secret/);
  t.match(first.sent.at(-1), { type: 'preheat', authorization: SECRET });

  // Nothing but what was on stable storage is left.
  const second = await open(records.crash(0));
  t.match(second.jobs.get(number), { state: 'running', notes: [/restarted/], image: IMAGE });
  second.join();
  second.pass(11_000);
  second.resolve();
  t.match(second.sent.at(-1), { type: 'preheat', blobs: BLOBS });
  t.notOk('authorization' in (second.sent.at(-1) ?? {}));
  second.progress('done', 150);
  t.match(second.jobs.get(number), { state: 'succeeded', doneBytes: 150 });
  t.match(await second.metrics.registry.metrics(), /preheat_jobs_total\{outcome="succeeded"\} 1/);
});

t.test('on a real disk; what cannot be read is left out; a folder in use is done without', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-jobs-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const records = await openJobRecords(silentLog(), folder);
  if (records === undefined) throw new Error('no records');
  t.equal(await openJobRecords(silentLog(), folder), undefined, 'another tracker has it');
  const first = await open(records);
  first.join();
  await first.jobs.create({ image: IMAGE });
  first.resolve();
  first.progress('done', 150);
  await first.jobs.close();
  await records.batch([{ type: 'put', key: 'job/zzz', value: Buffer.from('{') }], { sync: true });
  await records.close();
  const again = await openJobRecords(silentLog(), folder);
  if (again === undefined) throw new Error('no records');
  t.teardown(() => again.close());
  const second = await open(again);
  t.match(second.jobs.list(10), [{ id: 1, state: 'succeeded', images: [{ digest: MANIFEST }] }]);
  t.equal((await second.jobs.create({ image: IMAGE })).id, 2);
});

t.test('a job that cannot be kept is refused, one of another registry too', async (t) => {
  const records = createMemoryKeyValue();
  const { jobs } = await open(records);
  records.failBatches('EIO');
  await t.rejects(jobs.create({ image: IMAGE }), { code: 'STORE_FAILED' });
  t.match(jobs.list(1), [{ state: 'canceled' }], 'nor done');
  await t.rejects(jobs.create({ image: 'evil.test/app:v1' }), { code: 'UPSTREAM_UNKNOWN' });
});

t.test('newer credentials that cannot be noted end no job that is at work', async (t) => {
  const records = createMemoryKeyValue();
  const { jobs } = await open(records);
  const { id: number } = await jobs.create({ image: IMAGE });
  records.failBatches('EIO');
  await t.rejects(jobs.create({ image: IMAGE }, SECRET), { code: 'STORE_FAILED' });
  t.match(jobs.list(9), [{ id: number, state: 'running' }]);
});

t.test('members ask by their connection', async (t) => {
  const { jobs, join, sent } = await open(createMemoryKeyValue());
  join();
  const ask = async (question: PreheatQuestion) => {
    jobs.heard(id(1), { type: 'preheat-ask', ask: 7, question });
    await new Promise(setImmediate);
    return sent.findLast(({ type }) => type === 'preheat-told');
  };
  t.match(await ask({ act: 'create', wish: { image: IMAGE } }), { ask: 7, jobs: [{ id: 1, image: IMAGE }] });
  t.match(await ask({ act: 'cancel', id: 1 }), { jobs: [{ state: 'canceled' }] });
  t.match(await ask({ act: 'get', id: 9 }), { jobs: [], error: { code: 'JOB_UNKNOWN' } });
  t.match(await ask({ act: 'create', wish: { image: 'A' } }), { error: { code: 'REFERENCE_INVALID' } });
  t.match(await ask({ act: 'list' }), { jobs: [{ id: 1 }] });
  t.equal(jobs.heard(id(1), { type: 'preheat-cancel', task: 'x' }), false, 'what only trackers say');
});
