import fc from 'fast-check';
import t from 'tap';
import { hasDigestForm, isRepository, isTag } from '../../lib/oci/names.ts';
import { parseTarget } from '../../registry-proxy/route.ts';
import { chooseUpstream } from '../../registry-proxy/upstream-name.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const UPSTREAMS = ['docker.io', 'harbor.corp', 'localhost:5000', 'plain'];

await t.test(
  'addresses of the registry API are told apart from the end, so that names may hold any word',
  async (t) => {
    const route = (target: string) => {
      const found = parseTarget(target);
      return found.kind === 'found' ? found.route : found;
    };
    t.same(route('/v2/'), { kind: 'ping' });
    t.same(route('/v2'), { kind: 'ping' });
    t.same(route('/v2/_catalog?n=5'), { kind: 'catalog' });
    t.same(route('/v2/a/manifests/v1'), { kind: 'manifest', name: 'a', reference: 'v1' });
    t.same(route(`/v2/a/b/manifests/${DIGEST}`), { kind: 'manifest', name: 'a/b', reference: DIGEST });
    t.same(route(`/v2/manifests/blobs/blobs/${DIGEST}`), {
      kind: 'blob',
      name: 'manifests/blobs',
      digest: DIGEST,
    });
    t.same(route('/v2/a/blobs/manifests/tags/list'), {
      kind: 'listing',
      name: 'a/blobs/manifests',
      rest: 'tags/list',
    });
    t.same(route(`/v2/a/referrers/${DIGEST}`), { kind: 'listing', name: 'a', rest: `referrers/${DIGEST}` });
    t.same(route(`/v2/a/blobs/${DIGEST.replace(':', '%3A')}`), { kind: 'blob', name: 'a', digest: DIGEST });
    t.same(route('/v2/localhost:5000/a/tags/list'), {
      kind: 'listing',
      name: 'localhost:5000/a',
      rest: 'tags/list',
    });
    t.match(parseTarget('/v2/a/tags/list?ns=harbor.corp&n=3'), {
      ns: 'harbor.corp',
      path: '/v2/a/tags/list',
    });
    t.match(parseTarget('/v2/a/tags/list?n=3').kind === 'found', true);
    for (const other of ['/', '/v1/_ping', '/v22/', '/V2/']) {
      t.equal(parseTarget(other).kind, 'elsewhere', other);
    }
  },
);

await t.test('addresses that could mean something else to someone are refused', async (t) => {
  const names = [
    '..',
    '.',
    'a/..',
    '%2e%2e',
    'a/%2e',
    '%2e%2e%2fa',
    'a%2fb',
    'a//b',
    '',
    'a%00',
    'a\\b',
    'a%5cb',
    '%c0%ae',
    '%',
    'a%0d%0aX: y',
    'a b',
    'ä',
    'a;b',
    'a@b',
    'a%252fb',
  ];
  for (const name of names) {
    t.match(parseTarget(`/v2/${name}/manifests/v1`), { kind: 'invalid', code: 'NAME_INVALID' }, name);
  }
  const tags = ['', '..', '.x', 'a%2fb', 'a%00', `${'a'.repeat(129)}`, 'v1%0a', '-x'];
  for (const tag of tags) {
    t.match(parseTarget(`/v2/a/manifests/${tag}`), { kind: 'invalid', code: 'NAME_INVALID' }, tag);
  }
  const digests = [
    '',
    'sha256:',
    'sha256:12',
    `sha256:${'AB'.repeat(32)}`,
    `SHA256:${'ab'.repeat(32)}`,
    `sha256:${'ab'.repeat(33)}`,
    'uploads',
    ':',
    'x:',
    'sha256:..%2f',
  ];
  for (const digest of digests) {
    t.match(parseTarget(`/v2/a/blobs/${digest}`), { kind: 'invalid', code: 'DIGEST_INVALID' }, digest);
  }
  for (const target of [
    '*',
    'http://x/v2/',
    'v2/',
    '',
    `/v2/${'a'.repeat(9000)}/tags/list`,
    '/v2/?ns=a&ns=b',
    '/v2/a',
    '/v2/tags/list',
    '/v2/a/b/c',
  ]) {
    t.equal(parseTarget(target).kind, 'invalid', target.slice(0, 40));
  }
});

