import { parseTarget } from '../../../registry-proxy/route.ts';
import { chooseUpstream } from '../../../registry-proxy/upstream-name.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const upstreams = ['harbor.corp', 'docker.io', '*.gcr.io'];

export const target: FuzzTarget = {
  about:
    'the address of a request to the mirror, and the registry that it is for; a second line is X-Dragonfly-Registry',
  parsers: {
    'registry-proxy/route.ts': ['*'],
    'registry-proxy/upstream-name.ts': ['*'],
    'lib/origin/upstream-pattern.ts': ['findUpstreamName', 'isHostName', 'patternOf'],
    'lib/oci/names.ts': ['hasDigestForm'],
  },
  form: 'text',
  corpus: [
    ...[
      '/v2/',
      '/v2',
      '/v2/_catalog?n=5',
      '/v2/a/tags/list?ns=harbor.corp&last=x',
      '/v2/a/manifests/v1',
      'x',
      '/x',
    ],
    ...[`/v2/harbor.corp/team/app/blobs/${digest}`, `/v2/a/referrers/${digest}`, `/v2/a/blobs/blake3:00`],
    ...[`/v2/a/manifests/${digest}?ns=k8s.gcr.io`, '/v2/a/manifests/sha256:1', '/v2/%2e%2e/manifests/v1'],
    ...[
      '/v2/a%2fb/manifests/v1',
      '/v2/%zz/tags/list',
      '/v2/?ns=a&ns=b',
      '/v2/[::1]:5000/a/tags/list',
      '/v2/a/b',
    ],
    ...[
      '/v2/a/manifests/v1\nhttps://harbor.corp/',
      '/v2/A/manifests/v1?ns=harbor.corp',
      '/v2/unknown.corp/a/tags/list',
    ],
    `/v2/${'a'.repeat(9000)}`,
  ],
  words: [
    '/',
    '//',
    '?',
    '&',
    'ns=',
    '%2f',
    '%00',
    '%0d%0a',
    '..',
    '\\',
    ':',
    '@',
    'v2',
    'blobs',
    'manifests',
    '[',
    ']',
    '#',
  ],
  parse: (input) => {
    const [url = '', registryHeader] = input.toString('latin1').split('\n');
    const found = parseTarget(url);
    if (found.kind !== 'found') return;
    const name = 'name' in found.route ? found.route.name : undefined;
    for (const [listenerUpstream, defaultUpstream, all] of [
      [undefined, 'harbor.corp', upstreams],
      ['docker.io', undefined, upstreams],
      [undefined, undefined, ['harbor.corp']],
    ] as const) {
      const question = { upstreams: all, ns: found.ns, registryHeader, name };
      const choice = chooseUpstream({ ...question, listenerUpstream, defaultUpstream });
      if (choice.kind !== 'found') continue;
      promise(
        /^(?:harbor\.corp|docker\.io|[a-z0-9.-]+\.gcr\.io(?::\d+)?)$/.test(choice.upstream),
        'only registries on the list',
      );
      promise(
        !/[^a-z0-9._/-]|\.\.|\/\//.test(choice.repository),
        'nothing in a repository means something in a path',
      );
    }
  },
};
