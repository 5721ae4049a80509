import { X509Certificate } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse as parseYaml } from 'yaml';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { guardedLookup } from '../../lib/origin/http/guarded-lookup.ts';
import { openAuthority } from '../../registry-proxy/forward/authority.ts';
import {
  isLoopback,
  parseAuthority,
  refusalOf,
  registryName,
} from '../../registry-proxy/forward/destination.ts';
import { parseRule, ruleFor } from '../../registry-proxy/forward/rules.ts';

t.test('the first rule that matches decides; none means the swarm', async (t) => {
  const rules = [
    'direct /v2/secret/',
    'use-https ^http://old\\.corp/',
    'direct use-https both',
    'secret|old',
  ].map((text) => {
    const rule = parseRule(text);
    if (rule === undefined) throw new Error(text);
    return rule;
  });
  t.same(ruleFor(rules, 'https://r/v2/secret/a/blobs/x'), { direct: true, useHttps: false });
  t.same(ruleFor(rules, 'http://old.corp/v2/'), { direct: false, useHttps: true });
  t.same(ruleFor(rules, 'http://both/'), { direct: true, useHttps: true });
  t.same(ruleFor(rules, 'https://r/secret'), { direct: false, useHttps: false });
  t.same(ruleFor(rules, 'https://r/v2/'), { direct: false, useHttps: false });
  for (const text of ['', '(', 'direct (', 'whatever x']) t.equal(parseRule(text), undefined, text);
});

t.test('rules in the configuration: text, or as in the file of dfdaemon', async (t) => {
  const file = parseYaml(`
forwardProxy: 127.0.0.1:65008
forwardRule:
  - direct ^https://harbor\\.corp/v2/secret/    # past the swarm
  - { regx: ^http://old\\.corp/, use_https: true }
`) as object;
  const { forwardProxy, forwardRule } = daemonConfig.parse(file);
  t.same(forwardProxy, { host: '127.0.0.1', port: 65_008 });
  t.same(
    forwardRule.map(({ direct, pattern, useHttps }) => [pattern.source, direct, useHttps]),
    [
      ['^https:\\/\\/harbor\\.corp\\/v2\\/secret\\/', true, false],
      ['^http:\\/\\/old\\.corp\\/', false, true],
    ],
  );
  for (const wrong of ['(', { regx: 'a', redirect: 'b' }, 'swarm x']) {
    t.notOk(daemonConfig.safeParse({ forwardRule: [wrong] }).success);
  }
});

t.test('where CONNECT may lead', async (t) => {
  t.same(parseAuthority('Registry.Corp:443'), { host: 'registry.corp', port: 443 });
  t.same(parseAuthority('[::1]:5000'), { host: '::1', port: 5000 });
  t.same(
    parseAuthority('2130706433:443'),
    { host: '127.0.0.1', port: 443 },
    'an address written as a number',
  );
  for (const text of [
    '',
    'a',
    'a:0',
    'a:65536',
    'a:b',
    'u@a:443',
    'a/b:443',
    '[::1]',
    'a b:443',
    'http://a:443',
  ]) {
    t.equal(parseAuthority(text), undefined, text);
  }
  t.equal(registryName({ host: 'r.corp', port: 443 }, 443), 'r.corp');
  t.equal(registryName({ host: 'r.corp', port: 5000 }, 443), 'r.corp:5000');
  t.equal(registryName({ host: '::1', port: 5000 }, 443), '[::1]:5000');
  const allowed = (host: string, port: number, local: boolean) =>
    refusalOf({ host, port }, local) === undefined;
  t.ok(allowed('registry.corp', 443, false));
  t.ok(allowed('10.1.2.3', 5000, false), 'registries live in private networks');
  t.ok(allowed('127.0.0.1', 5000, true));
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '0.0.0.0', '::']) {
    t.notOk(allowed(host, 5000, false), `${host} from another machine`);
  }
  for (const port of [22, 25, 79, 111, 1023]) t.notOk(allowed('registry.corp', port, true), `port ${port}`);
  for (const host of ['169.254.169.254', '::ffff:169.254.169.254', 'fe80::1', 'fd00:ec2::254']) {
    t.notOk(allowed(host, 443, true), host);
  }
  t.ok(isLoopback('::ffff:127.0.0.1'));
  t.notOk(isLoopback('10.0.0.1'));
});

t.test('a name that leads to this machine is refused to clients of others', async (t) => {
  const resolve = (local: boolean, all: boolean): Promise<unknown> =>
    new Promise((settle) =>
      guardedLookup(local)('localhost', { all }, (error, found) => settle(error ?? found)),
    );
  t.type(await resolve(false, true), Error);
  t.type(await resolve(false, false), Error);
  t.match(await resolve(true, true), [{ address: /^(127\.0\.0\.1|::1)$/ }]);
  t.match(await resolve(true, false), /^(127\.0\.0\.1|::1)$/);
});

t.test('an authority is made once and kept; what it signs is for one host and lasts', async (t) => {
  const folder = join(t.testdir(), 'inside');
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  const deps = { wallClockMs: () => nowMs };
  const first = await openAuthority(deps, folder);
  const pem = readFileSync(first.certificateFile, 'utf8');
  t.equal(statSync(join(folder, 'ca.key')).mode & 0o777, 0o600);
  const root = new X509Certificate(pem);
  t.ok(root.ca && root.verify(root.publicKey));
  const again = await openAuthority(deps, folder);
  t.equal(readFileSync(again.certificateFile, 'utf8'), pem);
  const signal = new AbortController().signal;
  const [one, same] = await Promise.all([
    again.contextFor('r.corp', signal),
    again.contextFor('r.corp', signal),
  ]);
  t.equal(one, same, 'made once for all who ask at the same time');
  t.equal(await again.contextFor('r.corp', signal), one);
  t.not(await again.contextFor('127.0.0.1', signal), one);
  nowMs += 31 * 24 * 60 * 60_000;
  t.not(await again.contextFor('r.corp', signal), one, 'made anew long before it expires');
});

t.test('an authority whose files are damaged is refused, and not made anew behind the clients', async (t) => {
  const root = t.testdir();
  const folder = join(root, 'one');
  const deps = { wallClockMs: Date.now };
  await openAuthority(deps, folder);
  const [key, certificate] = [join(folder, 'ca.key'), join(folder, 'ca.crt')];
  const good = readFileSync(key, 'utf8');
  const refused = async (why: string): Promise<void> => {
    const error: unknown = await openAuthority(deps, folder).catch((thrown: unknown) => thrown);
    t.match(error, { code: 'CONFIG_INVALID', message: folder }, why);
    t.ok(error instanceof DamselflyError && !error.message.includes(good.slice(30, 60)), 'without the key');
  };
  rmSync(key);
  await refused('no key');
  const other = join(root, 'other');
  await openAuthority(deps, other);
  writeFileSync(key, readFileSync(join(other, 'ca.key')));
  await refused('the key of another');
  writeFileSync(key, good);
  await openAuthority(deps, folder);
  rmSync(certificate);
  await openAuthority(deps, folder);
  t.ok(
    readFileSync(certificate, 'utf8').includes('CERTIFICATE'),
    'a start that was interrupted is made good',
  );
});
