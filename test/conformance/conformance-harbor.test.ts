import { randomBytes } from 'node:crypto';
import t from 'tap';
import { sentOf, TYPES } from './case.ts';
import { ask, newImage, onStage, poll, SECRET } from './harbor-stage.ts';

/**
 * Cases 65 to 72: Harbor drives preheating unchanged. Requests are built field by field as its drivers build them
 * (goharbor/harbor, src/pkg/p2p/preheat/provider/{dragonfly,kraken}.go, src/pkg/notifier/formats), and as registries
 * build theirs (distribution/distribution, notifications).
 */

/** The request of the driver of Harbor 2.1 to 2.11. */
const v1Request = (image: Awaited<ReturnType<typeof newImage>>) => ({
  type: 'image',
  url: image.url,
  headers: { Authorization: SECRET },
  image: image.repository,
  tag: image.tag,
  digest: image.digest,
});

/** The request of the driver of Harbor 2.12 and later. */
const v2Request = (image: Awaited<ReturnType<typeof newImage>>, scope: string) => ({
  type: 'preheat',
  args: {
    ...{ type: 'image', url: image.url, tag: '', filtered_query_params: '' },
    headers: { Authorization: SECRET },
    ...{ scope, concurrent_count: 0, timeout: 0 },
  },
  scheduler_cluster_ids: [1],
});

