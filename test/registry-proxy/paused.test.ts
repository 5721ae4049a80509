import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { ask, errorCode, startProxy } from './fixture.ts';

const skip =
  isInstalled('docker-registry') && isInstalled('htpasswd') ? false : 'no docker-registry or htpasswd';

/** A swarm in trouble. */
const broken: BlobSource = {
  async *open() {
    throw new DamselflyError('INTERNAL', 'the swarm is broken');
  },
};

t.test('while an upstream is paused, its blobs come straight from the registry', { skip }, async (t) => {
  const registry = await startDockerRegistry({ user: 'ann', password: 'open sesame' });
  t.teardown(() => registry.close());
  const layer = randomBytes(100_000);
  const digest = await registry.pushBlob('team/app', layer);
  const paused = new Set<string>();
  const upstreams = ['harbor.corp', 'quay.io'].map((name) => ({ name, url: registry.url }));
  const proxy = await startProxy(upstreams, { blobs: broken, isPaused: (name) => paused.has(name) });
  t.teardown(() => proxy.close());
  const path = (upstream: string): string => `/v2/team/app/blobs/${digest}?ns=${upstream}`;
  const headers = { authorization: registry.authorization ?? '' };
  const pull = (more: Record<string, string> = {}, upstream = 'harbor.corp') =>
    ask(proxy.port, path(upstream), { headers: { ...headers, ...more } });

  t.equal((await pull()).status, 500, 'not paused: the swarm is asked');
  paused.add('harbor.corp');
  const whole = await pull();
  t.equal(whole.status, 200, 'from the next request on');
  t.same(whole.body, layer);
  const part = await pull({ range: 'bytes=1000-1999' });
  t.equal(part.status, 206);
  t.same(part.body, layer.subarray(1000, 2000));
  t.match(part.headers, { 'content-range': 'bytes 1000-1999/100000', 'oci-namespace': 'harbor.corp' });
  const head = await ask(proxy.port, path('harbor.corp'), { method: 'HEAD', headers });
  t.match(head, { status: 200, headers: { 'content-length': '100000', 'docker-content-digest': digest } });
  const anonymous = await ask(proxy.port, path('harbor.corp'));
  t.equal(anonymous.status, 401, 'the registry decides');
  t.equal(errorCode(anonymous), 'UNAUTHORIZED');
  t.match(anonymous.headers['www-authenticate'], /^Basic realm=/);
  t.equal((await pull({}, 'quay.io')).status, 500, 'the other upstream is not paused');
  t.match((await proxy.metrics.fallback.get()).values, [{ labels: { reason: 'paused' }, value: 4 }]);
  paused.clear();
  t.equal((await pull()).status, 500, 'resumed: the swarm is asked again');
});
