import t from 'tap';
import { buildkitSetup } from '../../dfget/setup/buildkit.ts';
import type { SetupClient, WantedRegistry } from '../../dfget/setup/client.ts';
import { containerdSetup } from '../../dfget/setup/containerd.ts';
import { dockerSetup } from '../../dfget/setup/docker.ts';
import { k3sSetup } from '../../dfget/setup/k3s.ts';
import { podmanSetup } from '../../dfget/setup/registries-conf.ts';
import { memoryView, plannedFiles, registry } from './memory-view.ts';

const HEAD = '# Written by "dfget setup"; "dfget setup CLIENT --undo" takes it away.\n';
const CONFIG = '/etc/containerd/config.toml';
const HOSTS = '/etc/containerd/certs.d/harbor.corp/hosts.toml';
const OWN_HOSTS = `${HEAD}server = "https://harbor.corp"\n\n[host."http://127.0.0.1:65001"]\n  capabilities = ["pull", "resolve"]\n`;
const DOCKER = '/etc/docker/daemon.json';
const REGISTRIES = '/etc/containers/registries.conf';
const DAMSELFLY = '/etc/containers/registries.conf.d/damselfly.conf';
const K3S = '/etc/rancher/k3s/registries.yaml';
const BUILDKIT = '/etc/buildkit/buildkitd.toml';

interface Case {
  readonly client: SetupClient;
  readonly what: string;
  readonly before: Readonly<Record<string, string>>;
  readonly registries?: readonly WantedRegistry[];
  /** Files afterwards; those not named stay as they are. */
  readonly after: Readonly<Record<string, string>>;
}

const harbor = [registry('harbor.corp')];
const hub = [registry('docker.io')];
const withTable = (text: string): string =>
  `${text}\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n`;

