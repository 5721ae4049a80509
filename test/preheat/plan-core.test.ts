import t from 'tap';
import { decodeControl, encodeControl } from '../../lib/wire/control-codec.ts';
import { API, DIGEST, PlanRig, WEB } from './plan-rig.ts';

const HEALTH = 'https://prometheus.test/ok';

t.test('stage by stage, batch by batch, image by image; nobody twice', async (t) => {
  const rig = new PlanRig();
  rig.join([1, 2], 'eu/fra');
  rig.join([3, 4, 5, 6], 'us');
  const plan = rig.create({
    images: [WEB, API],
    stages: [
      { name: 'near', nodes: 'zone=eu' },
      { name: 'rest', nodes: 'all', batch: '50%' },
    ],
  });
  t.same(rig.fetching, { image: 0, machines: [1, 2] }, 'a zone has those within it');
  rig.end();
  t.same(rig.fetching, { image: 1, machines: [1, 2] });
  rig.end();
  const first = rig.fetching?.machines ?? [];
  t.equal(first.length, 2);
  t.match(rig.view(plan), {
    stage: 2,
    stages: [
      { machines: 2, done: 2, batch: 1, batches: 1 },
      { machines: 4, done: 0, batch: 1, batches: 2 },
    ],
  });
  rig.end();
  rig.end();
  const second = rig.fetching?.machines ?? [];
  t.same([...first, ...second].sort(), [3, 4, 5, 6], 'those of the first stage have it');
  rig.end();
  t.equal(plan.state, 'running');
  rig.end();
  t.match(rig.view(plan), { state: 'succeeded', stages: [{ done: 2 }, { done: 4, failed: 0 }] });
  t.same(plan.digests, [DIGEST, DIGEST]);
  t.notOk(rig.core.busy);
});

t.test('there is a pause after each batch, also over a stop', async (t) => {
  const rig = new PlanRig();
  rig.join([1, 2]);
  const plan = rig.create({ stages: [{ nodes: 'all', batch: '1', pause: '10m' }] });
  rig.end();
  t.equal(rig.fetching, undefined);
  t.match(rig.view(plan), { phase: 'pause', stages: [{ done: 1 }], pausedUntilMs: rig.nowMs + 600_000 });
  rig.pass(599_000);
  t.equal(rig.fetching, undefined);
  rig.do('stop', plan);
  rig.pass(10_000);
  t.equal(rig.fetching, undefined, 'nothing begins while it is stopped');
  rig.do('resume', plan);
  t.ok(rig.fetching, 'the pause is over by now');
  rig.end();
  t.equal(plan.state, 'succeeded', 'after the last batch there is nothing to wait for');
});

t.test('too many failures in a batch stop the plan; resumed, it begins with that batch', async (t) => {
  const rig = new PlanRig();
  rig.join([1, 2, 3, 4, 5, 6, 7, 8]);
  const plan = rig.create({
    images: [WEB, API],
    gate: { failed: '25%' },
    stages: [{ nodes: 'all', batch: '4' }],
  });
  const machines = rig.fetching?.machines ?? [];
  const [bad = 0, worse = 0, ...good] = machines;
  rig.end([bad]);
  t.same(rig.fetching, { image: 1, machines: [worse, ...good] }, 'one of four may; it is not asked for more');
  rig.end([worse]);
  t.match(plan, { state: 'stopped', why: { code: 'PLAN_STOPPED', message: /^2 of 4 machines.*no room/ } });
  t.match(rig.view(plan), { failures: [{ error: { code: 'STORE_FULL' } }, {}] });
  rig.pass(60_000);
  t.equal(rig.fetching, undefined);
  rig.do('resume', plan);
  t.same(rig.fetching, { image: 0, machines }, 'all of them, from the first image on');
  rig.endAll();
  t.match(rig.view(plan), { state: 'succeeded', stages: [{ done: 8, failed: 0 }] });
});

t.test('without a gate any failure stops; a number of machines may fail where that is said', async (t) => {
  for (const [failed, state] of [
    [undefined, 'stopped'],
    ['0%', 'stopped'],
    ['1', 'succeeded'],
    ['10%', 'stopped'],
  ] as const) {
    const rig = new PlanRig();
    rig.join([1, 2, 3]);
    const plan = rig.create({ gate: { failed } });
    rig.end([2]);
    t.equal(plan.state, state, failed ?? 'no gate');
  }
});

t.test('the health URL is asked before each batch, three times when it does not say yes', async (t) => {
  const rig = new PlanRig();
  rig.join([1, 2]);
  const plan = rig.create({ gate: { health: HEALTH }, stages: [{ nodes: 'all', batch: '1' }] });
  t.equal(rig.fetching, undefined);
  t.equal(rig.asked.length, 1);
  rig.health();
  rig.end();
  t.equal(rig.fetching, undefined, 'and again');
  rig.health('it answered 503');
  t.equal(rig.asked.length, 0);
  rig.pass(4_000);
  t.equal(rig.asked.length, 0);
  rig.pass(1_000);
  rig.health('it answered 503');
  rig.pass(5_000);
  t.equal(plan.state, 'running');
  rig.health('it answered 503');
  t.match(plan, { state: 'stopped', why: { message: `${HEALTH}: it answered 503` } });
  rig.do('resume', plan);
  rig.health('it answered 500');
  t.equal(plan.state, 'running', 'it has three attempts again');
  rig.pass(5_000);
  rig.health();
  rig.end();
  t.equal(plan.state, 'succeeded');
});

