import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { Upstream } from '../../lib/core/upstream.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics, type Metrics } from '../../lib/observe/metrics.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { onOwnAccount } from '../../lib/origin/own-authorization.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';

// What a node shows on its own account; with a real token service in token-auth.test.ts.

const missing = isInstalled('docker-registry') ? false : 'no docker-registry';
const BYTES = Buffer.from('a blob that we want');
const DIGEST = digestOf(BYTES);
const ACCOUNT = { username: 'robot', password: 'p:w' };
const { signal } = new AbortController();

function clientOf(
  t: Test,
  upstream: Omit<Upstream, 'name'>,
  metrics: Metrics = createMetrics({ defaults: false }),
): OriginClient {
  const upstreams = [{ name: 'reg', ...upstream }];
  const client = createOriginClient({ upstreams, log: silentLog(), clock: createSystemClock(), metrics });
  t.teardown(() => client.close());
  return client;
}

t.test(
  'a read that began with the token that we show goes on when that has run out, and no other does',
  async (t) => {
    let valid = 't1';
    const registry = await startFaultOrigin(({ headers, url }, response) => {
      if (url?.startsWith('/token')) send(response, 200, JSON.stringify({ token: valid }));
      else if (headers.authorization === `Bearer ${valid}`) send(response, 200, BYTES);
      else send(response, 401, '', { 'www-authenticate': `Bearer realm="${registry.url}/token"` });
    });
    t.teardown(() => registry.close());
    const client = clientOf(t, { url: registry.url });
    const blob = { digest: DIGEST, origin: { upstream: 'reg', repository: 'team/app' } };
    const origin = await onOwnAccount(client, blob, signal);
    t.equal(origin.authorization, 'Bearer t1');
    valid = 't2';
    t.equal((await client.readBlob({ ...blob, origin }, { signal })).size, BYTES.length);
    const theirs = { ...blob.origin, authorization: 'Bearer theirs' };
    await t.rejects(client.readBlob({ ...blob, origin: theirs }, { signal }), {
      code: 'UPSTREAM_REFUSED',
      facts: { status: 401 },
    });
  },
);

t.test('a registry that wants nothing shown is asked once for a repository', { skip: missing }, async (t) => {
  const registry = await startDockerRegistry();
  t.teardown(() => registry.close());
  await registry.pushBlob('team/app', BYTES);
  const metrics = createMetrics({ defaults: false });
  const client = clientOf(t, { ...ACCOUNT, url: registry.url }, metrics);
  const ask = (repository: string): Promise<unknown> =>
    client.ownAuthorization({ digest: DIGEST, origin: { upstream: 'reg', repository } }, { signal });
  for (const repository of ['team/app', 'team/app', 'team/app', 'nowhere', 'nowhere']) {
    t.equal(await ask(repository), undefined);
  }
  const { values } = await metrics.originRequests.get();
  t.same(
    values.map(({ labels, value }) => [labels['status'], value]),
    [
      ['200', 1],
      ['404', 2],
    ],
    'what is not there tells nothing of the rest',
  );
});

t.test('a busy registry is asked again what it wants to be shown', async (t) => {
  const statuses = [429, 401];
  const registry = await startFaultOrigin((_request, response) =>
    send(response, statuses.shift() ?? 200, '', { 'www-authenticate': 'Basic realm="reg"' }),
  );
  t.teardown(() => registry.close());
  const client = clientOf(t, { ...ACCOUNT, url: registry.url });
  const origin = { upstream: 'reg', repository: 'team/app' };
  t.equal(
    await client.ownAuthorization({ digest: DIGEST, origin }, { signal }),
    `Basic ${Buffer.from('robot:p:w').toString('base64')}`,
  );
  t.equal(registry.seen.length, 3);
});
