import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { loadProxyTls, plainProxyNotes } from '../../dfget/daemon/proxy-exposure.ts';
import { loadAdminToken } from '../../lib/config/load-admin-token.ts';
import { startAdminServer } from '../../lib/observe/admin-server.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { isInstalled } from '../helpers/docker-registry.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { ask, startProxy } from './fixture.ts';

const upstreams = (url: string) => [{ name: 'reg.test', url }];

t.test('case 46: a page whose name leads to the mirror gets nothing, and no registry is asked', async (t) => {
  const origin = await startFaultOrigin((_request, response) => send(response, 200, '{}'));
  const proxy = await startProxy(upstreams(origin.url), { hosts: ['mirror.local'] });
  t.teardown(() => Promise.all([proxy.close(), origin.close()]));
  const path = '/v2/a/manifests/v1?ns=reg.test';
  const status = async (headers: Record<string, string>) => (await ask(proxy.port, path, { headers })).status;
  t.equal(await status({ host: `evil.com:${proxy.port}` }), 403);
  t.equal(await status({ origin: 'https://evil.com' }), 403);
  t.equal(await status({ 'sec-fetch-site': 'cross-site' }), 403);
  t.equal(origin.seen.length, 0);
  for (const host of ['localhost', 'mirror.local', 'reg.test', '127.0.0.1']) {
    t.equal(await status({ host }), 200, host);
  }
});

t.test('case 46: nor does it get health, metrics or limits', async (t) => {
  const { registry } = createMetrics({ defaults: false });
  const admin = await startAdminServer({ host: '127.0.0.1', port: 0, registry, checks: () => ({}) });
  t.teardown(() => admin.close());
  for (const path of ['/metrics', '/readyz', '/healthz']) {
    t.equal((await ask(admin.port, path)).status, 200, path);
    t.equal((await ask(admin.port, path, { headers: { host: 'evil.com' } })).status, 403, path);
    t.equal((await ask(admin.port, path, { headers: { origin: 'https://evil.com' } })).status, 403, path);
  }
});

t.test('with a token the admin port tells strangers no more than that it is there', async (t) => {
  const folder = t.testdir({
    token: `${'s3cret'.repeat(4)}\n`,
    short: 'guessable',
    spaced: 'not a token but a sentence',
  });
  const token = loadAdminToken(join(folder, 'token'));
  const { registry } = createMetrics({ defaults: false });
  const admin = await startAdminServer({ host: '127.0.0.1', port: 0, registry, token, checks: () => ({}) });
  t.teardown(() => admin.close());
  const status = async (path: string, authorization?: string) =>
    (await ask(admin.port, path, { headers: authorization === undefined ? {} : { authorization } })).status;
  for (const path of ['/healthz', '/readyz?x']) t.equal(await status(path), 200, path);
  for (const shown of [undefined, 'Bearer', 'Bearer wrong', `Basic ${token}`, `Bearer ${token}x`]) {
    t.equal(await status('/metrics', shown), 401, shown ?? 'none');
  }
  t.equal(await status('/metrics', `Bearer ${token}`), 200);
  t.equal(loadAdminToken(undefined), undefined);
  for (const file of ['short', 'spaced', 'none']) {
    t.throws(() => loadAdminToken(join(folder, file)), { code: 'CONFIG_INVALID' }, file);
  }
});

t.test('nobody listens beyond this machine without TLS unless it was asked for', async (t) => {
  const notes = (more: object) => plainProxyNotes(daemonConfig.parse(more));
  t.same(notes({}), []);
  t.same(notes({ proxyListen: ['[::1]:1', 'a=localhost:2'], forwardProxy: '127.0.0.1:3' }), []);
  for (const exposed of [
    { proxyListen: [':65001'] },
    { proxyListen: ['10.0.0.1:1'] },
    { forwardProxy: '0.0.0.0:1' },
  ]) {
    t.throws(
      () => notes(exposed),
      { code: 'CONFIG_INVALID', message: /--plain-proxy/ },
      JSON.stringify(exposed),
    );
    t.match(notes({ ...exposed, plainProxy: true }), [/without TLS/]);
    t.match(notes({ ...exposed, insecure: true }), [/without TLS/]);
  }
  const tls = { proxyTlsCert: '/c', proxyTlsKey: '/k' };
  t.same(notes({ proxyListen: [':65001'], ...tls }), []);
  t.throws(
    () => notes({ forwardProxy: ':1', ...tls }),
    { code: 'CONFIG_INVALID' },
    'the forward proxy has no TLS',
  );
});

const skip = isInstalled('openssl') ? false : 'openssl is not installed';
t.test(
  'the mirror speaks HTTPS, and takes a new certificate without an end',
  { skip, timeout: 30_000 },
  async (t) => {
    const folder = t.testdir();
    const [first, second] = [makeCertificate(folder, 'first'), makeCertificate(folder, 'second')];
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const use = ({ certPath, keyPath }: typeof first): void => {
      copyFileSync(keyPath, key);
      copyFileSync(certPath, cert);
    };
    use(first);
    const deps = { clock: createSystemClock(), log: silentLog() };
    const config = daemonConfig.parse({ proxyTlsCert: cert, proxyTlsKey: key });
    const origin = await startFaultOrigin((_request, response) => send(response, 200, '{}'));
    const proxy = await startProxy(upstreams(origin.url), { tls: loadProxyTls(deps, config) });
    t.teardown(() => origin.close());
    const shown = async (): Promise<string> => {
      const socket = connectTls({ port: proxy.port, host: '127.0.0.1', rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return String(CN);
    };
    const request = httpsRequest({
      port: proxy.port,
      host: '127.0.0.1',
      path: '/v2/?ns=reg.test',
      ca: first.cert,
    });
    request.end();
    const [response] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }];
    t.equal(response.statusCode, 200);
    response.resume();
    t.equal(await shown(), 'first');
    use(second);
    const deadline = AbortSignal.timeout(20_000);
    while ((await shown()) === 'first') deadline.throwIfAborted();
    t.equal(await shown(), 'second');
    const startMs = performance.now();
    await proxy.close();
    t.ok(performance.now() - startMs < 10_000, 'and it drains');
  },
);

t.test('a certificate and a key that do not belong together are refused', { skip }, async (t) => {
  const folder = t.testdir();
  const [one, other] = [makeCertificate(folder, 'one'), makeCertificate(folder, 'other')];
  const deps = { clock: createSystemClock(), log: silentLog() };
  const load = (more: object) => loadProxyTls(deps, daemonConfig.parse(more));
  t.equal(load({}), undefined);
  t.throws(() => load({ proxyTlsCert: one.certPath }), { code: 'CONFIG_INVALID', message: /give both/ });
  for (const key of [other.keyPath, one.certPath, '/nowhere']) {
    t.throws(() => load({ proxyTlsCert: one.certPath, proxyTlsKey: key }), { code: 'CONFIG_INVALID' });
  }
});
