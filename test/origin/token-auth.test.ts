import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { delimiter, join } from 'node:path';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { Upstream } from '../../lib/core/upstream.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { NO_TRACER, type Tracer } from '../../lib/observe/spans.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { onOwnAccount } from '../../lib/origin/own-authorization.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { isInstalled, startDockerRegistry } from '../helpers/docker-registry.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { createRecordingTracer, TRACED } from '../helpers/recording-tracer.ts';
import { startTokenServer, type TokenServer } from '../helpers/token-server.ts';

// Every way to the registry's bytes, on a real registry that takes signed tokens.

const missing = ['docker-registry', 'openssl', 'htpasswd'].filter((program) => !isInstalled(program));
const skip = missing.length === 0 ? false : `${missing.join(', ')} not installed`;
const BYTES = Buffer.from('a private blob');
const DIGEST = digestOf(BYTES);
const signal = new AbortController().signal;
const ROBOT = 'robot$team+puller';

async function start(t: Test): Promise<{ tokens: TokenServer; url: string }> {
  const certificate = makeCertificate(t.testdir({}));
  const tokens = await startTokenServer(certificate, {
    pusher: { password: 'x', rights: { '*': ['pull', 'push'] } },
    [ROBOT]: { password: 'p:w', rights: { 'team/app': ['pull'] }, refreshToken: 'refresh-1' },
    nobody: { password: 'pw', rights: {} },
  });
  const authorization = `Bearer ${tokens.issue('pusher', 'repository:team/app:pull,push')}`;
  const registry = await startDockerRegistry({ tokens: { realm: tokens.realm, certificate, authorization } });
  t.teardown(async () => {
    await registry.close();
    await tokens.close();
  });
  await registry.pushBlob('team/app', BYTES);
  return { tokens, url: registry.url };
}

function clientOf(
  t: Test,
  upstream: Omit<Upstream, 'name'>,
  name = 'reg',
  tracer: Tracer = NO_TRACER,
): OriginClient {
  const client = createOriginClient({
    upstreams: [{ name, ...upstream }],
    log: silentLog(),
    clock: createSystemClock(),
    tracer,
  });
  t.teardown(() => client.close());
  return client;
}

