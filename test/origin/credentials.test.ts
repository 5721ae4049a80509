import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { Upstream } from '../../lib/core/upstream.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { parseChallenges } from '../../lib/origin/challenge.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { mayBeSentTo, mayReceiveCredentials } from '../../lib/origin/trust.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { type FaultOrigin, send, startFaultOrigin } from '../helpers/fault-origin.ts';

const BYTES = Buffer.from('a blob');
const DIGEST = digestOf(BYTES);
const signal = new AbortController().signal;
const BASIC = `Basic ${Buffer.from('robot:pw').toString('base64')}`;

function clientOf(upstream: Omit<Upstream, 'name'>, clock = new FakeClock()): OriginClient {
  return createOriginClient({ upstreams: [{ name: 'reg', ...upstream }], log: silentLog(), clock });
}

async function read(client: OriginClient, authorization?: string): Promise<string> {
  const origin = {
    upstream: 'reg',
    repository: 'a/b',
    ...(authorization === undefined ? {} : { authorization }),
  };
  const body = await client.readBlob({ origin, digest: DIGEST }, { signal });
  let text = '';
  for await (const chunk of body.bytes) text += Buffer.from(chunk).toString();
  return text;
}

/** A registry whose tokens come from a service on `realm` (default: its own host), and that service. */
async function startBearerRegistry(
  expiresIn?: number,
): Promise<FaultOrigin & { tokens: number; valid: string; realm: string }> {
  const state = { tokens: 0, valid: '', realm: '' };
  const origin = await startFaultOrigin((request, response) => {
    if (request.url?.startsWith('/token') === true) {
      state.tokens++;
      state.valid = `t${state.tokens}`;
      sendToken(response, {
        token: state.valid,
        ...(expiresIn === undefined ? {} : { expires_in: expiresIn }),
      });
    } else if (request.headers.authorization === `Bearer ${state.valid}`) {
      send(response, 200, BYTES);
    } else {
      const challenge = `Bearer realm="${state.realm}",service="s v c",scope="repository:a/b:pull"`;
      send(response, 401, '{}', { 'www-authenticate': challenge });
    }
  });
  state.realm = `${origin.url}/token`;
  return Object.assign(state, origin);
}

function sendToken(response: ServerResponse, body: object): void {
  send(response, 200, JSON.stringify(body), { 'content-type': 'application/json' });
}

await t.test(
  'a Bearer challenge is answered once for many readers, and again only when the token has expired',
  async (t) => {
    const registry = await startBearerRegistry(30);
    const clock = new FakeClock();
    const client = clientOf({ url: registry.url, username: 'robot', password: 'pw' }, clock);
    t.teardown(async () => {
      await client.close();
      await registry.close();
    });
    const all = await Promise.all(Array.from({ length: 10 }, () => read(client)));
    t.same(new Set(all), new Set(['a blob']));
    t.equal(registry.tokens, 1);
    const asked = registry.seen.find(({ url }) => url.startsWith('/token'));
    t.equal(asked?.url, '/token?service=s+v+c&scope=repository%3Aa%2Fb%3Apull');
    t.equal(asked?.headers.authorization, BASIC);
    const before = registry.seen.length;
    await read(client);
    t.equal(registry.seen.length, before + 1, 'the token is known: one request');
    clock.after(26_000, () => {});
    clock.advanceToNext();
    await read(client);
    t.equal(registry.tokens, 2, 'given up 5 s before it expires');
    registry.valid = 'revoked';
    await read(client);
    t.equal(registry.tokens, 3, 'a token that the registry no longer takes is replaced');
  },
);

await t.test('without credentials an anonymous token is asked for', async (t) => {
  const registry = await startBearerRegistry();
  const client = clientOf({ url: registry.url });
  t.teardown(async () => {
    await client.close();
    await registry.close();
  });
  t.equal(await read(client), 'a blob');
  t.equal(registry.seen.find(({ url }) => url.startsWith('/token'))?.headers.authorization, undefined);
});

