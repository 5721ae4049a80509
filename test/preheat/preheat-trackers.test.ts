import t from 'tap';
import { PreheatTrackers } from '../../dfget/preheat-trackers.ts';
import type { PreheatLink } from '../../lib/discovery/preheat-port.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { PreheatQuestions } from '../../lib/transfer/preheat/preheat-questions.ts';
import { decodeControl } from '../../lib/wire/control-codec.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';
import { PreheatPlans } from '../../tracker/preheat/plans/preheat-plans.ts';
import { PreheatJobs } from '../../tracker/preheat/preheat-jobs.ts';
import { IMAGE, id } from './core-rig.ts';

const { signal } = new AbortController();
const PLAN = { images: [IMAGE], stages: [{ nodes: 'label=pool=none' }] };

/** A daemon, and trackers a, b ... with jobs and plans of their own; `away` answer nothing. */
async function rig(names: readonly string[], away: readonly string[] = []) {
  const clock = new FakeClock();
  const questions = new PreheatQuestions(clock);
  const made = await Promise.all(
    names.map(async (name) => {
      const metrics = createTrackerMetrics({ defaults: false });
      const records = createMemoryKeyValue();
      const deps = { log: silentLog(), clock, metrics, wallClockMs: () => clock.now(), records };
      const jobs = await PreheatJobs.open(deps, { defaultNodes: 'all', allows: () => true });
      const plans = await PreheatPlans.open({ ...deps, jobs }, { health: [] });
      jobs.joined({ id: id(1), role: 'node', host: 'node', port: 1, zone: '' }, (text) => {
        const message = decodeControl(text);
        if (message?.type === 'preheat-told') questions.told(message);
        if (message?.type === 'plan-told') questions.toldPlans(message);
      });
      const link: PreheatLink = {
        id: `ws://${name}:8400/control`,
        connected: !away.includes(name),
        send: (message) => {
          if (message.type === 'plan-ask') plans.heard(id(1), message);
          else jobs.heard(id(1), message);
        },
      };
      return { jobs, link, plans };
    }),
  );
  questions.trackers(made.map(({ link }) => link));
  const client = {
    status: async () => ({ tracker: { reachable: true, urls: [], each: questions.known } }) as never,
    preheats: questions.ask.bind(questions),
    plans: questions.askPlans.bind(questions),
  };
  return { client, made, of: (name?: string) => PreheatTrackers.of(client, name, signal) };
}

t.test('an order reaches the tracker that has the job or the plan of that number', async (t) => {
  const { made, of } = await rig(['a', 'b']);
  await made[1]?.jobs.create({ image: IMAGE });
  await made[1]?.plans.create(PLAN);
  const trackers = await of();
  t.match(await trackers.whose('cancel', 1), { tracker: 'ws://b:8400/control', job: { id: 1 } });
  t.match(await trackers.whose('cancel', 2), { tracker: 'ws://b:8400/control', plan: { id: 2 } });
  t.match(await trackers.whose('stop', 2), { plan: { state: 'stopped' } });
  await t.rejects(trackers.whose('resume', 1), {
    code: 'JOB_UNKNOWN',
    message: /^1 is a job: .* dfget preheat --cancel 1 --tracker ws:\/\/b:8400$/,
  });
  await t.rejects(trackers.whose('cancel', 9), { code: 'JOB_UNKNOWN', message: /none of the trackers/ });
  t.match(await trackers.list(), { silent: [], found: [{ tracker: /b:8400/ }, { tracker: /b:8400/ }] });
});

t.test('a number that several trackers have is nobody’s until one is named', async (t) => {
  const { made, of } = await rig(['a', 'b', 'c']);
  await made[0]?.jobs.create({ image: IMAGE });
  await made[1]?.plans.create({ ...PLAN, name: 'shop 2.0' });
  const trackers = await of();
  await t.rejects(trackers.whose('cancel', 1), {
    code: 'CONFIG_INVALID',
    message:
      /2 trackers have a 1; nothing was done.*--cancel 1 --tracker ws:..a:8400 .*app:v1.*--tracker ws:..b:8400 .*shop 2.0, stopped/s,
  });
  t.match(await trackers.whose('resume', 1), { plan: { name: 'shop 2.0' } }, 'only plans are resumed');
  for (const name of ['a', 'a:8400', 'ws://a:8400', 'ws://a:8400/', 'ws://a:8400/control']) {
    t.match(await (await of(name)).whose('cancel', 1), { tracker: 'ws://a:8400/control', job: {} }, name);
  }
  await t.rejects(of('d'), { code: 'CONFIG_INVALID', message: /ws:..a:8400, ws:..b:8400, ws:..c:8400/ });
});

t.test('one that does not answer may have the number too', async (t) => {
  const { made, of } = await rig(['a', 'b'], ['b']);
  await made[0]?.plans.create(PLAN);
  const trackers = await of();
  await t.rejects(trackers.whose('stop', 1), {
    code: 'CONFIG_INVALID',
    message: /^ws:..b:8400: no answer, .*dfget preheat --stop 1 --tracker ws:..a:8400 /s,
  });
  t.match(await (await of('a')).whose('stop', 1), { plan: { id: 1 } });
  await t.rejects(trackers.whose('cancel', 2), { code: 'TRACKER_UNREACHABLE', message: /ws:..b:8400/ });
  t.match(await trackers.list(), { silent: ['ws://b:8400/control'], found: [{ plan: { id: 1 } }] });
  await t.rejects((await of('b')).list(), { code: 'TRACKER_UNREACHABLE', message: /ws:..b:8400/ });
});

t.test('with one tracker nothing is said of it', async (t) => {
  const { made, of } = await rig(['a']);
  await made[0]?.plans.create(PLAN);
  const trackers = await of();
  const { tracker } = await trackers.whose('resume', 1);
  t.equal(trackers.told(tracker), undefined);
  t.equal(trackers.command('resume', 1, tracker), 'dfget preheat --resume 1');
});

t.test('without any tracker there is nobody to name', async (t) => {
  const { of } = await rig([]);
  const nobody = { code: 'TRACKER_UNREACHABLE', message: /^no tracker answers/ };
  await t.rejects((await of()).whose('cancel', 1), nobody);
  await t.rejects((await of()).list(), nobody);
});
