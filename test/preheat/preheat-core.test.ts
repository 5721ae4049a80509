import t from 'tap';
import { viewOf } from '../../tracker/preheat/job.ts';
import { PreheatCore } from '../../tracker/preheat/preheat-core.ts';
import { BLOBS, CoreRig, IMAGE, id, MANIFEST } from './core-rig.ts';

const SECRET = 'Bearer very-secret';

t.test('an image is resolved by one supernode, and fetched by every node', async (t) => {
  const rig = new CoreRig();
  rig.join(1, 'supernode');
  for (const number of [2, 3, 4]) rig.join(number);
  const job = rig.create({ nodes: 'all' }, SECRET);
  t.same(rig.last('preheat-resolve').to, [id(1)]);
  t.match(rig.last('preheat-resolve').message, {
    upstream: 'registry.test',
    repository: 'team/app',
    reference: 'v1',
    authorization: SECRET,
  });
  rig.resolve();
  const { message, to } = rig.last('preheat');
  t.same([...to].sort(), [id(2), id(3), id(4)]);
  t.match(message, { blobs: BLOBS, authorization: SECRET, repository: 'team/app' });
  rig.progress(id(2), 'running', 100);
  t.match(viewOf(job), {
    state: 'running',
    images: [{ image: IMAGE, digest: MANIFEST }],
    imageBytes: 150,
    totalBytes: 450,
    doneBytes: 100,
    targets: { total: 3, running: 3 },
  });
  for (const number of [2, 3, 4]) rig.progress(id(number), 'done');
  t.match(viewOf(job), { state: 'succeeded', doneBytes: 450, targets: { done: 3, running: 0 }, notes: [] });
  t.notOk(rig.core.busy);
  t.notMatch(JSON.stringify(rig.changes), /very-secret/, 'no credentials in what is kept');
});

t.test('by default the supernodes have it, and no node is told', async (t) => {
  const rig = new CoreRig();
  rig.join(1, 'supernode');
  rig.join(2, 'supernode');
  rig.join(3);
  const job = rig.create();
  rig.resolve();
  t.same([...rig.ordered()].sort(), [id(1), id(2)]);
  // One of the owners goes for good: the other has the order again, for what it owns now.
  rig.core.heard(
    id(1),
    { type: 'preheat-progress', task: `${job.key}.b`, state: 'done', bytes: 150 },
    rig.nowMs,
  );
  rig.leave(2);
  rig.pass(61_000);
  t.same(rig.ordered(), [id(1)]);
  t.equal(job.state, 'running');
  rig.core.heard(
    id(1),
    { type: 'preheat-progress', task: `${job.key}.b`, state: 'done', bytes: 150 },
    rig.nowMs,
  );
  t.equal(job.state, 'succeeded');
});

t.test('when an owner goes for good, those that had failed count again too', async (t) => {
  const rig = new CoreRig();
  for (const number of [1, 2, 3]) rig.join(number, 'supernode');
  const job = rig.create();
  rig.resolve();
  rig.progress(id(1), 'failed');
  rig.leave(3);
  rig.pass(70_000);
  rig.progress(id(2), 'done');
  t.equal(job.state, 'running', 'the first one is at work');
  t.same(viewOf(job).failures, []);
  rig.progress(id(1), 'done');
  t.equal(job.state, 'succeeded');
});

t.test('batches begin one after the other, with a pause', async (t) => {
  const rig = new CoreRig();
  for (let number = 1; number <= 5; number++) rig.join(number);
  const job = rig.create({ nodes: 'all', batch: '40%', pause: '10s' });
  rig.resolve();
  const first = rig.last('preheat');
  t.equal(rig.ordered().length, 2);
  for (const node of first.to) {
    rig.core.heard(
      node,
      { type: 'preheat-progress', task: `${job.key}.b`, state: 'done', bytes: 150 },
      rig.nowMs,
    );
  }
  rig.pass(9_800);
  t.same(rig.ordered(), [], 'not before the pause is over');
  t.match(viewOf(job), { batch: 1, batches: 3 });
  rig.pass(400);
  const second = rig.ordered();
  t.equal(second.length, 2);
  t.notOk(second.some((node) => first.to.includes(node)));
});

t.test('numbers and shares take as many from each zone; labels and zones those that fit', async (t) => {
  const rig = new CoreRig();
  for (let number = 1; number <= 8; number++) {
    rig.join(number, 'node', number <= 4 ? 'east' : 'west', number % 2 === 0 ? { pool: 'gpu' } : {});
  }
  const chosen = (nodes: string): number[] => {
    const job = rig.create({ nodes });
    rig.resolve();
    rig.core.cancel(job.id, rig.nowMs);
    rig.collect();
    return [...job.targets.keys()].map((node) => Number.parseInt(node, 16)).sort((a, b) => a - b);
  };
  const four = chosen('4');
  t.equal(four.filter((number) => number <= 4).length, 2);
  t.equal(four.length, 4);
  t.equal(chosen('25%').length, 2);
  t.same(chosen('zone=west'), [5, 6, 7, 8]);
  t.same(chosen('label=pool=gpu'), [2, 4, 6, 8]);
  t.same(chosen('label=pool'), [2, 4, 6, 8]);
  const nobody = rig.create({ nodes: 'label=pool=cpu' });
  rig.resolve();
  t.match(viewOf(nobody), { state: 'failed', error: { code: 'JOB_REFUSED' } });
});