t.test('Harbor drives preheating', async (t) => {
  const stage = await onStage(t);
  const { ground, registry } = stage;
  const v1Status = async (id: string): Promise<string> =>
    String((await ask(stage, 'GET', `/preheats/${id}`)).body['Status']);
  const v2State = async (id: number): Promise<string> =>
    String((await ask(stage, 'GET', `/oapi/v1/jobs/${id}`)).body['state']);

  await t.test('case 65: the Dragonfly driver of Harbor 2.1 to 2.11', async (t) => {
    t.match(await ask(stage, 'GET', '/_ping'), { status: 200 });
    const image = await newImage(stage);
    registry.readers.set(image.repository, new Set([SECRET]));
    const made = await ask(stage, 'POST', '/preheats', v1Request(image));
    t.equal(made.status, 201);
    const id = made.body['ID'];
    t.type(id, 'string');
    const states = await poll(() => v1Status(String(id)), ['SUCCESS', 'FAIL']);
    t.equal(states.at(-1), 'SUCCESS');
    t.ok(
      states.every((state) => ['WAITING', 'RUNNING', 'SUCCESS'].includes(state)),
      states.join(),
    );
    const told = await ask(stage, 'GET', `/preheats/${String(id)}`);
    t.match(told.body, { ID: id, errorMsg: '', startTime: /^\d{4}-.*Z$/, finishTime: /^\d{4}-.*Z$/ });
    t.same(sentOf(registry, image.layer), { bytes: image.size, again: 0 }, 'the supernode has it');
    const again = await ask(stage, 'POST', '/preheats', v1Request(image));
    t.match(again, { status: 208, body: { ID: id } }, 'done already');
    const reader = { ...image, digest: `sha256:${'0'.repeat(64)}` };
    const missing = await ask(stage, 'POST', '/preheats', v1Request(reader));
    t.equal((await poll(() => v1Status(String(missing.body['ID'])), ['SUCCESS', 'FAIL'])).at(-1), 'FAIL');
    t.match((await ask(stage, 'GET', `/preheats/${String(missing.body['ID'])}`)).body, {
      errorMsg: /404/,
    });
    t.match(await ask(stage, 'GET', '/preheats/999999'), { status: 404 });
    t.match(await ask(stage, 'DELETE', `/preheats/${String(id)}`), { status: 200 });
    t.ok(Array.isArray((await ask(stage, 'GET', '/preheats')).body));
  });

  await t.test('case 66: the Dragonfly driver of Harbor 2.12 and later', async (t) => {
    t.match(await ask(stage, 'GET', '/healthy'), { status: 200 });
    for (const scope of ['single_seed_peer', 'all_seed_peers', 'all_peers']) {
      const image = await newImage(stage);
      registry.readers.set(image.repository, new Set([SECRET]));
      const made = await ask(stage, 'POST', '/oapi/v1/jobs', v2Request(image, scope));
      t.match(made, {
        status: 200,
        body: { created_at: /T/, updated_at: /T/, state: /^(PENDING|SUCCESS)$/ },
      });
      const id = made.body['id'] as number;
      t.ok(Number.isInteger(id), 'a number');
      t.notMatch(made.text, /registry-token/, 'credentials are not sent back');
      const states = await poll(() => v2State(id), ['SUCCESS', 'FAILURE']);
      t.equal(states.at(-1), 'SUCCESS');
      t.match((await ask(stage, 'GET', `/oapi/v1/jobs/${id}`)).body, {
        result: { job_states: [{ error: '', results: [{ failure_tasks: [], scheduler_cluster_id: 1 }] }] },
      });
      t.same(sentOf(registry, image.layer), { bytes: image.size, again: 0 }, scope);
      if (scope !== 'all_peers') continue;
      const pulled = await fetch(
        `http://127.0.0.1:${ground.port}/v2/${image.repository}/blobs/${image.layer}`,
        {
          headers: { authorization: SECRET },
        },
      );
      t.equal((await pulled.arrayBuffer()).byteLength, image.size);
      t.same(sentOf(registry, image.layer), { bytes: image.size, again: 0 }, 'the node has it too');
    }
    const image = await newImage(stage);
    const request = v2Request(image, 'every_peer');
    t.match(await ask(stage, 'POST', '/oapi/v1/jobs', request), { status: 400, body: { message: /scope/ } });
    const file = { ...request, args: { ...request.args, scope: 'all_peers', type: 'file' } };
    t.match(await ask(stage, 'POST', '/oapi/v1/jobs', file), { status: 400 });
    const refused = { ...v2Request(image, 'all_peers') };
    registry.readers.set(image.repository, new Set(['Bearer another']));
    const { body } = await ask(stage, 'POST', '/oapi/v1/jobs', refused);
    t.equal((await poll(() => v2State(body['id'] as number), ['SUCCESS', 'FAILURE'])).at(-1), 'FAILURE');
    t.match((await ask(stage, 'GET', `/oapi/v1/jobs/${String(body['id'])}`)).body, {
      result: { job_states: [{ error: /403/ }] },
    });
  });

  await t.test('case 67: the Kraken driver, which spells names as Go does', async (t) => {
    t.match(await ask(stage, 'GET', '/health'), { status: 200 });
    const image = await newImage(stage);
    const event = {
      ...{ Id: 'x', TimeStamp: '2026-01-01T00:00:00Z', Action: 'push' },
      Target: {
        ...{ MediaType: TYPES.schema2, Digest: image.digest, Repository: image.repository },
        ...{ Url: image.url, Tag: image.tag },
      },
      ...{ Request: null, Actor: null },
    };
    const { status } = await ask(stage, 'POST', '/registry/notifications', { Events: [event] });
    t.ok(status >= 200 && status < 300, String(status));
    await poll(async () => String(sentOf(registry, image.layer).bytes), [String(image.size)]);
  });

  await t.test('case 68: events of a registry', async (t) => {
    const type = { 'content-type': 'application/vnd.docker.distribution.events.v2+json' };
    const notify = (body: unknown) => ask(stage, 'POST', '/registry/notifications', body, type);
    const event = (image: Awaited<ReturnType<typeof newImage>>, change: object = {}) => ({
      ...{ id: randomBytes(8).toString('hex'), timestamp: new Date().toISOString(), action: 'push' },
      target: {
        ...{ mediaType: TYPES.image, digest: image.digest, size: 500, length: 500 },
        ...{ repository: image.repository, tag: image.tag },
        url: `http://registry:5000/v2/${image.repository}/manifests/${image.digest}`,
      },
      request: { id: '1', addr: '10.0.0.9:4711', host: 'registry:5000', method: 'PUT', useragent: 'docker' },
      ...{ actor: { name: 'alice' }, source: { addr: 'registry:5000', instanceID: '2' } },
      ...change,
    });
    const image = await newImage(stage);
    t.match(await notify({ events: [event(image)] }), { status: 202 });
    await poll(async () => String(sentOf(registry, image.layer).bytes), [String(image.size)]);

    const other = await newImage(stage);
    const target = { ...event(other).target, mediaType: 'application/octet-stream', digest: other.layer };
    const quiet = [
      event(other, { target }),
      event(other, { action: 'pull' }),
      event(other, { action: 'delete' }),
    ];
    const before = (await ask(stage, 'GET', '/api/v1/preheats?limit=1')).text;
    t.match(await notify({ events: quiet }), { status: 202 });
    t.equal((await ask(stage, 'GET', '/api/v1/preheats?limit=1')).text, before, 'no job of those');

    const many = Array.from({ length: 1000 }, () => event(other));
    t.match(await notify({ events: many }), { status: 202 });
    await poll(async () => String(sentOf(registry, other.layer).bytes), [String(other.size)]);
    t.equal(sentOf(registry, other.layer).again, 0, 'a thousand events of one image are one job');

    for (const bad of ['{"events": [', '[]', '{"events": 7}', 'null', '"text"']) {
      const { status } = await notify(bad);
      t.ok(status >= 400 && status < 500, `${bad}: ${status}`);
    }
    t.match(await notify({ events: [7, null, {}, { action: 'push' }, { action: 'push', target: 'x' }] }), {
      status: 202,
    });
    const elsewhere = event(other);
    elsewhere.target.url = 'http://169.254.169.254/v2/x/manifests/v1';
    t.match(await notify({ events: [elsewhere] }), { status: 202 });
    t.equal((await ask(stage, 'GET', '/api/v1/preheats?limit=1')).text.includes('169.254'), false);
  });

  await t.test(
    'case 69: webhooks of Harbor, of both formats, with and without the right header',
    async (t) => {
      const data = (image: Awaited<ReturnType<typeof newImage>>) => ({
        resources: [
          {
            digest: image.digest,
            tag: image.tag,
            resource_url: `registry.test/${image.repository}:${image.tag}`,
          },
        ],
        repository: {
          ...{ date_created: 1678082303, name: image.repository.split('/')[1], namespace: 'case' },
          ...{ repo_full_name: image.repository, repo_type: 'private' },
        },
      });
      const hook = (body: object, headers: Record<string, string>) =>
        ask(stage, 'POST', '/api/v1/webhooks/harbor', body, headers);
      const right = { authorization: 'webhook-secret' };
      const cloud = { ...right, 'content-type': 'application/cloudevents+json' };
      const first = await newImage(stage);
      const base = { occur_at: 1678082303, operator: 'admin' };
      const push = { type: 'PUSH_ARTIFACT', ...base, event_data: data(first) };
      t.match(await hook(push, { authorization: 'forged' }), { status: 401 });
      t.match(await hook(push, right), { status: 202 });
      await poll(async () => String(sentOf(registry, first.layer).bytes), [String(first.size)]);
      const second = await newImage(stage);
      const event = {
        ...{
          specversion: '1.0',
          id: 'e1',
          source: '/projects/1/webhook/policies/1',
          type: 'harbor.artifact.pushed',
        },
        ...{ datacontenttype: 'application/json', time: '2026-01-01T00:00:00Z', operator: 'admin' },
        data: data(second),
      };
      t.match(await hook(event, { ...cloud, authorization: 'forged' }), { status: 401 });
      t.match(await hook(event, cloud), { status: 202 });
      await poll(async () => String(sentOf(registry, second.layer).bytes), [String(second.size)]);
      const third = await newImage(stage);
      t.match(await hook({ ...push, type: 'DELETE_ARTIFACT', event_data: data(third) }, {}), { status: 202 });
      t.notMatch((await ask(stage, 'GET', '/api/v1/preheats?limit=1')).text, new RegExp(third.repository));
    },
  );

  await t.test('case 70: only registries of the list, and no credentials once a job is over', async (t) => {
    const image = await newImage(stage);
    for (const host of ['unlisted.test', '169.254.169.254', 'localhost', '[::1]', '10.0.0.1:5000']) {
      const url = image.url.replace('registry.test', host);
      const seen = registry.seen.length;
      t.match(await ask(stage, 'POST', '/preheats', { ...v1Request(image), url }), { status: 404 }, host);
      t.match(await ask(stage, 'POST', '/oapi/v1/jobs', v2Request({ ...image, url }, 'all_peers')), {
        status: 404,
      });
      t.match(await ask(stage, 'POST', '/api/v1/preheats', { image: `${host}/team/app:v1` }), {
        status: /40[04]/,
      });
      t.equal(registry.seen.length, seen, 'nobody was asked');
    }
    for (const url of [
      'file:///etc/passwd',
      'https://registry.test/etc/passwd',
      'ftp://registry.test/v2/a/manifests/b',
    ]) {
      t.match(await ask(stage, 'POST', '/preheats', { ...v1Request(image), url }), { status: 400 }, url);
    }
    const header = { ...v1Request(image), headers: { Authorization: 'Bearer a\r\nX-Evil: b' } };
    t.match(await ask(stage, 'POST', '/preheats', header), { status: 400 }, 'a header that is two');
    t.notMatch((await ask(stage, 'GET', '/api/v1/preheats')).text, /registry-token/);
    t.notMatch(ground.log(), /registry-token/, 'nor in any log');
  });

  await t.test('case 71: how an instance of Harbor logs in', async (t) => {
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const headers of [
      {},
      { authorization: basic('harbor:instance-password') },
      { authorization: 'Bearer 0123456789abcdef0123456789abcdef' },
      { 'x-preheat-key': 'custom-secret' },
    ] as Record<string, string>[]) {
      for (const path of ['/_ping', '/healthy', '/health']) {
        t.match(await ask(stage, 'GET', path, undefined, headers), { status: 200 }, JSON.stringify(headers));
      }
    }
    const image = await newImage(stage);
    for (const headers of [
      { authorization: basic('harbor:wrong') },
      { authorization: 'Bearer wrong' },
      { 'x-preheat-key': 'wrong' },
    ] as Record<string, string>[]) {
      t.match(await ask(stage, 'GET', '/healthy', undefined, headers), { status: 401 });
      t.match(await ask(stage, 'POST', '/preheats', v1Request(image), headers), { status: 401 });
    }
    t.match(await ask(stage, 'POST', '/preheats', v1Request(image), { origin: 'https://evil.test' }), {
      status: 403,
    });
    const form = await ask(stage, 'POST', '/preheats', 'type=image', { 'content-type': 'text/plain' });
    t.equal(form.status, 415, 'what a form can send is not read');
    t.same(sentOf(registry, image.layer).bytes, 0);
    t.notMatch(ground.log(), /instance-password|custom-secret|webhook-secret|0123456789abcdef0123/);
  });

  await t.test(
    'case 72: what Harbor does not let be pulled is not served from what was preheated',
    async (t) => {
      const image = await newImage(stage);
      registry.readers.set(image.repository, new Set([SECRET]));
      const wish = { image: `registry.test/${image.repository}:v1`, nodes: 'all', authorization: SECRET };
      const { body } = await ask(stage, 'POST', '/api/v1/preheats', wish);
      const state = async () =>
        String((await ask(stage, 'GET', `/api/v1/preheats/${String(body['id'])}`)).body['state']);
      t.equal((await poll(state, ['succeeded', 'failed'])).at(-1), 'succeeded');
      for (const status of [412, 403]) {
        registry.script = (_request, response) => {
          response.writeHead(status, { 'content-type': 'application/json' });
          response.end('{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"vulnerable"}]}');
          return true;
        };
        // Another caller each time: a verdict counts for whoever got it.
        const headers = { authorization: `Bearer caller-${status}` };
        for (const path of ['manifests/v1', `manifests/${image.digest}`, `blobs/${image.layer}`]) {
          const answer = await fetch(`http://127.0.0.1:${ground.port}/v2/${image.repository}/${path}`, {
            headers,
          });
          t.equal(answer.status, status, path);
          const text = await answer.text();
          if (path.startsWith('manifests')) t.match(text, /PROJECTPOLICYVIOLATION/);
        }
        const again = await ask(stage, 'POST', '/api/v1/preheats', {
          ...wish,
          authorization: `Bearer other-${status}`,
        });
        const id = String(again.body['id']);
        const look = async () => String((await ask(stage, 'GET', `/api/v1/preheats/${id}`)).body['state']);
        t.equal((await poll(look, ['succeeded', 'failed'])).at(-1), 'failed', 'nor preheated again');
        registry.script = undefined;
      }
    },
  );
});