const cases: readonly Case[] = [
  {
    client: containerdSetup,
    what: 'no configuration yet',
    before: {},
    after: { [CONFIG]: withTable(`${HEAD}version = 2\n`), [HOSTS]: OWN_HOSTS },
  },
  {
    client: containerdSetup,
    what: 'a configuration without registries, comments and order kept',
    before: { [CONFIG]: 'version = 2 # two\n[plugins]\n  # mine\n  [plugins.x]\n    y = 1\n' },
    after: {
      [CONFIG]: withTable('version = 2 # two\n[plugins]\n  # mine\n  [plugins.x]\n    y = 1\n'),
      [HOSTS]: OWN_HOSTS,
    },
  },
  {
    client: containerdSetup,
    what: 'an empty config_path, as "containerd config default" writes it',
    before: {
      [CONFIG]: "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '' # none\n",
    },
    after: {
      [CONFIG]:
        'version = 3\n[plugins.\'io.containerd.cri.v1.images\'.registry]\n  config_path = "/etc/containerd/certs.d" # none\n',
      [HOSTS]: OWN_HOSTS,
    },
  },
  {
    client: containerdSetup,
    what: 'a table of registries without config_path, in the old version 1, lines ending as in Windows',
    before: { [CONFIG]: '  [plugins.cri.registry]\r\n    x = 1' },
    after: {
      [CONFIG]: '  [plugins.cri.registry]\r\n    config_path = "/etc/containerd/certs.d"\r\n    x = 1',
      [HOSTS]: OWN_HOSTS,
    },
  },
  {
    client: containerdSetup,
    what: 'a config_path of its own',
    before: {
      [CONFIG]:
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/a:/srv/b"\n',
    },
    after: { '/srv/a/harbor.corp/hosts.toml': OWN_HOSTS },
  },
  {
    client: containerdSetup,
    what: 'a hosts.toml with another mirror, which comes second then',
    before: {
      [CONFIG]: 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/c"\n',
      '/c/harbor.corp_5000_/hosts.toml':
        'server = "http://harbor.corp:5000"\n\n# the old one\n[host."https://old"]\n  ca = "x.crt"\n',
    },
    registries: [registry('harbor.corp:5000')],
    after: {
      '/c/harbor.corp_5000_/hosts.toml':
        'server = "http://harbor.corp:5000"\n\n[host."http://127.0.0.1:65001"]\n  capabilities = ["pull", "resolve"]\n\n# the old one\n[host."https://old"]\n  ca = "x.crt"\n',
    },
  },
  {
    client: containerdSetup,
    what: 'a hosts.toml with nothing but a server, which old versions ignore',
    before: {
      [CONFIG]: 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/c"\n',
      '/c/harbor.corp/hosts.toml': 'server = "http://10.0.0.1:5000"',
    },
    after: {
      '/c/harbor.corp/hosts.toml':
        'server = "http://10.0.0.1:5000"\n\n[host."http://127.0.0.1:65001"]\n  capabilities = ["pull", "resolve"]\n',
    },
  },
  {
    client: dockerSetup,
    what: 'no configuration yet',
    before: {},
    registries: hub,
    after: { [DOCKER]: '{\n  "registry-mirrors": ["http://127.0.0.1:65001"]\n}\n' },
  },
  {
    client: dockerSetup,
    what: 'other settings, in the way they are written',
    before: { [DOCKER]: '{\n\t"log-driver" : "json-file",\n\t"x": {"registry-mirrors": ["[}"]}\n}' },
    registries: [...hub, ...harbor],
    after: {
      [DOCKER]:
        '{\n\t"registry-mirrors": ["http://127.0.0.1:65001"],\n\t"log-driver" : "json-file",\n\t"x": {"registry-mirrors": ["[}"]}\n}',
    },
  },
  {
    client: dockerSetup,
    what: 'another mirror, which comes second then',
    before: { [DOCKER]: '{"a":"]","registry-mirrors":[\n "https://other"\n]}\n' },
    registries: hub,
    after: { [DOCKER]: '{"a":"]","registry-mirrors":["http://127.0.0.1:65001", \n "https://other"\n]}\n' },
  },
  {
    client: podmanSetup,
    what: 'files that say nothing of the registry',
    before: { [REGISTRIES]: '# unqualified-search-registries = ["example.com"]\n' },
    registries: [
      ...harbor,
      registry('own.corp:5000', { ownListener: true, mirror: '[::1]:65011', url: 'http://10.0.0.1:5000' }),
    ],
    after: {
      [DAMSELFLY]: `${HEAD}
[[registry]]
prefix = "harbor.corp"
location = "harbor.corp"
[[registry.mirror]]
location = "127.0.0.1:65001/harbor.corp"
insecure = true

[[registry]]
prefix = "own.corp:5000"
location = "10.0.0.1:5000"
insecure = true
[[registry.mirror]]
location = "[::1]:65011"
insecure = true
`,
    },
  },
  {
    client: podmanSetup,
    what: 'an entry with another mirror, which comes second then',
    before: {
      [REGISTRIES]:
        '[[registry]]\nlocation = "harbor.corp"\n# mine\nblocked = false\n\n[[registry.mirror]]\nlocation = "old"\n\n[[registry]]\nlocation = "quay.io"\n',
    },
    after: {
      [REGISTRIES]:
        '[[registry]]\nlocation = "harbor.corp"\n# mine\nblocked = false\n\n[[registry.mirror]]\nlocation = "127.0.0.1:65001/harbor.corp"\ninsecure = true\n\n[[registry.mirror]]\nlocation = "old"\n\n[[registry]]\nlocation = "quay.io"\n',
    },
  },
  {
    client: k3sSetup,
    what: 'no configuration yet',
    before: {},
    after: { [K3S]: `${HEAD}\nmirrors:\n  "harbor.corp":\n    endpoint: ["http://127.0.0.1:65001"]\n` },
  },
  {
    client: k3sSetup,
    what: 'other registries and their settings',
    before: {
      [K3S]:
        'mirrors:\n    # the hub\n    docker.io:\n        endpoint:\n        - "https://old" # slow\nconfigs:\n    harbor.corp: {auth: {username: x}}\n',
    },
    registries: [...hub, ...harbor],
    after: {
      [K3S]:
        'mirrors:\n    # the hub\n    "harbor.corp":\n      endpoint: ["http://127.0.0.1:65001"]\n    docker.io:\n        endpoint:\n        - "http://127.0.0.1:65001"\n        - "https://old" # slow\nconfigs:\n    harbor.corp: {auth: {username: x}}\n',
    },
  },
  {
    client: k3sSetup,
    what: 'everything in braces',
    before: { [K3S]: '{"mirrors": {"harbor.corp": {"endpoint": ["https://old"], "rewrite": {"a": "b"}}}}\n' },
    after: {
      [K3S]:
        '{"mirrors": {"harbor.corp": {"endpoint": ["http://127.0.0.1:65001", "https://old"], "rewrite": {"a": "b"}}}}\n',
    },
  },
  {
    client: buildkitSetup,
    what: 'no configuration yet',
    before: {},
    after: {
      [BUILDKIT]: `${HEAD}\n[registry."harbor.corp"]\n  mirrors = ["127.0.0.1:65001"]\n\n[registry."127.0.0.1:65001"]\n  http = true\n`,
    },
  },
  {
    client: buildkitSetup,
    what: 'mirrors of other registries, and one of this',
    before: {
      [BUILDKIT]:
        'debug = true\n[registry."harbor.corp"]\n  mirrors = [ # mine\n    "old",\n  ]\n[registry."127.0.0.1:65001"]\n',
    },
    after: {
      [BUILDKIT]:
        'debug = true\n[registry."harbor.corp"]\n  mirrors = ["127.0.0.1:65001",  # mine\n    "old",\n  ]\n[registry."127.0.0.1:65001"]\n  http = true\n',
    },
  },
];