t.test('a manifest that cannot be read yet is asked for again, elsewhere', async (t) => {
  const rig = new CoreRig();
  for (const number of [1, 2]) rig.join(number, 'supernode');
  const job = rig.create();
  const asked = new Set<string>();
  for (let attempt = 0; attempt < 4; attempt++) {
    asked.add(rig.last('preheat-resolve').to[0] ?? '');
    rig.refuse('UPSTREAM_REFUSED');
    rig.pass(2000);
  }
  t.equal(asked.size, 2, 'both were asked');
  t.equal(job.state, 'running');
  rig.refuse('UPSTREAM_REFUSED', 'the registry answered 404 for a manifest');
  t.match(viewOf(job), { state: 'failed', error: { code: 'UPSTREAM_REFUSED' }, targets: { total: 0 } });
  const unknown = rig.create({ image: 'elsewhere.test/team/app:v1' });
  rig.refuse('UPSTREAM_UNKNOWN');
  t.equal(unknown.state, 'failed', 'what cannot become true is not asked again');
});

t.test('whoever should resolve goes away, or says nothing: another is asked', async (t) => {
  const rig = new CoreRig();
  for (const number of [1, 2]) rig.join(number, 'supernode');
  rig.create();
  const [first = ''] = rig.last('preheat-resolve').to;
  rig.leave(Number.parseInt(first, 16));
  rig.pass(1000);
  const [second = ''] = rig.last('preheat-resolve').to;
  t.not(second, first);
  rig.join(Number.parseInt(first, 16), 'supernode');
  rig.sent.length = 0;
  rig.pass(76_000);
  t.ok(rig.sent.some(({ message }) => message.type === 'preheat-resolve'));
});

t.test('a machine that comes back has its order again; one that stays away has failed', async (t) => {
  const rig = new CoreRig();
  for (const number of [1, 2, 3]) rig.join(number);
  const job = rig.create({ nodes: 'all' });
  rig.resolve();
  rig.progress(id(1), 'done');
  for (const number of [2, 3]) rig.leave(number);
  rig.pass(30_000);
  rig.ordered();
  rig.join(2);
  t.same(rig.ordered(), [id(2)]);
  rig.core.heard(
    id(2),
    { type: 'preheat-progress', task: `${job.key}.b`, state: 'done', bytes: 150 },
    rig.nowMs,
  );
  rig.pass(31_000);
  t.match(viewOf(job), {
    state: 'failed',
    targets: { done: 2, failed: 1 },
    failures: [{ node: id(3), error: { code: 'PEER_UNREACHABLE' } }],
  });
});

t.test('a node that comes while a job for all runs gets it too', async (t) => {
  const rig = new CoreRig();
  rig.join(1);
  const job = rig.create({ nodes: 'all' });
  rig.resolve();
  rig.join(2);
  t.same(rig.ordered(), [id(1), id(2)]);
  const one = rig.create({ nodes: '1' });
  rig.resolve();
  rig.join(3);
  t.equal(one.targets.size, 1, 'one is one');
  t.equal(job.targets.size, 3);
});

t.test('cancel ends the work, and nothing that comes later changes that', async (t) => {
  const rig = new CoreRig();
  rig.join(1);
  const job = rig.create({ nodes: 'all' });
  rig.resolve();
  const { task } = rig.last('preheat').message;
  rig.core.cancel(job.id, rig.nowMs);
  rig.collect();
  t.match(rig.last('preheat-cancel'), { to: [id(1)], message: { task } });
  rig.core.heard(id(1), { type: 'preheat-progress', task, state: 'done', bytes: 150 }, rig.nowMs);
  t.equal(job.state, 'canceled');
  t.notOk(rig.core.busy);
});

t.test('a job that takes too long ends, and its machines stop', async (t) => {
  const rig = new CoreRig();
  rig.join(1);
  const job = rig.create({ nodes: 'all', timeout: '5s' });
  rig.resolve();
  rig.pass(5_400);
  t.match(viewOf(job), { state: 'failed', error: { code: 'JOB_TIMEOUT' } });
  t.same(rig.last('preheat-cancel').to, [id(1)]);
});