await t.test('configured credentials never go to a token service of another domain', async (t) => {
  const registry = await startBearerRegistry();
  const client = clientOf({ url: registry.url, username: 'robot', password: 'pw' });
  t.teardown(async () => {
    await client.close();
    await registry.close();
  });
  registry.realm = registry.realm.replace('127.0.0.1', 'localhost');
  await read(client).catch(() => {});
  for (const { url, headers } of registry.seen) t.equal(headers.authorization === BASIC, false, url);
  t.equal(registry.tokens, 1, 'asked for anonymously');
});

await t.test("the caller's own Authorization is used as it is, and its refusal is the answer", async (t) => {
  const registry = await startBearerRegistry();
  const client = clientOf({ url: registry.url });
  const withOwn = clientOf({ url: registry.url, username: 'robot', password: 'pw' });
  t.teardown(async () => {
    await client.close();
    await withOwn.close();
    await registry.close();
  });
  await t.rejects(read(client, 'Bearer mine'), { code: 'UPSTREAM_REFUSED', facts: { status: 401 } });
  t.same(
    registry.seen.map(({ headers }) => headers.authorization),
    ['Bearer mine'],
  );
  const request = { upstream: 'reg', method: 'HEAD', path: '/v2/a/b/manifests/1', headers: {} };
  t.equal(
    (await withOwn.request(request, { signal })).status,
    401,
    'a relayed request never borrows the credentials',
  );
  t.equal(registry.tokens, 0);
});

await t.test(
  'a read that was allowed goes on when the token runs out: newest token, signed address, own credentials',
  async (t) => {
    const token = (id: number): string => {
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      return `Bearer ${part({ alg: 'none' })}.${part({ iss: 'i', sub: 'alice', aud: 'reg', id })}.c2ln`;
    };
    const valid = new Set<string>();
    let storageOpen = true;
    const storage = await startFaultOrigin((_request, response) => {
      if (storageOpen) send(response, 200, BYTES);
      else send(response, 403, 'expired');
    });
    const registry = await startFaultOrigin((request, response) => {
      const { authorization = '' } = request.headers;
      if (valid.has(authorization)) send(response, 307, '', { location: `${storage.url}/x?sig=1` });
      else if (authorization === BASIC) send(response, 200, BYTES);
      else send(response, 401, '', { 'www-authenticate': 'Basic realm="r"' });
    });
    const client = clientOf({ url: registry.url, username: 'robot', password: 'pw' });
    t.teardown(async () => {
      await client.close();
      await registry.close();
      await storage.close();
    });
    const asked = (): (string | undefined)[] =>
      registry.seen.splice(0).map(({ headers }) => headers.authorization);

    valid.add(token(1));
    t.equal(await read(client, token(1)), 'a blob');
    valid.delete(token(1));
    valid.add(token(2));
    const head = { upstream: 'reg', method: 'HEAD', path: '/v2/a/b/manifests/1' };
    await client.request({ ...head, headers: { authorization: token(2) } }, { signal });
    asked();
    t.equal(await read(client, token(1)), 'a blob');
    t.same(asked(), [token(2)], 'the newest token of that caller');

    valid.clear();
    storage.seen.length = 0;
    t.equal(await read(client, token(1)), 'a blob');
    t.same(asked(), [token(2), token(1)], 'nothing else is sent while the signed address is valid');
    t.equal(storage.seen.length, 1);
    t.equal(storage.seen[0]?.headers.authorization, undefined);

    storageOpen = false;
    t.equal(await read(client, token(1)), 'a blob');
    t.same(asked(), [token(2), token(1), undefined, BASIC], 'then our own credentials');
  },
);