t.test('why a plan with a long health URL has stopped can be told to members', async (t) => {
  const rig = new PlanRig();
  rig.join([1]);
  const plan = rig.create({ gate: { health: `${HEALTH}?query=${'é'.repeat(400)}` } });
  for (let attempt = 0; attempt < 3; attempt++) {
    rig.health(`it did not answer: ${'x'.repeat(200)}`);
    rig.pass(5_000);
  }
  t.match(plan, { state: 'stopped', why: { message: /^https:\/\/prometheus.*: it did not answer: x/ } });
  const told = { type: 'plan-told', ask: 1, plans: [rig.view(plan)] } as const;
  t.match(decodeControl(encodeControl(told)), { plans: [{ why: plan.why }] });
});

t.test('stop ends the job under way, cancel for good', async (t) => {
  const rig = new PlanRig();
  rig.join([1]);
  const plan = rig.create();
  const job = rig.begin();
  rig.do('stop', plan);
  t.same(rig.canceled, [job.id]);
  t.match(plan, { state: 'stopped', why: { message: 'stopped by hand' } });
  rig.do('resume', plan);
  rig.do('stop', plan);
  rig.begin();
  t.equal(rig.canceled.length, 2, 'a job that begins after the stop ends too');
  rig.do('cancel', plan);
  rig.do('resume', plan);
  t.equal(plan.state, 'canceled');
  t.notOk(rig.core.busy);
});

t.test(
  'what cannot be brought at all stops it: no machine, no image, a job that somebody canceled',
  async (t) => {
    const rig = new PlanRig();
    rig.join([1], 'eu');
    const nobody = rig.create({ stages: [{ nodes: 'all' }, { name: 'moon', nodes: 'zone=moon' }] });
    rig.end();
    t.match(nobody, { state: 'stopped', why: { code: 'JOB_REFUSED', message: /stage moon: no machine/ } });
    rig.join([2], 'moon');
    rig.do('resume', nobody);
    t.same(rig.fetching?.machines, [2], 'machines that come later count when it is resumed');
    rig.end();

    const unknown = rig.create({ gate: { failed: '100%' } });
    const job = rig.begin();
    job.state = 'failed';
    job.error = { code: 'BLOB_UNKNOWN', message: 'no such tag' };
    rig.over(job);
    t.match(unknown, { state: 'stopped', why: { code: 'BLOB_UNKNOWN' } }, 'whatever the gate allows');

    const canceled = rig.create();
    const other = rig.begin();
    other.state = 'canceled';
    rig.over(other);
    t.match(canceled, { state: 'stopped', why: { message: `job ${other.id} was canceled` } });
  },
);

t.test('after a restart it waits for its members, and goes on where it was', async (t) => {
  const rig = new PlanRig();
  const plan = rig.create();
  t.match(plan.why, { code: 'JOB_REFUSED' }, 'nobody is there');
  rig.join([1, 2]);
  rig.do('resume', plan);
  const job = rig.begin();
  rig.restart([plan]);
  rig.pass(9_000);
  t.equal(rig.fetching, undefined);
  rig.pass(2_000);
  t.equal(rig.fetching, undefined, 'its job is still at work');
  rig.end([], job);
  t.equal(plan.state, 'succeeded');

  const lost = rig.create();
  rig.begin();
  delete lost.job;
  rig.restart([lost]);
  rig.pass(11_000);
  t.same(rig.fetching?.machines, [1, 2], 'a job that is not known any more is ordered again');
});

t.test('only so many plans are open, and only so many kept', async (t) => {
  const rig = new PlanRig();
  rig.join([1]);
  for (let made = 0; made < 60; made++) {
    rig.create();
    rig.end();
  }
  t.equal(rig.core.all.length, 50);
});

t.test('only so many plans run; those that are stopped keep nobody out', async (t) => {
  const rig = new PlanRig();
  rig.join([1]);
  const stopped = Array.from({ length: 20 }, () => rig.create());
  t.throws(() => rig.create(), { code: 'JOB_REFUSED', message: /stop or cancel one/ });
  for (const plan of stopped) rig.do('stop', plan);
  const running = Array.from({ length: 20 }, () => rig.create());
  const [first] = stopped;
  if (first === undefined) throw new Error('no plan');
  t.throws(() => rig.do('resume', first), { code: 'JOB_REFUSED' });
  t.equal(first.state, 'stopped');
  const [one, ...others] = running;
  if (one !== undefined) rig.do('cancel', one);
  rig.do('resume', first);
  t.equal(first.state, 'running');

  for (const plan of others) rig.do('stop', plan);
  for (let made = 0; made < 30; made++) rig.do('stop', rig.create());
  t.equal(rig.core.all.filter(({ state }) => state === 'stopped').length, 50);
  t.same(
    rig.forgotten,
    stopped.slice(1, 19).map(({ id }) => id),
    'the oldest ones',
  );
  rig.do('stop', first);
  t.equal(rig.core.get(first.id), first, 'one that is stopped now stays');
});

t.test('what a health URL said before a plan was stopped is no word of now', async (t) => {
  const rig = new PlanRig();
  rig.join([1]);
  const plan = rig.create({ gate: { health: HEALTH } });
  const [before] = rig.asked.splice(0);
  rig.do('stop', plan);
  rig.do('resume', plan);
  t.equal(rig.asked.length, 1, 'it is asked anew');
  if (before !== undefined) rig.core.healthAnswered(before, undefined, rig.nowMs);
  rig.collect();
  t.equal(rig.fetching, undefined);
  rig.health();
  t.same(rig.fetching?.machines, [1]);
});
