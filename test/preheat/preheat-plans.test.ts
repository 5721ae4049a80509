import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { decodeControl } from '../../lib/wire/control-codec.ts';
import type { ControlMessage } from '../../lib/wire/control-messages.ts';
import type { PlanQuestion } from '../../lib/wire/plan-messages.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';
import { PreheatPlans } from '../../tracker/preheat/plans/preheat-plans.ts';
import { PreheatJobs } from '../../tracker/preheat/preheat-jobs.ts';
import { BLOBS, IMAGE, id, MANIFEST } from './core-rig.ts';

/** A tracker's plans and jobs, with members whose messages are collected. */
async function open(records: KeyValue, health: readonly string[] = []) {
  const clock = new FakeClock();
  const metrics = createTrackerMetrics({ defaults: false });
  const deps = { log: silentLog(), clock, metrics, wallClockMs: () => 1_000_000 + clock.now(), records };
  const jobs = await PreheatJobs.open(deps, {
    defaultNodes: 'all',
    allows: (name) => name === 'registry.test',
  });
  const plans = await PreheatPlans.open({ ...deps, jobs }, { health });
  const sent: { readonly to: number; readonly message: ControlMessage }[] = [];
  const join = (number: number): void =>
    jobs.joined({ id: id(number), role: 'node', host: 'node', port: 1, zone: '' }, (text) => {
      const message = decodeControl(text);
      if (message === undefined) return;
      sent.push({ to: number, message });
      // A member that does what it is told, at once.
      queueMicrotask(() => {
        if (message.type === 'preheat-resolve') {
          const image = { reference: message.reference ?? '', digest: MANIFEST, blobs: BLOBS };
          jobs.heard(id(number), { type: 'preheat-resolved', task: message.task, image });
        } else if (message.type === 'preheat') {
          jobs.heard(id(number), { type: 'preheat-progress', task: message.task, state: 'done', bytes: 150 });
        }
      });
    });
  /** Time passes; what has been begun comes to an end in between. */
  const pass = async (ms: number): Promise<void> => {
    const untilMs = clock.now() + ms;
    for (;;) {
      await new Promise(setImmediate);
      if (!clock.advanceToNext(untilMs)) return;
    }
  };
  return { jobs, plans, sent, join, pass };
}

