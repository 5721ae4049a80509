import t from 'tap';
import { daemonClient } from '../helpers/daemon-client.ts';
import { ask, DEADLINE_MS, newImage, onStage, poll } from './harbor-stage.ts';

t.test('preheating, by request and by dfget', async (t) => {
  const stage = await onStage(t);
  const { ground, registry } = stage;

  await t.test('the API of our own: lists, shows, cancels, says what is wrong', async (t) => {
    const image = await newImage(stage);
    // Tags come in pages; where the next one is asked for is not the registry's to say.
    registry.script = (request, response) => {
      if (request.url?.includes('/tags/list') !== true) return false;
      const second = request.url.includes('last=v1');
      const link = second ? {} : { link: '<https://elsewhere.test/tags?n=1&last=v1>; rel="next"' };
      response.writeHead(200, { 'content-type': 'application/json', ...link });
      response.end(JSON.stringify({ name: image.repository, tags: second ? ['w1'] : ['v1'] }));
      return true;
    };
    t.teardown(() => {
      registry.script = undefined;
    });
    const made = await ask(stage, 'POST', '/api/v1/preheats', {
      ...{ image: `registry.test/${image.repository}`, tags: 'v*', nodes: 1, platforms: 'all' },
    });
    t.match(made, { status: 201, body: { state: /waiting|running/, nodes: '1', tags: 'v*' } });
    const path = `/api/v1/preheats/${String(made.body['id'])}`;
    const state = async () => String((await ask(stage, 'GET', path)).body['state']);
    t.equal((await poll(state, ['succeeded', 'failed'])).at(-1), 'succeeded');
    t.match((await ask(stage, 'GET', path)).body, {
      images: [{ image: `registry.test/${image.repository}:v1`, digest: image.digest }],
      machines: [{ state: 'done' }],
      targets: { total: 1, done: 1 },
    });
    t.match(await ask(stage, 'DELETE', path), { status: 200, body: { state: 'succeeded' } }, 'over is over');
    t.match(await ask(stage, 'GET', '/api/v1/preheats/999'), { status: 404, body: { code: 'JOB_UNKNOWN' } });
    t.match(await ask(stage, 'GET', '/api/v1/preheats/x'), { status: 404 });
    for (const wrong of [
      {},
      { image: 7 },
      { image: 'registry.test/a:b', nodes: 'some' },
      { image: 'A' },
      { imag: 1 },
    ]) {
      t.match(await ask(stage, 'POST', '/api/v1/preheats', wrong), { status: 400 }, JSON.stringify(wrong));
    }
    const large = JSON.stringify({ image: 'x'.repeat(5 * 1024 * 1024) });
    t.match(await ask(stage, 'POST', '/api/v1/preheats', large), { status: 413 });
    t.match(await ask(stage, 'PUT', '/api/v1/preheats', {}), { status: 404 });
    const metrics = await ground.metrics();
    t.match(metrics, /damselfly_preheat_tasks_total\{outcome="done"\} [1-9]/);
  });

  await t.test('a job that a machine cannot do says why, and dfget is told the same', async (t) => {
    const image = await newImage(stage);
    registry.script = (request, response) => {
      if (!request.url?.includes('/blobs/')) return false;
      response.writeHead(404).end('{}');
      return true;
    };
    const client = daemonClient(t, ground.socket);
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const wish = { image: `registry.test/${image.repository}:v1`, nodes: 'all' };
    const { jobs, tracker } = await client.preheats({ act: 'create', wish }, undefined, signal);
    const id = jobs[0]?.id ?? 0;
    const look = async () => {
      const told = await client.preheats({ act: 'get', id }, tracker, signal);
      return told.jobs[0]?.state ?? '';
    };
    t.equal((await poll(look, ['succeeded', 'failed'])).at(-1), 'failed');
    registry.script = undefined;
    const { jobs: ended } = await client.preheats({ act: 'get', id }, tracker, signal);
    t.match(ended, [
      { failures: [{ error: { code: 'UPSTREAM_REFUSED' } }], error: { message: /1 of 1 machines/ } },
    ]);
    await t.rejects(client.preheats({ act: 'get', id: 999 }, tracker, signal), { code: 'JOB_UNKNOWN' });
    await t.rejects(client.preheats({ act: 'list' }, 'ws://another:1', signal), {
      code: 'TRACKER_UNREACHABLE',
    });
    const { jobs: listed } = await client.preheats({ act: 'list' }, undefined, signal);
    t.match(listed[0], { id, state: 'failed' }, 'the newest first');
  });
});