await t.test(
  'a 403 that says that the token has expired is answered like a 401, any other is final',
  async (t) => {
    const body = (message: string): string => JSON.stringify({ errors: [{ code: 'DENIED', message }] });
    // As Amazon ECR: its helper's password is good for some hours, then 403 and no challenge.
    const expired = body('Your authorization token has expired. Reauthenticate and try again.');
    let password = 'first';
    let refusal = expired;
    const registry = await startFaultOrigin((request, response) => {
      const { authorization } = request.headers;
      const good = `Basic ${Buffer.from(`AWS:${password}`).toString('base64')}`;
      if (authorization === good) send(response, 200, BYTES);
      else if (authorization === undefined) {
        send(response, 401, '', { 'www-authenticate': 'Basic realm="ecr",service="ecr.amazonaws.com"' });
      } else send(response, 403, refusal);
    });
    const folder = t.testdir({ 'auth.json': '' });
    const authFile = join(folder, 'auth.json');
    const logIn = (): void => {
      const auth = Buffer.from(`AWS:${password}`).toString('base64');
      writeFileSync(authFile, JSON.stringify({ auths: { reg: { auth } } }));
    };
    logIn();
    const client = clientOf({ url: registry.url, authFiles: [authFile] });
    t.teardown(async () => {
      await client.close();
      await registry.close();
    });
    t.equal(await read(client), 'a blob');
    password = 'second';
    logIn();
    t.equal(await read(client), 'a blob', 'with the new password');
    t.equal(
      await read(client, 'Basic b2xk'),
      'a blob',
      'a caller whose own has run out in the middle of its pull',
    );

    password = 'third';
    refusal = body('not authorized to perform ecr:BatchGetImage');
    const asked = registry.seen.length;
    await t.rejects(read(client), { code: 'UPSTREAM_REFUSED', facts: { status: 403 } });
    t.equal(registry.seen.length - asked, 1, 'nobody asks again');
    const answer = await client.request(
      { upstream: 'reg', method: 'GET', path: '/v2/a/b/tags/list', headers: { authorization: 'Basic b2xk' } },
      { signal },
    );
    t.equal(answer.status, 403);

    refusal = body('no '.repeat(5000));
    const asNode = clientOf({ url: registry.url, authFiles: [authFile], trust: 'node' });
    t.teardown(() => asNode.close());
    const long = await asNode.request(
      { upstream: 'reg', method: 'GET', path: '/v2/a/b/tags/list', headers: {} },
      { signal },
    );
    const chunks: Uint8Array[] = [];
    for await (const chunk of long.body) chunks.push(chunk);
    t.same([long.status, Buffer.concat(chunks).toString()], [403, refusal], 'a long refusal stays whole');
  },
);

await t.test('a caller whose token the registry never took is nobody', async (t) => {
  const registry = await startFaultOrigin((request, response) => {
    const good = request.headers.authorization === GOOD;
    send(response, good ? 200 : 401, good ? BYTES : '');
  });
  const client = clientOf({ url: registry.url });
  t.teardown(async () => {
    await client.close();
    await registry.close();
  });
  const jwt = (signature: string): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `Bearer ${part({})}.${part({ sub: 'alice' })}.${signature}`;
  };
  const GOOD = jwt('good');
  const request = { upstream: 'reg', method: 'HEAD', path: '/v2/a/b/manifests/1' };
  await client.request({ ...request, headers: { authorization: GOOD } }, { signal });
  await client.request({ ...request, headers: { authorization: jwt('forged') } }, { signal });
  t.equal(await read(client, GOOD), 'a blob', 'a forged token does not take the place of the true one');
});

await t.test('a token service that sends nonsense, nothing or an error leaves a clear error', async (t) => {
  const answers: [string, (response: ServerResponse) => void, string][] = [
    ['not JSON', (response) => send(response, 200, 'hello'), 'UPSTREAM_BROKEN'],
    ['no token', (response) => sendToken(response, {}), 'UPSTREAM_BROKEN'],
    ['a token with a line break', (response) => sendToken(response, { token: 'a\r\nb' }), 'UPSTREAM_BROKEN'],
    ['too much', (response) => send(response, 200, Buffer.alloc(2 * 1024 * 1024)), 'UPSTREAM_BROKEN'],
    ['an error', (response) => send(response, 500, ''), 'UPSTREAM_REFUSED'],
  ];
  for (const [name, answer, code] of answers) {
    const origin = await startFaultOrigin((request, response) => {
      if (request.url?.startsWith('/token') === true) answer(response);
      else send(response, 401, '', { 'www-authenticate': `Bearer realm="${origin.url}/token"` });
    });
    const client = clientOf({ url: origin.url });
    await t.rejects(read(client), { code }, name);
    await client.close();
    await origin.close();
  }
});