t.test('four jobs run at a time, the same wish twice is one job with the newer credentials', async (t) => {
  const rig = new CoreRig();
  rig.join(1, 'supernode');
  const jobs = Array.from({ length: 5 }, (_, n) => rig.create({ image: `registry.test/team/app${n}:v1` }));
  t.same(
    jobs.map(({ state }) => state),
    ['running', 'running', 'running', 'running', 'waiting'],
  );
  t.equal(rig.create({ image: 'registry.test/team/app4:v1' }, SECRET), jobs[4]);
  rig.core.cancel(jobs[0]?.id ?? 0, rig.nowMs);
  rig.pass(200);
  t.equal(jobs[4]?.state, 'running');
  t.equal(rig.last('preheat-resolve').message.authorization, SECRET);
  t.not(
    rig.create({ image: 'registry.test/team/app4:v1', nodes: 'all' }),
    jobs[4],
    'for others it is another',
  );
});

t.test('a thousand jobs that are over are known, the newest ones', async (t) => {
  const rig = new CoreRig();
  for (let made = 0; made < 1005; made++) {
    rig.core.cancel(rig.create({ image: `registry.test/team/app${made}:v1` }).id, rig.nowMs);
  }
  t.equal(rig.core.jobs.all.length, 1000);
  t.equal(rig.core.jobs.get(5), undefined);
  t.match(rig.core.jobs.get(1005), { state: 'canceled' });
  t.match(
    rig.core.take().flatMap((action) => (action.kind === 'forgotten' ? [action.id] : [])),
    [5],
  );
});

t.test('without anybody there a job waits a minute', async (t) => {
  const rig = new CoreRig();
  const job = rig.create();
  rig.pass(59_000);
  t.equal(job.state, 'running');
  rig.join(1, 'supernode');
  t.equal(rig.last('preheat-resolve').to[0], id(1));
  const lone = new CoreRig();
  const lost = lone.create();
  lone.pass(61_000);
  t.match(viewOf(lost), { state: 'failed', error: { code: 'JOB_REFUSED' } });
});

t.test('after a restart jobs go on, without their credentials, and say so', async (t) => {
  const rig = new CoreRig();
  for (const number of [1, 2]) rig.join(number);
  const job = rig.create({ nodes: 'all', batch: '1' }, SECRET);
  rig.resolve();
  const [first = ''] = rig.last('preheat').to;
  rig.progress(first, 'done');
  const [second = ''] = rig.last('preheat').to;
  t.not(second, first);

  rig.core = new PreheatCore();
  rig.sent.length = 0;
  rig.core.load([structuredClone(job)], rig.nowMs);
  rig.pass(1000);
  t.same(rig.sent, [], 'nobody is there yet');
  for (const number of [1, 2]) rig.join(number);
  t.match(rig.sent, [{ to: [second], message: { type: 'preheat', task: `${job.key}.b` } }]);
  t.notOk('authorization' in rig.last('preheat').message);
  rig.progress(second, 'done');
  const after = rig.core.jobs.get(job.id);
  t.match(after && viewOf(after), { state: 'succeeded', targets: { done: 2 }, notes: [/restarted/] });
  t.not(rig.create().id, job.id, 'numbers are not used twice');
});

t.test('a restart before the image was resolved: members are waited for', async (t) => {
  const rig = new CoreRig();
  const job = rig.create({ nodes: '2' });
  rig.core = new PreheatCore();
  rig.core.load([structuredClone(job)], rig.nowMs);
  rig.join(1);
  rig.pass(5_000);
  t.same(rig.sent, []);
  rig.join(2);
  rig.pass(6_000);
  rig.resolve();
  t.same([...rig.ordered()].sort(), [id(1), id(2)]);
});

t.test('tags come one message each; what other members or old tasks say counts for nothing', async (t) => {
  const rig = new CoreRig();
  rig.join(1, 'supernode');
  rig.join(2, 'supernode');
  const job = rig.create({ image: 'registry.test/team/app', tags: 'v*' });
  const { message, to } = rig.last('preheat-resolve');
  t.match(message, { tags: 'v*' });
  t.notOk('reference' in message);
  const answer = (reference: string, more: boolean, blobs = BLOBS) =>
    ({
      type: 'preheat-resolved',
      task: message.task,
      image: { reference, digest: MANIFEST, blobs },
      ...(more ? { more: true as const } : {}),
    }) as const;
  const other = to[0] === id(1) ? id(2) : id(1);
  rig.core.heard(other, answer('v0', false), rig.nowMs);
  t.notOk(job.resolved);
  rig.core.heard(to[0] ?? '', answer('v1', true, BLOBS.slice(0, 1)), rig.nowMs);
  rig.core.heard(to[0] ?? '', answer('v2', false), rig.nowMs);
  t.ok(job.resolved);
  t.same(
    job.images.map(({ image }) => image),
    ['registry.test/team/app:v1', 'registry.test/team/app:v2'],
  );
  t.same(job.blobs, BLOBS, 'each blob once');
});
