import { buildkitSetup } from '../../../dfget/setup/buildkit.ts';
import { planHosts } from '../../../dfget/setup/hosts-toml.ts';
import { podmanSetup } from '../../../dfget/setup/registries-conf.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import { type FuzzTarget, promise } from '../target.ts';

const registry = { name: 'harbor.corp', mirror: '127.0.0.1:65001', ownListener: true };

export const target: FuzzTarget = {
  about: 'hosts.toml, buildkitd.toml and registries.conf, to be edited in place',
  parsers: {
    'dfget/setup/toml-outline.ts': ['*'],
    'dfget/setup/toml-edit.ts': ['*'],
    'dfget/setup/hosts-toml.ts': ['planHosts', 'aboveComments'],
    'dfget/setup/registries-conf.ts': ['entriesOf', 'mirrorsOf', 'endOfOwn', 'requireNoWildcard'],
    'dfget/setup/buildkit.ts': ['withMirror', 'withPlainHttp'],
  },
  form: 'text',
  corpus: [
    'server = "https://harbor.corp"\n\n# first\n[host."https://a"]\n  capabilities = ["pull", "resolve"]\n',
    '[host."http://127.0.0.1:65001"]\n',
    'host = { a = 1 }\n',
    'a.b = """\nx\n"""\nb = [1, # c\n "x", { y = \'z\' }]\nd = 1979-05-27 07:32:00Z\n',
    '[registry."harbor.corp"]\n  mirrors = ["x"]\n  http = false\n',
    '[registry."harbor.corp"]\n\n[registry."127.0.0.1:65001"]\n  http = true\n',
    '[registry]\n  [registry."harbor.corp"]\n  mirrors = ["127.0.0.1:65001"]\n[registry."127.0.0.1:65001"]\n',
    'registry."harbor.corp".http = true\n',
    '[registry."harbor.corp"]\n mirrors = 7\n',
    '[registry."harbor.corp"]\n mirrors = [ # none\n]\n',
    '[registry."\\U0001F600\\u0041"]\nmirrors=[]\n',
    '[[registry]]\nprefix = "harbor.corp"\nlocation = \'harbor.corp\'\n\n[[registry.mirror]]\nlocation = "x"\n',
    '[[registry]]\nlocation = "harbor.corp"\nmirror = []\n',
    '[[registry]]\nprefix = "*.corp"\n',
    'registry = []\n',
    '[[registry]]\nlocation = "harbor.corp"\n[[registry.mirror]]\nlocation = "127.0.0.1:65001"\n',
    '= 1\n',
    'a = [1}\n',
  ],
  words: [
    '[',
    ']',
    '[[',
    ']]',
    '=',
    '"',
    "'",
    '"""',
    "'''",
    '{',
    '}',
    ',',
    '#',
    '\n',
    '\r\n',
    '.',
    '\\',
    'registry',
    'harbor.corp',
    '\ufeff',
  ],
  maxBytes: 16 * 1024,
  refuses: ['SETUP_REFUSED'],
  parse: (input) => {
    const text = input.toString();
    const view = { read: (path: string) => (/_default/.test(path) ? undefined : text), list: () => [] };
    const plans = [
      () => [planHosts(view, '/etc/containerd/certs.d', registry)],
      () => buildkitSetup.plan(view, [registry]).files,
      () => podmanSetup.plan(view, [registry]).files,
    ];
    let refusal: DamselflyError | undefined;
    for (const plan of plans) {
      try {
        for (const file of plan()) {
          const again = { read: () => file.text, list: () => [] };
          const once = file.path.endsWith('hosts.toml')
            ? planHosts(again, '/etc/containerd/certs.d', registry)
            : undefined;
          promise(once === undefined || once.text === file.text, 'doing it twice changes nothing');
        }
      } catch (error) {
        if (!(error instanceof DamselflyError)) throw error;
        refusal = error;
      }
    }
    if (refusal !== undefined) throw refusal;
  },
};