await t.test('a token request that all readers gave up on harms nobody', async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const origin = await startFaultOrigin((request, response) => {
    if (request.url?.startsWith('/token') === true) asked.resolve(response);
    else send(response, 401, '', { 'www-authenticate': `Bearer realm="${origin.url}/token"` });
  });
  const client = clientOf({ url: origin.url });
  const patience = new AbortController();
  const reading = client.readBlob(
    { origin: { upstream: 'reg', repository: 'a/b' }, digest: DIGEST },
    { signal: patience.signal },
  );
  const token = await asked.promise;
  patience.abort();
  await t.rejects(reading, { code: 'ABORTED' });
  token.destroy();
  await turn();
  await client.close();
  await origin.close();
});

await t.test(
  'a real registry with Basic authentication is read with the configured credentials',
  {
    skip:
      !isInstalled('docker-registry') || !isInstalled('htpasswd')
        ? 'docker-registry or htpasswd is not installed'
        : false,
  },
  async (t) => {
    const registry = await startDockerRegistry({ user: 'robot', password: 'pw' });
    t.teardown(() => registry.close());
    await registry.pushBlob('a/b', BYTES);
    const client = clientOf({ url: registry.url, username: 'robot', password: 'pw' });
    const wrong = clientOf({ url: registry.url, username: 'robot', password: 'no' });
    t.equal(await read(client), 'a blob');
    await t.rejects(read(wrong), { code: 'UPSTREAM_REFUSED', facts: { status: 401 } });
    await client.close();
    await wrong.close();
  },
);

await t.test('challenges are read as RFC 9110 writes them', async (t) => {
  t.same(parseChallenges('Bearer realm="https://a/t?x=1,2",service=s, scope="a \\"b\\""'), [
    { scheme: 'bearer', parameters: { realm: 'https://a/t?x=1,2', service: 's', scope: 'a "b"' } },
  ]);
  t.same(
    parseChallenges('Negotiate, Basic realm="r", Bearer realm="x"').map(({ scheme }) => scheme),
    ['negotiate', 'basic', 'bearer'],
  );
  t.same(
    parseChallenges(['Basic realm="a"', 'Bearer realm="b"']).map(({ parameters }) => parameters['realm']),
    ['a', 'b'],
  );
  for (const odd of [undefined, '', '"', '=', ',,,', 'Bearer realm="unclosed']) {
    t.ok(Array.isArray(parseChallenges(odd)));
  }
});

await t.test('a token service is trusted by its domain', async (t) => {
  const trusted = (realm: string, upstream: string) =>
    mayReceiveCredentials(new URL(realm), new URL(upstream));
  t.ok(trusted('https://auth.docker.io/token', 'https://registry-1.docker.io'));
  t.ok(trusted('https://harbor.corp/service/token', 'https://harbor.corp'));
  t.ok(trusted('http://10.0.0.1:8080/t', 'http://10.0.0.1:5000'));
  t.notOk(
    trusted('http://harbor.corp/service/token', 'https://harbor.corp'),
    'no plain http for an https registry',
  );
  t.notOk(trusted('https://evil.com/t', 'https://registry.corp.com'));
  t.notOk(trusted('https://evil.co.uk/t', 'https://registry.corp.co.uk'));
  t.notOk(trusted('https://10.0.0.2/t', 'https://10.0.0.1'));
  t.notOk(trusted('https://localhost/t', 'https://127.0.0.1'));
  for (const url of [
    'http://169.254.169.254',
    'http://0xa9fea9fe',
    'http://[fe80::1]',
    'http://[fd00:ec2::254]',
    'http://metadata.google.internal',
    'https://auth.corp:22',
  ]) {
    t.notOk(mayBeSentTo(new URL(url), true), url);
  }
  for (const url of [
    'http://170.254.1.1',
    'http://169.254.corp',
    'http://[2001:db8::1]',
    'https://auth.corp:80',
  ]) {
    t.ok(mayBeSentTo(new URL(url), false), url);
  }
  t.ok(mayBeSentTo(new URL('http://localhost:5001/token'), true), 'of a registry on this machine');
  t.notOk(mayBeSentTo(new URL('http://localhost:5001/token'), false), 'of any other');
});