async function read(client: OriginClient, traceparent?: string): Promise<string> {
  const [upstream = ''] = client.upstreams;
  const body = await client.readBlob(
    {
      origin: { upstream, repository: 'team/app', ...(traceparent === undefined ? {} : { traceparent }) },
      digest: DIGEST,
    },
    { signal },
  );
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const basic = (user: string, password: string): string =>
  Buffer.from(`${user}:${password}`).toString('base64');

/** A folder on the PATH for as long as the test runs. */
function onPath(t: Test, folder: string): void {
  const before = process.env['PATH'] ?? '';
  process.env['PATH'] = `${folder}${delimiter}${before}`;
  t.teardown(() => {
    process.env['PATH'] = before;
  });
}

/** A credential helper that knows one registry, and writes down what it was asked. */
function helper(folder: string, name: string, server: string, answer: object): void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `docker-credential-${name}`);
  const script = `#!/bin/sh
read -r server
echo "$1 $server" >> '${folder}/asked'
[ "$server" = '${server}' ] || { echo 'credentials not found in native keychain'; exit 1; }
echo '${JSON.stringify(answer)}'
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
}

await t.test('case 38: a robot account by GET with Basic', { skip }, async (t) => {
  const { tokens, url } = await start(t);
  const client = clientOf(t, { url, username: ROBOT, password: 'p:w' });
  t.equal(await read(client), BYTES.toString());
  t.equal(await read(client), BYTES.toString());
  t.same(
    tokens.seen.map(({ account, grant, method, scope }) => [method, grant, account, scope]),
    [['GET', 'basic', ROBOT, 'repository:team/app:pull']],
    'one token for both',
  );
});

await t.test('a request for a token is a span of the read that needs it first', { skip }, async (t) => {
  const { tokens, url } = await start(t);
  const tracer = createRecordingTracer();
  const client = clientOf(t, { url, username: ROBOT, password: 'p:w' }, 'reg', tracer);
  await read(client, TRACED);
  await read(client, TRACED);
  const names = tracer.spans.map(({ name }) => name);
  const blob = 'GET /v2/{name}/blobs/{digest}';
  t.same(names.sort(), [blob, blob, blob, 'GET token'], 'refused, read, read with the same token');
  const token = tracer.spans.find(({ name }) => name === 'GET token');
  t.equal(token?.parent, TRACED);
  t.match(token?.facts, { 'url.full': tokens.realm, 'http.response.status_code': 200 });
  const told = JSON.stringify(tracer.spans);
  for (const secret of [ROBOT, 'p:w', basic(ROBOT, 'p:w'), ...tokens.issued]) {
    t.notOk(told.includes(secret), 'no credential in a span');
  }

  const untraced = createRecordingTracer();
  await read(clientOf(t, { url, username: ROBOT, password: 'p:w' }, 'reg', untraced));
  t.same(untraced.spans, [], 'of a read that is in no trace it is none');
});

await t.test('what we show the registry on our own account', { skip }, async (t) => {
  const { tokens, url } = await start(t);
  const account = { url, username: ROBOT, password: 'p:w' };
  const blob = { digest: DIGEST, origin: { upstream: 'reg', repository: 'team/app' } };
  const client = clientOf(t, account);
  const own = await client.ownAuthorization(blob, { signal });
  t.equal(own, `Bearer ${tokens.issued.at(-1)}`, 'the token that its challenge asks for');
  t.equal(await client.ownAuthorization(blob, { signal }), own);
  t.equal(tokens.seen.length, 1, 'which is asked for once');
  t.same(await onOwnAccount(client, blob, signal), { ...blob.origin, authorization: own });
  const theirs = { ...blob.origin, authorization: 'Bearer theirs' };
  t.same(await onOwnAccount(client, { ...blob, origin: theirs }, signal), theirs, "a caller's own stays");

  for (const [why, upstream] of [
    ['every member reads with its own', { ...account, trust: 'node' }],
    ['the registry is away', { ...account, url: 'http://127.0.0.1:1' }],
  ] as const) {
    t.same(await onOwnAccount(clientOf(t, upstream), blob, signal), blob.origin, why);
  }
  t.equal(tokens.seen.length, 1);
});

await t.test('without an account we show the token that everybody gets', { skip }, async (t) => {
  const { tokens, url } = await start(t);
  tokens.accounts[''] = { password: '', rights: { 'team/app': ['pull'] } };
  const blob = { digest: DIGEST, origin: { upstream: 'reg', repository: 'team/app' } };
  const node = clientOf(t, { url });
  const origin = await onOwnAccount(node, blob, signal);
  t.equal(origin.authorization, `Bearer ${tokens.issued.at(-1)}`);
  const path = `/v2/team/app/blobs/${DIGEST}`;
  const headers = { authorization: origin.authorization ?? '' };
  const asked = await node.request({ upstream: 'reg', method: 'HEAD', path, headers }, { signal });
  t.equal(asked.status, 200, 'by which a supernode sees that we may have it');
});

await t.test('case 38: by OAuth2 POST where the service takes no GET', { skip }, async (t) => {
  const { tokens, url } = await start(t);
  tokens.oauthOnly = true;
  t.equal(await read(clientOf(t, { url, username: ROBOT, password: 'p:w' })), BYTES.toString());
  t.same(
    tokens.seen.map(({ grant, method }) => [method, grant]),
    [
      ['GET', 'basic'],
      ['POST', 'password'],
    ],
  );
});

await t.test('case 38: with a refresh token, and the one that took its place', { skip }, async (t) => {
  const { tokens, url } = await start(t);
  const file = join(t.testdir({}), 'config.json');
  writeFileSync(file, JSON.stringify({ auths: { 'https://reg/v2/': { identitytoken: 'refresh-1' } } }));
  tokens.validSeconds = 1;
  const robot = tokens.accounts[ROBOT];
  const client = clientOf(t, { url, authFiles: [file] });
  t.equal(await read(client), BYTES.toString());
  t.same(
    tokens.seen.map(({ account, grant, method }) => [method, grant, account]),
    [['POST', 'refresh_token', ROBOT]],
  );
  if (robot !== undefined) tokens.accounts[ROBOT] = { ...robot, refreshToken: 'refresh-2' };
  await t.rejects(
    read(clientOf(t, { url, authFiles: [file] })),
    { code: 'UPSTREAM_REFUSED', facts: { status: 401 } },
    'a refresh token that is no longer taken',
  );
});

await t.test('case 38: Basic', { skip }, async (t) => {
  const registry = await startDockerRegistry({ user: ROBOT, password: 'p:w' });
  t.teardown(() => registry.close());
  await registry.pushBlob('team/app', BYTES);
  t.equal(await read(clientOf(t, { url: registry.url, username: ROBOT, password: 'p:w' })), BYTES.toString());
});

await t.test(
  'case 42: a token without grants is no right, and is told as the refusal it is',
  { skip },
  async (t) => {
    const { url } = await start(t);
    const client = clientOf(t, { url, username: 'nobody', password: 'pw' });
    await t.rejects(read(client), { code: 'UPSTREAM_REFUSED', facts: { status: 401 }, message: /log in/ });
  },
);

await t.test(
  "credentials come from docker's and containers' files, the longest path first",
  { skip },
  async (t) => {
    const { url } = await start(t);
    const files: [string, object][] = [
      ['docker', { auths: { reg: { auth: basic(ROBOT, 'p:w') } } }],
      ['user and password apart', { auths: { 'https://reg': { username: ROBOT, password: 'p:w' } } }],
      [
        'containers, by repository',
        {
          auths: {
            reg: { auth: basic('nobody', 'pw') },
            'reg/team': { auth: basic('nobody', 'pw') },
            'reg/team/app': { auth: basic(ROBOT, 'p:w') },
            'reg/team/application': { auth: basic('nobody', 'pw') },
          },
        },
      ],
    ];
    for (const [name, content] of files) {
      const file = join(t.testdir({}), 'auth.json');
      writeFileSync(file, JSON.stringify(content));
      t.equal(await read(clientOf(t, { url, authFiles: [file] })), BYTES.toString(), name);
    }
    const file = join(t.testdir({}), 'auth.json');
    writeFileSync(file, '{}');
    const client = clientOf(t, { url, authFiles: [file] });
    await t.rejects(read(client), { code: 'UPSTREAM_REFUSED' });
    writeFileSync(file, JSON.stringify({ auths: { reg: { auth: basic(ROBOT, 'p:w') } } }));
    t.equal(await read(client), BYTES.toString(), 'a file that changed is read again');
  },
);

await t.test('credentials come from credential helpers', { skip }, async (t) => {
  const { url } = await start(t);
  const folder = join(t.testdir({}), 'bin');
  helper(folder, 'good', 'reg', { ServerURL: 'reg', Username: ROBOT, Secret: 'p:w' });
  helper(folder, 'tokens', 'reg', { ServerURL: 'reg', Username: '<token>', Secret: 'refresh-1' });
  helper(folder, 'other', 'elsewhere', {});
  onPath(t, folder);
  t.equal(await read(clientOf(t, { url, credentialHelper: 'good' })), BYTES.toString());
  t.equal(await read(clientOf(t, { url, credentialHelper: 'tokens' })), BYTES.toString(), 'a refresh token');
  await t.rejects(read(clientOf(t, { url, credentialHelper: 'other' })), { code: 'UPSTREAM_REFUSED' });
  await t.rejects(read(clientOf(t, { url, credentialHelper: 'absent' })), { code: 'UPSTREAM_REFUSED' });
  for (const content of [{ credHelpers: { reg: 'good' } }, { auths: { reg: {} }, credsStore: 'good' }]) {
    const file = join(folder, 'config.json');
    writeFileSync(file, JSON.stringify(content));
    t.equal(
      await read(clientOf(t, { url, authFiles: [file] })),
      BYTES.toString(),
      Object.keys(content).join(),
    );
  }
});

await t.test(
  "case 39: our credentials go to no foreign realm, unless the upstream's settings name its host",
  { skip: isInstalled('openssl') ? false : 'openssl is not installed' },
  async (t) => {
    const certificate = makeCertificate(t.testdir({}));
    const asked: (string | undefined)[] = [];
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      asked.push(request.headers.authorization);
      send(response, 200, '{"token":"t"}');
    };
    const service = await startFaultOrigin(answer);
    const secure = createServer({ cert: certificate.cert, key: certificate.key }, answer);
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    const state = { realm: '' };
    const registry = await startFaultOrigin((_request, response) => {
      send(response, 401, '', { 'www-authenticate': `Bearer realm="${state.realm}",service="s"` });
    });
    t.teardown(async () => {
      secure.closeAllConnections();
      secure.close();
      await service.close();
      await registry.close();
    });
    const plain = `localhost:${new URL(service.url).port}/token`;
    const own = { url: registry.url, username: 'u', password: 'secret', ca: certificate.cert };
    const client = clientOf(t, own);
    const listed = clientOf(t, { ...own, tokenHosts: ['localhost'] });
    const sentTo = async (each: OriginClient, realm: string): Promise<(string | undefined)[]> => {
      state.realm = realm;
      await t.rejects(read(each), { code: 'UPSTREAM_REFUSED' });
      return asked.splice(0);
    };
    const encrypted = `https://localhost:${(secure.address() as AddressInfo).port}/token`;
    t.same(await sentTo(client, `http://${plain}`), [undefined], 'another host is asked anonymously');
    t.same(await sentTo(client, encrypted), [undefined], 'by https too');
    t.same(await sentTo(client, `http://u:secret@${plain}`), [undefined], 'whatever the realm itself holds');
    t.same(await sentTo(client, 'http://169.254.169.254/token'), [], 'the machine itself not at all');
    t.same(await sentTo(listed, `http://${plain}`), [undefined], 'a host on the list, but not encrypted');
    t.same(await sentTo(listed, encrypted), [`Basic ${basic('u', 'secret')}`], 'a host on the list');
  },
);

