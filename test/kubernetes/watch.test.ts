import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { trackerConfig } from '../../tracker/config.ts';
import { type KubernetesOptions, watchKubernetes } from '../../tracker/kubernetes/watch-kubernetes.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';
import { PreheatJobs } from '../../tracker/preheat/preheat-jobs.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { onPath } from '../helpers/clients/client.ts';
import { ApiServer } from './api-server.ts';

const YES = { 'damselfly.io/preheat': 'true' };
const DEADLINE_MS = 20_000;

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  while (!(await condition())) {
    if (deadline.aborted) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A tracker's jobs that follow the API server. */
async function watching(t: Test, api: ApiServer, options: Partial<KubernetesOptions> = {}) {
  const clock = createSystemClock();
  const metrics = createTrackerMetrics({ defaults: false });
  const deps = { log: silentLog(), clock, rng: createRng(1), metrics };
  const jobs = await PreheatJobs.open(
    { ...deps, wallClockMs: Date.now, records: createMemoryKeyValue() },
    { defaultNodes: 'supernodes', allows: (name) => name === 'harbor.corp' },
  );
  const watch = watchKubernetes(
    { ...deps, jobs },
    { namespaces: [], api: api.url, account: api.account, ...options },
  );
  t.teardown(async () => {
    await watch.close();
    await jobs.close();
  });
  const images = (): string[] =>
    jobs
      .list(1000)
      .map(({ image }) => image)
      .reverse();
  const text = (): Promise<string> => metrics.registry.metrics();
  return { images, jobs, text, watch };
}

const image = (name: string): string => `harbor.corp/shop/${name}`;

t.test('images of annotated workloads are preheated, those that are there and those that come', async (t) => {
  const api = await ApiServer.start(t);
  api.put('web', { images: [image('web:1'), image('init:1')], annotations: YES });
  api.put('other', { images: [image('other:1')] });
  api.put('refused', { images: [image('refused:1')], annotations: { 'damselfly.io/preheat': 'false' } });
  const { images, jobs, text, watch } = await watching(t, api);
  await until(() => images().length === 2 && api.watches === 3, 'the first two');
  t.same(images().sort(), [image('init:1'), image('web:1')]);
  t.same(watch.notes, []);
  t.match(await text(), /damselfly_tracker_kubernetes_lists 3/);

  api.put('agent', { images: [image('agent:1')], annotations: YES, kind: 'daemonsets', namespace: 'ops' });
  api.put('web', { images: [image('web:2'), image('init:1')], annotations: YES });
  api.put('twin', { images: [image('web:2')], annotations: YES });
  const near = { ...YES, 'damselfly.io/preheat-nodes': 'zone=eu' };
  api.put('db', { images: [image('db:1')], annotations: near, kind: 'statefulsets' });
  api.put('evil', { images: ['evil.test/x:1'], annotations: YES });
  await until(() => images().length === 5, 'three more');
  t.same(images().slice(2).sort(), [image('agent:1'), image('db:1'), image('web:2')], 'each once');
  t.equal(jobs.list(9).find((job) => job.image === image('db:1'))?.nodes, 'zone=eu');
  t.match(await text(), /preheat_events_total\{outcome="dropped"\} 1/, 'not of a registry that may be named');
});

t.test('in namespaces that are named every workload counts, and no other namespace is read', async (t) => {
  const api = await ApiServer.start(t);
  api.put('web', { images: [image('web:1')] });
  api.put('no', { images: [image('no:1')], annotations: { 'damselfly.io/preheat': 'false' } });
  api.put('far', { images: [image('far:1')], annotations: YES, namespace: 'elsewhere' });
  const { images } = await watching(t, api, { namespaces: ['shop', 'ops'] });
  await until(() => api.watches === 6, 'six watches');
  api.put('tool', { images: [image('tool:1')], namespace: 'ops' });
  await until(() => images().length === 2, 'both');
  t.same(images().sort(), [image('tool:1'), image('web:1')]);
  t.ok(api.asked.every((path) => /^\/apis\/apps\/v1\/namespaces\/(shop|ops)\//.test(path)));
});

t.test('a list of many pages is read whole', async (t) => {
  const api = await ApiServer.start(t);
  api.page = 7;
  for (let at = 0; at < 20; at++) api.put(`web-${at}`, { images: [image(`web-${at}:1`)], annotations: YES });
  const { images } = await watching(t, api);
  await until(() => images().length === 20, 'all of them');
  t.equal(api.asked.filter((path) => /deployments\?.*continue=/.test(path)).length, 2);
});

t.test('the URL of the API server may have a path', async (t) => {
  const api = await ApiServer.start(t);
  api.prefix = '/k8s/clusters/c-1';
  api.put('web', { images: [image('web:1')], annotations: YES });
  const { images } = await watching(t, api, { api: `${api.url}/k8s/clusters/c-1/` });
  await until(() => images().length === 1 && api.watches === 3, 'read and watched there');
  t.pass();
});

for (const [how, forgets] of [
  ['end', false],
  ['cut', false],
  ['gone', true],
  ['cut', true],
] as const) {
  t.test(`nothing is missed: watches ${how}, the server ${forgets ? 'forgets' : 'goes on'}`, async (t) => {
    const api = await ApiServer.start(t);
    api.put('web', { images: [image('web:1')], annotations: YES });
    const { images, watch } = await watching(t, api);
    await until(() => images().length === 1 && api.watches === 3, 'watching');
    api.bookmark();
    await new Promise(setImmediate);
    api.endWatches(how);
    api.put('web', { images: [image('web:2')], annotations: YES });
    if (forgets) api.compact();
    await until(() => images().length === 2 && api.watches === 3, 'the new image');
    t.equal(images().at(-1), image('web:2'));
    const lists = api.asked.filter((path) => /deployments\?limit/.test(path)).length;
    t.equal(lists, forgets ? 2 : 1, forgets ? 'the list is read anew' : 'it goes on from the bookmark');
    await until(() => watch.notes.length === 0, 'and says so');
  });
}

t.test('a version that is forgotten before the watch begins has the list read again', async (t) => {
  const api = await ApiServer.start(t);
  const { images } = await watching(t, api);
  await until(() => api.watches === 3, 'watching');
  api.put('web', { images: [image('web:1')], annotations: YES });
  await until(() => images().length === 1, 'heard');
  // It is away while the changes are forgotten.
  api.token = 'second-token';
  api.endWatches('end');
  api.put('web', { images: [image('web:2')], annotations: YES });
  api.remove('web');
  api.put('late', { images: [image('late:1')], annotations: YES });
  api.compact();
  api.writeToken('second-token');
  await until(() => images().includes(image('late:1')), 'found by the list');
  t.notOk(images().includes(image('web:2')), 'what came and went meanwhile is not preheated');
});

t.test('without rights, or without a server, it says so and tries again', async (t) => {
  const api = await ApiServer.start(t);
  api.forbidden = true;
  api.put('web', { images: [image('web:1')], annotations: YES });
  const { images, text, watch } = await watching(t, api);
  await until(() => watch.notes.some((note) => /403: .*forbidden/.test(note)), 'the refusal is told');
  t.match(await text(), /damselfly_tracker_kubernetes_lists 0/);
  api.forbidden = false;
  await until(() => images().length === 1 && watch.notes.length === 0, 'as soon as it may');

  const dead = await watching(t, api, { api: 'https://127.0.0.1:1' });
  await until(() => dead.watch.notes.some((note) => /ECONNREFUSED/.test(note)), 'it cannot be reached');
  const lost = await watching(t, api, { account: '/nonexistent' });
  await until(() => lost.watch.notes.some((note) => /service account/.test(note)), 'no account');
  t.throws(
    () =>
      watchKubernetes(
        {
          ...{ log: silentLog(), clock: createSystemClock(), rng: createRng(1), jobs: dead.jobs, env: {} },
          metrics: createTrackerMetrics({ defaults: false }),
        },
        { namespaces: [] },
      ),
    { code: 'CONFIG_INVALID', message: /--kubernetes-api/ },
  );
});

t.test('a cluster that wants a lot leaves room for the jobs of others', async (t) => {
  const api = await ApiServer.start(t);
  const names = Array.from({ length: 120 }, (_, at) => image(`web-${at}:1`));
  names.forEach((name, at) => {
    api.put(`web-${at}`, { images: [name], annotations: YES });
  });
  const clock = new FakeClock();
  const made: string[] = [];
  let [looked, over] = [0, 0];
  const watch = watchKubernetes(
    {
      ...{ log: silentLog(), clock, rng: createRng(1), metrics: createTrackerMetrics({ defaults: false }) },
      jobs: {
        get openCount() {
          return made.length - over;
        },
        succeeded: () => void looked++,
        create: async ({ image: name }) => void made.push(name) as never,
      },
    },
    { namespaces: [], api: api.url, account: api.account },
  );
  t.teardown(() => watch.close());
  await until(() => looked === 101, 'it has looked at one more');
  t.equal(made.length, 100);
  over = 50;
  await until(() => {
    clock.advanceToNext(clock.now() + 30_000);
    return made.length === 120;
  }, 'the rest, as jobs end');
  t.same([...made].sort(), [...names].sort());
});

t.test(
  'kubectl lists and watches the API server of these tests',
  { skip: onPath('kubectl') === undefined && 'no kubectl' },
  async (t) => {
    const api = await ApiServer.start(t);
    api.page = 2;
    for (const name of ['a', 'b', 'c']) api.put(name, { images: [image(`${name}:1`)] });
    const home = mkdtempSync(join(tmpdir(), 'damselfly-kubectl-'));
    t.teardown(() => rmSync(home, { recursive: true, force: true }));
    const kubectl = (...args: string[]) =>
      run(
        'kubectl',
        [
          ...['--server', api.url, '--certificate-authority', join(api.account, 'ca.crt')],
          ...['--token', api.token, ...args],
        ],
        { env: { HOME: home, KUBECONFIG: join(home, 'none') } },
      );
    const images = 'jsonpath={range .items[*]}{.spec.template.spec.containers[0].image}{"\\n"}{end}';
    const listed = await kubectl('get', 'deployments', '--all-namespaces', '-o', images);
    t.same(
      listed.output.trim().split('\n'),
      ['a', 'b', 'c'].map((name) => image(`${name}:1`)),
    );
    const watched = kubectl(
      ...['get', 'deployments', '-n', 'shop', '--watch-only', '--request-timeout', '30s', '-o', 'name'],
    );
    await until(() => api.watches === 1, 'kubectl watches');
    api.put('d', { images: [image('d:1')] });
    api.endWatches('end');
    t.match((await watched).output, /^deployment\.apps\/d$/m);
  },
);

t.test('a tracker watches as its settings say, and tells it with its health', async (t) => {
  const read = (watch: string) =>
    loadConfig(trackerConfig, {
      ...{ flags: { watchKubernetes: watch }, env: {}, defaultFile: '/nonexistent' },
    }).watchKubernetes;
  t.same(read('annotated'), { namespaces: [] });
  t.same(read('shop, web'), { namespaces: ['shop', 'web'] });
  t.throws(() => read('Shop'), { code: 'CONFIG_INVALID', message: /--watch-kubernetes.*annotated/ });
  const at = (kubernetesApi: string) =>
    loadConfig(trackerConfig, { flags: { kubernetesApi }, env: {}, defaultFile: '/nonexistent' })
      .kubernetesApi;
  for (const url of [
    'https://10.0.0.1:6443',
    'http://127.0.0.1:8001',
    'http://localhost:8001',
    'http://[::1]:1',
  ]) {
    t.equal(at(url), url);
  }
  for (const url of ['http://10.0.0.1:8080', 'http://kubernetes.corp']) {
    t.throws(() => at(url), { code: 'CONFIG_INVALID', message: /--kubernetes-api.*in clear/ }, url);
  }

  const api = await ApiServer.start(t);
  api.forbidden = true;
  api.put('web', { images: [image('web:1')], annotations: YES });
  const anyPort = { host: '127.0.0.1', port: 0 };
  const tracker = await createTracker(
    { log: silentLog(), clock: createSystemClock(), rng: createRng(1) },
    {
      ...{ listen: anyPort, httpListen: anyPort, processMetrics: false, preheatNodes: 'all' },
      ...{ watchKubernetes: read('annotated'), kubernetesApi: api.url, kubernetesAccount: api.account },
    },
  );
  t.teardown(() => tracker.close());
  const ask = async (port: number, path: string): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  const { controlAddress, httpAddress } = tracker;
  const notes = () => ask(controlAddress.port, '/readyz');
  await until(async () => (await notes()).includes('is not watched'), '/readyz says so');
  t.match(JSON.parse(await notes()), { status: 'ready' }, 'and is ready all the same');
  api.forbidden = false;
  await until(
    async () => (await ask(httpAddress.port, '/api/v1/preheats')).includes(image('web:1')),
    'a job',
  );
  t.match(JSON.parse(await ask(httpAddress.port, '/api/v1/preheats')), { preheats: [{ nodes: 'all' }] });
});
