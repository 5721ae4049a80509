import { randomBytes } from 'node:crypto';
import t from 'tap';
import { makeCertificate } from '../helpers/certificate.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { startTokenServer } from '../helpers/token-server.ts';
import { ask, startProxy } from './fixture.ts';

const LAYER = randomBytes(30_000);
const missing = ['docker-registry', 'openssl', 'htpasswd'].filter((program) => !isInstalled(program));
const skip = missing.length === 0 ? false : `${missing.join(', ')} not installed`;

await t.test(
  'trust: node gives callers without credentials what the node may read, by Bearer; a caller with its own is judged by them',
  { skip },
  async (t) => {
    const certificate = makeCertificate(t.testdir({}));
    const tokens = await startTokenServer(certificate, {
      node: { password: 'pw', rights: { 'team/app': ['pull'] } },
      bob: { password: 'pw', rights: {} },
    });
    tokens.accounts['pusher'] = { password: 'x', rights: { '*': ['pull', 'push'] } };
    const scope = 'repository:team/app:pull,push repository:other/app:pull,push';
    const authorization = `Bearer ${tokens.issue('pusher', scope)}`;
    const registry = await startDockerRegistry({
      tokens: { realm: tokens.realm, certificate, authorization },
    });
    const upstream = { name: 'reg', url: registry.url, username: 'node', password: 'pw' };
    const byNode = await startProxy([{ ...upstream, trust: 'node' }], { defaultUpstream: 'reg' });
    const byCaller = await startProxy([upstream], { defaultUpstream: 'reg' });
    t.teardown(async () => {
      await byNode.close();
      await byCaller.close();
      await registry.close();
      await tokens.close();
    });
    const { layers } = await registry.pushImage('team/app', 'v1', [LAYER]);
    await registry.pushImage('other/app', 'v1', [LAYER]);
    const blob = `/v2/team/app/blobs/${layers[0]}`;
    t.equal((await ask(byNode.port, '/v2/')).status, 200, 'clients that ask first are told to go on');
    t.equal((await ask(byNode.port, '/v2/team/app/manifests/v1')).status, 200);
    t.same((await ask(byNode.port, blob)).body, LAYER);
    t.equal((await ask(byNode.port, '/v2/team/app/tags/list')).status, 200);
    t.equal((await ask(byNode.port, '/v2/other/app/manifests/v1')).status, 401, 'no more than the node may');
    const bob = {
      headers: { authorization: `Bearer ${tokens.issue('bob', 'repository:team/app:pull')}` },
    };
    t.equal((await ask(byNode.port, blob, bob)).status, 401, "the caller's own credentials always win");
    for (const path of ['/v2/', '/v2/team/app/manifests/v1', blob]) {
      t.equal((await ask(byCaller.port, path)).status, 401, `trust: caller, ${path}`);
    }
  },
);

await t.test('trust: node with a registry that asks for passwords', { skip }, async (t) => {
  const registry = await startDockerRegistry({ user: 'robot$p+x', password: 'p:w' });
  const upstream = { name: 'reg', url: registry.url, username: 'robot$p+x', password: 'p:w' };
  const proxy = await startProxy([{ ...upstream, trust: 'node' }], { defaultUpstream: 'reg' });
  const wrong = await startProxy([{ ...upstream, password: 'no', trust: 'node' }], {
    defaultUpstream: 'reg',
  });
  t.teardown(async () => {
    await proxy.close();
    await wrong.close();
    await registry.close();
  });
  const { layers } = await registry.pushImage('a/b', 'v1', [LAYER]);
  t.same((await ask(proxy.port, `/v2/a/b/blobs/${layers[0]}`)).body, LAYER, 'case 38: a robot account');
  const refused = await ask(wrong.port, '/v2/a/b/manifests/v1');
  t.match(refused, { status: 401, headers: { 'www-authenticate': /^Basic / } }, "the registry's own refusal");
});