await t.test('whatever comes in, only names of the grammar lead on', async () => {
  const pieces = fc.constantFrom(
    'v2',
    'manifests',
    'blobs',
    'tags',
    'list',
    'referrers',
    '..',
    '%2e',
    '%2F',
    '%00',
    'a',
    'b.c',
    ':5000',
    DIGEST,
    '?ns=',
    '&',
    '//',
    '\\',
    'é',
    '%e9',
  );
  const targets = fc.oneof(
    fc.string({ unit: 'binary' }).map((text) => `/v2/${text}`),
    fc.array(pieces).map((parts) => `/v2/${parts.join('/')}`),
    fc.tuple(fc.array(pieces), fc.string()).map(([parts, end]) => `/v2/${parts.join('')}/manifests/${end}`),
  );
  fc.assert(
    fc.property(targets, (target) => {
      const found = parseTarget(target);
      if (found.kind !== 'found' || !('name' in found.route)) return true;
      const { route } = found;
      const end =
        route.kind === 'manifest'
          ? route.reference
          : route.kind === 'blob'
            ? route.digest
            : route.rest.split('/')[1];
      const choice = chooseUpstream({
        upstreams: UPSTREAMS,
        ns: found.ns,
        name: route.name,
        listenerUpstream: 'plain',
        defaultUpstream: undefined,
      });
      const clean =
        choice.kind !== 'found' || (UPSTREAMS.includes(choice.upstream) && isRepository(choice.repository));
      return clean && end !== undefined && (isTag(end) || hasDigestForm(end));
    }),
    { numRuns: 5000 },
  );
});

await t.test(
  'the registry is taken from ns, then the path, then the listener, then the default',
  async (t) => {
    const choose = (
      name: string | undefined,
      more: { ns?: string; listener?: string; fallback?: string } = {},
    ) => {
      const choice = chooseUpstream({
        upstreams: UPSTREAMS,
        ns: more.ns,
        name,
        listenerUpstream: more.listener,
        defaultUpstream: more.fallback,
      });
      return choice.kind === 'found' ? `${choice.upstream} ${choice.repository}` : choice.kind;
    };
    t.equal(choose('app', { ns: 'docker.io' }), 'docker.io library/app');
    t.equal(choose('app', { ns: 'index.docker.io' }), 'docker.io library/app');
    t.equal(
      choose('harbor.corp/app', { ns: 'plain' }),
      'plain harbor.corp/app',
      'ns says that the path is all repository',
    );
    t.equal(choose('harbor.corp/app', { listener: 'plain', fallback: 'docker.io' }), 'harbor.corp app');
    t.equal(choose('docker.io/app'), 'docker.io library/app');
    t.equal(choose('localhost:5000/app'), 'localhost:5000 app');
    t.equal(choose('app', { listener: 'plain', fallback: 'docker.io' }), 'plain app');
    t.equal(choose('my.project/app', { listener: 'plain' }), 'plain my.project/app');
    t.equal(choose('app', { fallback: 'docker.io' }), 'docker.io library/app');
    t.equal(choose('team/app', { fallback: 'docker.io' }), 'docker.io team/app');
    t.equal(
      choose('quay.io/org/app', { fallback: 'docker.io' }),
      'unknown',
      'never shown to another registry',
    );
    t.equal(choose('app', { ns: 'quay.io', fallback: 'docker.io' }), 'unknown');
    t.equal(choose('app'), 'unknown');
    t.equal(choose(undefined, { fallback: 'docker.io' }), 'docker.io ');
    t.equal(choose('App', { fallback: 'docker.io' }), 'invalid');
    t.equal(choose('harbor.corp/A'), 'invalid');
    t.equal(choose('a'.repeat(256), { listener: 'plain' }), 'invalid');
    const alone = {
      upstreams: ['harbor.corp'],
      ns: undefined,
      listenerUpstream: undefined,
      defaultUpstream: undefined,
    };
    t.match(
      chooseUpstream({ ...alone, name: undefined }),
      { upstream: 'harbor.corp' },
      'the only registry there is',
    );
    t.match(
      chooseUpstream({ ...alone, name: 'app' }),
      { kind: 'unknown' },
      'but no name is shown to it by guess',
    );
    const told = chooseUpstream({
      upstreams: UPSTREAMS,
      ns: '169.254.169.254\r\nx',
      name: 'a',
      listenerUpstream: undefined,
      defaultUpstream: undefined,
    });
    t.match(told, { kind: 'unknown', message: /--upstream NAME=URL/ });
    t.notMatch(told, { message: /[\r\n]/ });
  },
);