for (const { client, what, before, registries = harbor, after } of cases) {
  t.test(`${client.name}: ${what}`, async (t) => {
    const files = plannedFiles(client, before, registries);
    t.same(files, { ...before, ...after });
    t.same(plannedFiles(client, files, registries), files, 'twice is once');
  });
}

const CRI = 'plugins."io.containerd.grpc.v1.cri".registry';
const refusals: readonly (readonly [
  SetupClient,
  string,
  Record<string, string>,
  RegExp,
  WantedRegistry[]?,
])[] = [
  [
    containerdSetup,
    'mirrors in the older way',
    { [CONFIG]: `version = 2\n[${CRI}.mirrors."a"]\n` },
    /move that into/,
  ],
  [
    containerdSetup,
    'TLS in the older way',
    { [CONFIG]: `version = 2\n[${CRI}.configs."a".tls]\n` },
    /move that into/,
  ],
  [
    containerdSetup,
    'registry settings in one line',
    { [CONFIG]: 'version = 2\nplugins = {}\n' },
    /header of their own/,
  ],
  [
    containerdSetup,
    'a config_path that is no string',
    { [CONFIG]: `version = 2\n[${CRI}]\nconfig_path = 1\n` },
    /not a string/,
  ],
  [containerdSetup, 'what is no TOML', { [CONFIG]: 'version 2\n' }, /line 1 /],
  [
    containerdSetup,
    'certificates without hosts.toml',
    { '/etc/containerd/certs.d/harbor.corp/ca.crt': '' },
    /ca = "ca.crt"/,
  ],
  [
    containerdSetup,
    'a default for all registries',
    { '/etc/containerd/certs.d/_default/hosts.toml': '' },
    /copy it/,
  ],
  [containerdSetup, 'hosts in one line', { [HOSTS]: 'host = {}\n' }, /tables/],
  [dockerSetup, 'no docker.io', {}, /docker\.io only/],
  [dockerSetup, 'what is no JSON', { [DOCKER]: '{,}' }, /not JSON/, hub],
  [dockerSetup, 'a list', { [DOCKER]: '[]' }, /not a JSON object/, hub],
  [dockerSetup, 'mirrors that are no list', { [DOCKER]: '{"registry-mirrors": "x"}' }, /not an array/, hub],
  [
    dockerSetup,
    'mirrors twice',
    { [DOCKER]: '{"registry-mirrors": [], "registry-mirrors": []}' },
    /twice/,
    hub,
  ],
  [
    dockerSetup,
    'mirrors by flag',
    {
      '/etc/systemd/system/docker.service.d/x.conf':
        '[Service]\nExecStart=/usr/bin/dockerd --registry-mirror=x\n',
    },
    /remove the flag/,
    hub,
  ],
  [
    podmanSetup,
    'a wildcard',
    { [REGISTRIES]: '[[registry]]\nprefix = "*.corp"\nlocation = "x"\n' },
    /of its own/,
  ],
  [podmanSetup, 'registries in one line', { [REGISTRIES]: 'registry = []\n' }, /tables/],
  [
    podmanSetup,
    'mirrors in one line',
    { [REGISTRIES]: '[[registry]]\nlocation = "harbor.corp"\nmirror = []\n' },
    /tables/,
  ],
  [
    podmanSetup,
    'a port in the path',
    {},
    /--proxy-listen harbor\.corp:5000=/,
    [registry('harbor.corp:5000')],
  ],
  [k3sSetup, 'what is no YAML', { [K3S]: 'a: [\n' }, /not YAML/],
  [k3sSetup, 'a list', { [K3S]: '- a\n' }, /not a YAML mapping/],
  [k3sSetup, 'a wildcard', { [K3S]: 'mirrors: {"*": {endpoint: [x]}}\n' }, /no longer apply/],
  [
    k3sSetup,
    'a registry that stands for another',
    { [K3S]: 'mirrors:\n  a: &a {endpoint: [x]}\n  harbor.corp: *a\n' },
    /edited safely/,
  ],
  [
    buildkitSetup,
    'a mirror that is said to be https',
    { [BUILDKIT]: '[registry."127.0.0.1:65001"]\nhttp = false\n' },
    /say true/,
  ],
  [
    buildkitSetup,
    'mirrors that are no list',
    { [BUILDKIT]: '[registry."harbor.corp"]\nmirrors = "x"\n' },
    /not an array/,
  ],
  [buildkitSetup, 'registries in one line', { [BUILDKIT]: 'registry = {}\n' }, /under \[registry/],
];

for (const [client, what, before, said, registries = harbor] of refusals) {
  t.test(`${client.name} refuses ${what}`, async (t) => {
    t.throws(() => client.plan(memoryView(before), registries), { code: 'SETUP_REFUSED', message: said });
  });
}