await t.test(
  'anybody may read what the registry gives without an account, and nothing else',
  { skip },
  async (t) => {
    const { tokens, url } = await start(t);
    const asked = { digest: DIGEST, origin: { upstream: 'reg', repository: 'team/app' } };
    const isPublic = (upstream: Omit<Upstream, 'name'>): Promise<boolean> =>
      clientOf(t, upstream).isPublic(asked, { signal });
    t.equal(await isPublic({ url }), false, 'anonymous tokens give no right here');
    t.equal(
      await isPublic({ url, username: ROBOT, password: 'p:w' }),
      false,
      'our account may, others may not',
    );
    tokens.accounts[''] = { password: '', rights: { 'team/app': ['pull'] } };
    t.equal(await isPublic({ url }), true, 'with the token that everybody gets');
    t.equal(
      await isPublic({ url, username: ROBOT, password: 'p:w' }),
      false,
      'it would be a token of our own',
    );
    const file = { digest: DIGEST, origin: { upstream: 'reg', repository: '/some/file' } };
    t.equal(await clientOf(t, { url }).isPublic(file, { signal }), false, 'a file is no blob of a registry');
    const away = clientOf(t, { url: 'http://127.0.0.1:1' });
    await t.rejects(away.isPublic(asked, { signal }), { code: 'UPSTREAM_UNREACHABLE' });
  },
);
