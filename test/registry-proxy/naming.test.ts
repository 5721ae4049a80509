import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { type FaultOrigin, send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { ask, errorCode, type ProxyFixture, startProxy } from './fixture.ts';

/** Two registries, of which one answers `one` and the other `two`. */
async function start(t: Test): Promise<{ proxy: ProxyFixture; one: FaultOrigin; two: FaultOrigin }> {
  const one = await startFaultOrigin((_request, response) => send(response, 200, 'one'));
  const two = await startFaultOrigin((_request, response) => send(response, 200, 'two'));
  const proxy = await startProxy(
    [
      { name: 'harbor.corp', url: one.url },
      { name: 'docker.io', url: two.url },
      { name: '*.gcr.io', url: 'https://*' },
      { name: '[::1]:5000', url: one.url },
    ],
    { defaultUpstream: 'docker.io' },
  );
  t.teardown(async () => {
    await proxy.close();
    await one.close();
    await two.close();
  });
  return { proxy, one, two };
}

const dragonfly = (registry: string) => ({ headers: { 'x-dragonfly-registry': registry } });

await t.test(
  'case 14: ?ns=, X-Dragonfly-Registry, the path and the default name the registry, in this order',
  async (t) => {
    const { one, proxy, two } = await start(t);
    const told = async (path: string, options = {}): Promise<string> => {
      const { body } = await ask(proxy.port, path, options);
      const seen = (body.toString() === 'one' ? one : two).seen.at(-1);
      return `${body.toString()} ${seen?.url}`;
    };
    t.equal(await told('/v2/a/b/tags/list?ns=harbor.corp'), 'one /v2/a/b/tags/list');
    t.equal(await told('/v2/a/b/tags/list?ns=HARBOR.corp'), 'one /v2/a/b/tags/list');
    for (const registry of [
      'harbor.corp',
      'https://harbor.corp',
      'https://harbor.corp/',
      'http://HARBOR.corp',
    ]) {
      t.equal(await told('/v2/a/b/tags/list', dragonfly(registry)), 'one /v2/a/b/tags/list', registry);
    }
    t.equal(await told('/v2/harbor.corp/a/b/tags/list'), 'one /v2/a/b/tags/list');
    t.equal(await told('/v2/[::1]:5000/a/b/tags/list'), 'one /v2/a/b/tags/list');
    t.equal(await told('/v2/%5B::1%5D:5000/a/b/tags/list'), 'one /v2/a/b/tags/list');
    t.equal(await told('/v2/a/b/tags/list'), 'two /v2/a/b/tags/list');
    t.equal(
      await told('/v2/a/tags/list?ns=docker.io', dragonfly('harbor.corp')),
      'two /v2/library/a/tags/list',
    );
    t.equal(
      await told('/v2/a/tags/list', dragonfly('https://registry-1.docker.io')),
      'two /v2/library/a/tags/list',
      'case 13: library/ for one-part names',
    );
    t.equal(await told('/v2/', dragonfly('harbor.corp')), 'one /v2/');
    const named = await ask(proxy.port, '/v2/a/b/tags/list?ns=harbor.corp');
    t.equal(named.headers['oci-namespace'], 'harbor.corp');
    t.equal((await ask(proxy.port, '/v2/a/b/tags/list')).headers['oci-namespace'], undefined);
  },
);

await t.test('case 46: no name leads to an address that is not on the list', async (t) => {
  const { one, proxy, two } = await start(t);
  const targets = [
    '169.254.169.254',
    'localhost',
    `127.0.0.1:${new URL(one.url).port}`,
    '10.0.0.1',
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '[::1]',
    '[::ffff:169.254.169.254]',
    'user@harbor.corp',
    'harbor.corp@evil.com',
    'harbor.corp:22',
    'harbor.corp.evil.com',
    'evil.com#.gcr.io',
    'evil.com/.gcr.io',
    'evil.com%2f.gcr.io',
    '127.0.0.1.gcr.io:80',
    '*.gcr.io',
    'http://169.254.169.254/latest/meta-data',
  ];
  for (const target of targets) {
    const byQuery = await ask(proxy.port, `/v2/a/b/tags/list?ns=${encodeURIComponent(target)}`);
    const byHeader = await ask(proxy.port, '/v2/a/b/tags/list', dragonfly(target));
    for (const answer of [byQuery, byHeader]) {
      t.equal(answer.status, 404, target);
      t.equal(errorCode(answer), 'NAME_UNKNOWN');
    }
    t.equal((await ask(proxy.port, '/v2/', dragonfly(target))).status, 404);
  }
  for (const host of ['169.254.169.254', '[::1]', '[::1]:5001', '[::ffff:169.254.169.254]:5000']) {
    t.equal((await ask(proxy.port, `/v2/${host}/a/b/tags/list`)).status, 404, host);
  }
  t.same([...one.seen, ...two.seen], []);
});

await t.test(
  'case 45: what would be a header line, a second length or another form of address is refused',
  async (t) => {
    const { one, proxy, two } = await start(t);
    for (const path of [
      '/v2/a%0d%0aX-Evil:%201/b/tags/list',
      '/v2/a/b/manifests/v1%0d%0aX-Evil:%201',
      '/v2/a/b/tags/list?ns=harbor.corp%0d%0aX-Evil:%201',
    ]) {
      const answer = await ask(proxy.port, path);
      t.ok(answer.status === 400 || answer.status === 404, path);
      t.equal(answer.headers['x-evil'], undefined);
    }
    const raw = async (request: string): Promise<string> => {
      const socket = connect(proxy.port, '127.0.0.1');
      socket.write(request);
      return (await text(socket)).split('\r\n')[0] ?? '';
    };
    const head = 'Host: 127.0.0.1\r\nConnection: close\r\n';
    const smuggled = `${head}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`;
    t.match(await raw(`GET /v2/a/b/tags/list HTTP/1.1\r\n${smuggled}`), / 400 /);
    const both = `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    t.match(await raw(`GET /v2/a/b/tags/list HTTP/1.1\r\n${both}`), / 400 /);
    t.match(await raw(`GET http://169.254.169.254/v2/ HTTP/1.1\r\n${head}\r\n`), / 400 /);
    t.same([...one.seen, ...two.seen], []);
    t.match(
      await raw(`GET /v2/a/b/tags/list HTTP/1.1\r\nHost: 10.9.8.7\r\nConnection: close\r\n\r\n`),
      / 200 /,
    );
    t.equal(
      two.seen[0]?.headers.host,
      two.host,
      "the registry is asked by its own name, whatever the client's Host says",
    );
  },
);