async function healthServer(t: Test): Promise<{ origin: string; answer: number; asked: string[] }> {
  const state = { origin: '', answer: 200, asked: [] as string[] };
  const server = createServer((request, response) => {
    state.asked.push(request.url ?? '');
    response.writeHead(state.answer, { location: '/elsewhere' }).end('x'.repeat(100_000));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  state.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return state;
}

async function until(condition: () => boolean, pass: (ms: number) => Promise<void>): Promise<void> {
  const deadline = AbortSignal.timeout(10_000);
  while (!condition()) {
    deadline.throwIfAborted();
    await pass(200);
  }
}

const STAGES = [{ nodes: '1', pause: '10m' }, { nodes: 'all' }];

t.test(
  'a plan outlives a kill of its tracker in a pause, and later batches get the same bytes',
  async (t) => {
    const records = createMemoryKeyValue();
    const first = await open(records);
    for (const number of [1, 2, 3]) first.join(number);
    const { id: number } = await first.plans.create({ images: [IMAGE], stages: STAGES });
    await first.pass(1_000);
    t.match(first.plans.get(number), { state: 'running', phase: 'pause', stages: [{ done: 1 }, {}] });
    t.equal((await first.jobs.create({ image: IMAGE })).id, 3, 'jobs and plans share their numbers');

    const second = await open(records.crash(0));
    for (const each of [1, 2, 3]) second.join(each);
    t.match(second.plans.get(number), { phase: 'pause', images: [{ digest: MANIFEST }] });
    await second.pass(11 * 60_000);
    t.match(second.plans.get(number), {
      state: 'succeeded',
      stages: [{ done: 1 }, { machines: 2, done: 2 }],
    });
    const asked = second.sent.flatMap(({ message }) =>
      message.type === 'preheat-resolve' ? [message.reference] : [],
    );
    t.ok(asked.includes(MANIFEST), 'by digest: the tag may mean something else by now');
    t.equal((await second.jobs.create({ image: IMAGE, nodes: '2' })).id > 4, true);
  },
);

t.test('a plan outlives a kill while its job is at work', async (t) => {
  const records = createMemoryKeyValue();
  const first = await open(records);
  const { id: number } = await first.plans.create({ images: [IMAGE], stages: [{ nodes: 'all' }] });
  t.match(first.plans.get(number), { state: 'stopped' }, 'nobody is there yet');
  first.jobs.joined({ id: id(1), role: 'node', host: 'node', port: 1, zone: '' }, () => {});
  await first.plans.change(number, 'resume');
  await first.pass(1_000);
  const { job } = first.plans.get(number) ?? {};
  t.ok(job);
  const second = await open(records.crash(0));
  second.join(1);
  t.equal(second.plans.get(number)?.job, job);
  await second.pass(15_000);
  t.match(second.plans.get(number), { state: 'succeeded' });
});

t.test('a job whose plan does not run ends with the kill that it outlived', async (t) => {
  const records = createMemoryKeyValue();
  const { jobs, plans, pass } = await open(records);
  jobs.joined({ id: id(1), role: 'node', host: 'node', port: 1, zone: '' }, () => {});
  const { id: number } = await plans.create({ images: [IMAGE], stages: [{ nodes: 'all' }] });
  await pass(1_000);
  const { job = 0 } = plans.get(number) ?? {};
  t.match(jobs.get(job), { state: 'running' });
  await plans.change(number, 'stop');
  // That the job is canceled is not on record yet.
  const next = await open(records.crash(0));
  t.match(next.plans.get(number), { state: 'stopped' });
  t.match(next.jobs.get(job), { state: 'canceled' });

  await jobs.createForPlan({ image: IMAGE }, '77/1/1', [id(1)]);
  const last = await open(records.crash(0));
  t.match(last.jobs.list(1), [{ nodes: 'plan=77/1/1', state: 'canceled' }], 'its plan is not on record');
});

t.test('a plan that was stopped stays so, whatever happens to its tracker then', async (t) => {
  const records = createMemoryKeyValue();
  const { join, pass, plans } = await open(records);
  join(1);
  const { id: number } = await plans.create({ images: [IMAGE], stages: STAGES });
  await pass(1_000);
  t.match(await plans.change(number, 'stop'), { state: 'stopped' });
  t.match((await open(records.crash(0))).plans.get(number), { state: 'stopped' });
  records.failBatches('EIO');
  await t.rejects(plans.change(number, 'cancel'), { code: 'STORE_FAILED' });
  t.match(plans.get(number), { state: 'canceled' }, 'it does not run in any case');
});

t.test('the health URL is asked itself: a redirect is no yes, another server is none of ours', async (t) => {
  const health = await healthServer(t);
  const { join, pass, plans } = await open(createMemoryKeyValue(), [health.origin]);
  join(1);
  const plan = { images: [IMAGE], stages: [{ nodes: 'all' }] };
  await t.rejects(plans.create({ ...plan, gate: { health: 'http://127.0.0.1:1/x' } }), {
    code: 'CONFIG_INVALID',
    message: /^gate.health: .*--preheat-health/,
  });
  health.answer = 302;
  const { id: number } = await plans.create({ ...plan, gate: { health: `${health.origin}/ok?a=b` } });
  await until(() => plans.get(number)?.state !== 'running', pass);
  t.match(plans.get(number), { state: 'stopped', why: { code: 'PLAN_STOPPED', message: /answered 302/ } });
  t.same(health.asked, Array(3).fill('/ok?a=b'));
  health.answer = 200;
  await plans.change(number, 'resume');
  await until(() => plans.get(number)?.state !== 'running', pass);
  t.match(plans.get(number), { state: 'succeeded' });
});

t.test('members ask by their connection; what is over cannot be resumed', async (t) => {
  const records = createMemoryKeyValue();
  const { join, pass, plans, sent } = await open(records);
  join(1);
  const ask = async (question: PlanQuestion) => {
    plans.heard(id(1), { type: 'plan-ask', ask: 7, question });
    await pass(400);
    return sent.findLast(({ message }) => message.type === 'plan-told')?.message;
  };
  const plan = { images: [IMAGE], stages: [{ nodes: 'all' }] };
  t.match(await ask({ act: 'create', plan }), { ask: 7, plans: [{ id: 1, name: 'app:v1' }] });
  t.match(await ask({ act: 'get', id: 1 }), { plans: [{ state: 'succeeded' }] });
  t.match(await ask({ act: 'resume', id: 1 }), { error: { code: 'PLAN_STOPPED', message: /has succeeded/ } });
  t.match(await ask({ act: 'stop', id: 9 }), { error: { code: 'JOB_UNKNOWN' } });
  t.match(await ask({ act: 'create', plan: { ...plan, images: ['evil.test/app:v1'] } }), {
    error: { code: 'UPSTREAM_UNKNOWN', message: /^images\[0\]: / },
  });
  t.match(await ask({ act: 'list' }), { plans: [{ id: 1 }] });
  t.equal(plans.heard(id(1), { type: 'plan-told', ask: 1, plans: [] }), false, 'what only trackers say');
  records.failBatches('EIO');
  t.match(await ask({ act: 'create', plan }), { error: { code: 'STORE_FAILED' } });
  t.match(await ask({ act: 'list' }), { plans: [{ state: 'canceled' }, { id: 1 }] });
});

t.test('the newest jobs are shown without those of plans where plans stand for them', async (t) => {
  const { join, jobs, pass, plans } = await open(createMemoryKeyValue());
  join(1);
  const { id: number } = await jobs.create({ image: IMAGE });
  for (let made = 0; made < 3; made++) {
    await plans.create({ images: [IMAGE], stages: [{ nodes: 'all' }] });
    await pass(1_000);
  }
  t.match(jobs.list(2), [{ nodes: /^plan=/ }, { nodes: /^plan=/ }]);
  t.match(jobs.list(2, { ofPlans: false }), [{ id: number }]);
});
