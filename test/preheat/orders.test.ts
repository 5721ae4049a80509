import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { viewOf } from '../../tracker/preheat/job.ts';
import { encodeJob, readJobs, recordKey } from '../../tracker/preheat/job-records.ts';
import { BLOBS, CoreRig, id, MANIFEST } from './core-rig.ts';

t.test('an order to very many machines leaves bit by bit, and reaches each of them once', async (t) => {
  const rig = new CoreRig();
  const all = Array.from({ length: 1000 }, (_, at) => at + 1);
  for (const number of all) rig.join(number);
  const job = rig.create({ nodes: 'all' });
  rig.resolve();
  const first = rig.ordered();
  t.equal(first.length, 200);
  t.match(viewOf(job).targets, { running: 200, waiting: 800 });
  const waiting = all.map(id).filter((each) => !first.includes(each));
  const [gone = '', back = ''] = waiting;
  rig.leave(Number.parseInt(gone, 16));
  rig.leave(Number.parseInt(back, 16));
  rig.join(Number.parseInt(back, 16));
  rig.pass(200);
  const second = rig.ordered();
  t.equal(second.length, 200);
  rig.pass(600);
  const rest = rig.ordered();
  const reached = [...first, ...second, ...rest];
  t.equal(new Set(reached).size, reached.length);
  t.same(
    all.map(id).filter((each) => !reached.includes(each)),
    [gone],
  );
  rig.join(Number.parseInt(gone, 16));
  t.same(rig.ordered(), [gone]);
  for (const each of all) {
    const report = { type: 'preheat-progress', task: `${job.key}.b`, state: 'done', bytes: 150 } as const;
    rig.core.heard(id(each), report, rig.nowMs);
  }
  t.match(viewOf(job), { state: 'succeeded', targets: { done: 1000 } });
});

t.test('a machine that is through before it has the order again is not ordered once more', async (t) => {
  const rig = new CoreRig();
  for (let number = 1; number <= 201; number++) rig.join(number);
  const job = rig.create({ nodes: 'all' });
  rig.resolve();
  const [first = ''] = rig.ordered();
  rig.leave(Number.parseInt(first, 16));
  rig.join(Number.parseInt(first, 16));
  rig.core.heard(
    first,
    { type: 'preheat-progress', task: `${job.key}.b`, state: 'done', bytes: 150 },
    rig.nowMs,
  );
  rig.pass(200);
  t.equal(rig.ordered().length, 1);
  t.match(viewOf(job).targets, { done: 1, running: 200 });
});

t.test('a machine that is back and waits for the order is told that the job is over', async (t) => {
  const rig = new CoreRig();
  for (let number = 1; number <= 400; number++) rig.join(number);
  const job = rig.create({ nodes: 'all' });
  rig.resolve();
  const [first = ''] = rig.ordered();
  rig.leave(Number.parseInt(first, 16));
  rig.join(Number.parseInt(first, 16));
  t.equal(job.targets.get(first)?.state, 'waiting');
  const waiting = [...job.targets].find(([each, { state }]) => state === 'waiting' && each !== first);
  rig.leave(Number.parseInt(waiting?.[0] ?? '', 16));
  rig.core.cancel(job.id, rig.nowMs);
  rig.collect();
  const { to } = rig.last('preheat-cancel');
  t.ok(to.includes(first));
  t.notOk(to.includes(waiting?.[0] ?? ''), 'nobody is there to hear it');
  t.equal(new Set(to).size, to.length);
});

t.test('jobs that come meanwhile let no orders out before their time', async (t) => {
  const rig = new CoreRig();
  for (let number = 1; number <= 1000; number++) rig.join(number);
  rig.create({ nodes: 'all' });
  rig.resolve();
  t.equal(rig.ordered().length, 200);
  for (let made = 2; made < 6; made++) rig.create({ image: `registry.test/team/app:v${made}` });
  t.equal(rig.ordered().length, 0);
  rig.pass(200);
  t.equal(rig.ordered().length, 200);
});

t.test('an order says which manifest lists each blob, also of several images', async (t) => {
  const rig = new CoreRig();
  rig.join(1);
  rig.create({ image: 'registry.test/team/app', tags: 'v*', nodes: 'all' });
  const { message, to } = rig.last('preheat-resolve');
  const [one, two] = BLOBS;
  const three = { digest: MANIFEST, size: 7 };
  const other = BLOBS[1]?.digest ?? MANIFEST;
  const tell = (reference: string, blobs: readonly object[], manifest: typeof other, more?: true): void => {
    const image = { reference, digest: manifest, blobs, manifests: [manifest] } as never;
    const { task } = message;
    const report = { type: 'preheat-resolved', task, image, ...(more && { more }) } as const;
    rig.core.heard(to[0] ?? '', report, rig.nowMs);
    rig.collect();
  };
  tell(
    'v1',
    [
      { ...one, listedBy: 0 },
      { ...two, listedBy: 0 },
    ],
    MANIFEST,
    true,
  );
  tell(
    'v2',
    [
      { ...two, listedBy: 0 },
      { ...three, listedBy: 0 },
    ],
    other,
  );
  t.match(rig.last('preheat').message, {
    manifests: [MANIFEST, other],
    blobs: [
      { ...one, listedBy: 0 },
      { ...two, listedBy: 0 },
      { ...three, listedBy: 1 },
    ],
  });
});

t.test('a job that a restart interrupts knows its manifests again', async (t) => {
  const rig = new CoreRig();
  rig.join(1);
  const job = rig.create({ nodes: 'all' });
  rig.resolve(
    BLOBS.map((blob) => ({ ...blob, listedBy: 0 })),
    [MANIFEST],
  );
  const records = createMemoryKeyValue();
  await records.batch([{ type: 'put', key: recordKey(job.id), value: encodeJob(job) }], { sync: true });
  t.match(await readJobs(records, silentLog()), [{ manifests: [MANIFEST], blobs: [{ listedBy: 0 }, {}] }]);
  const { manifests, ...older } = JSON.parse(Buffer.from(encodeJob(job)).toString()) as {
    manifests: unknown;
  };
  t.same(manifests, [MANIFEST]);
  const value = Buffer.from(JSON.stringify(older));
  await records.batch([{ type: 'put', key: recordKey(job.id), value }], { sync: true });
  t.match(await readJobs(records, silentLog()), [{ manifests: [] }], 'of an earlier version');
});
