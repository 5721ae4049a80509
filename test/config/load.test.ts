import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { loadUpstreams } from '../../lib/config/load-upstreams.ts';
import { formatBytes, formatDuration, parseBytes, parseDuration, parseRate } from '../../lib/config/units.ts';
import type { UpstreamConfig } from '../../lib/config/upstream.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { trackerConfig } from '../../tracker/config.ts';

const none = { flags: {}, env: {}, defaultFile: '/nonexistent/daemon.yaml' };
const folder = mkdtempSync(join(tmpdir(), 'damselfly-config-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(folder, `${Math.round(performance.now() * 1000)}.yaml`);
  writeFileSync(path, text);
  return path;
}

function refusal(sources: Partial<typeof none>): string {
  try {
    loadConfig(daemonConfig, { ...none, ...sources });
  } catch (error) {
    return error instanceof DamselflyError && error.code === 'CONFIG_INVALID'
      ? error.message
      : `not ours: ${String(error)}`;
  }
  return 'accepted';
}

t.test('without anything the defaults hold', async (t) => {
  const config = loadConfig(daemonConfig, none);
  t.same(config.proxyListen, [{ host: '127.0.0.1', port: 65001 }]);
  t.same(config.peerListen, { host: '0.0.0.0', port: 65002 });
  t.same(config.tracker, []);
});

t.test('a flag wins over the environment, the environment over the file', async (t) => {
  const config = file('zone: from-file\nlog-level: warn\ndata-dir: /from/file\n');
  const env = { DAMSELFLY_ZONE: 'from-env', DAMSELFLY_LOG_LEVEL: 'error' };
  const loaded = loadConfig(daemonConfig, { ...none, flags: { config, zone: 'from-flag' }, env });
  t.match(loaded, { zone: 'from-flag', logLevel: 'error', dataDir: [{ folder: '/from/file', weight: 1 }] });
});

t.test('limits: a rate with its unit, none, or nothing said', async (t) => {
  const flags = { uploadRate: '100MB/s', downloadRate: 'none', maxConnections: '200', background: true };
  const config = loadConfig(daemonConfig, { ...none, flags });
  t.match(config, {
    ...{ uploadRate: 1e8, downloadRate: Number.POSITIVE_INFINITY, registryRate: undefined },
    ...{ maxConnections: 200, background: true },
  });
  t.equal(loadConfig(supernodeConfig, { ...none, flags: { uploadRate: '8Mbit/s' } }).uploadRate, 1e6);
});

t.test(
  'repeatable settings: flags as given, environment by comma, file as a list or one value',
  async (t) => {
    const urls = ['ws://a:8400', 'ws://b:8400'];
    t.same(
      loadConfig(daemonConfig, { ...none, flags: { tracker: ['http://a:8400', 'ws://b:8400/'] } }).tracker,
      urls,
    );
    t.same(
      loadConfig(daemonConfig, { ...none, env: { DAMSELFLY_TRACKER: 'ws://a:8400, ws://b:8400' } }).tracker,
      urls,
    );
    t.same(loadConfig(daemonConfig, { ...none, flags: { config: file('tracker: ws://a:8400\n') } }).tracker, [
      'ws://a:8400',
    ]);
  },
);

t.test('an upstream is NAME=URL or an object, and a password in the URL does not stay there', async (t) => {
  const config = file(
    'upstream:\n  - A.corp=https://user:p%40ss@a.corp/\n  - { name: b, url: "http://b:5000", username: u, password: p }\n',
  );
  t.same(loadConfig(daemonConfig, { ...none, flags: { config } }).upstream, [
    { name: 'a.corp', url: 'https://a.corp', username: 'user', password: 'p@ss' },
    { name: 'b', url: 'http://b:5000', username: 'u', password: 'p' },
  ]);
});

t.test('an upstream in a file has everything that can be said of a registry', async (t) => {
  const config = file(`upstream:
  - name: harbor.corp
    url: [https://a.harbor.corp, https://b.harbor.corp/]
    username: robot$p+x
    password: pw
    auth-file: /etc/auth.json
    credential-helper: ecr-login
    token-hosts: [Auth.corp]
    ca: /etc/ca.pem
    client-cert: /etc/c.pem
    client-key: /etc/k.pem
    insecure-skip-verify: true
    trust: node
    verify: jwt
    verify-keys: /etc/token.pem
    verify-issuer: issuer
    verify-service: harbor-registry
  - "*.gcr.io=https://*"
`);
  t.same(loadConfig(daemonConfig, { ...none, flags: { config } }).upstream, [
    {
      name: 'harbor.corp',
      url: 'https://a.harbor.corp',
      replicas: ['https://b.harbor.corp'],
      username: 'robot$p+x',
      password: 'pw',
      authFiles: ['/etc/auth.json'],
      credentialHelper: 'ecr-login',
      tokenHosts: ['auth.corp'],
      caFile: '/etc/ca.pem',
      clientCertFile: '/etc/c.pem',
      clientKeyFile: '/etc/k.pem',
      insecureSkipVerify: true,
      trust: 'node',
      verify: { keysFile: '/etc/token.pem', issuer: 'issuer', service: 'harbor-registry' },
    },
    { name: '*.gcr.io', url: 'https://*' },
  ]);
});

t.test('an upstream that cannot be meant is refused, with what it may be and no secret', async (t) => {
  const refused = (text: string): string => refusal({ flags: { config: file(`upstream:\n  - ${text}\n`) } });
  const base = 'name: a.corp, url: "https://a.corp", username: u, password: hunter2';
  t.match(refused(`{ ${base}, trust: everyone }`), /trust: .*caller.*node/);
  t.match(refused(`{ ${base}, passwort: x }`), /Unrecognized key: "passwort"/);
  t.match(
    refused(`{ ${base}, credential-helper: "a/b" }`),
    /credential-helper: expected the end of a program name/,
  );
  t.match(refused(`{ ${base}, client-cert: /x }`), /client-cert and client-key together/);
  t.match(refused(`{ ${base}, verify: jwt }`), /verify: jwt together with verify-keys/);
  t.match(refused('"*.gcr.io=https://gcr.io"'), /a url with the host \* for a name with a \*/);
  t.match(refused('"gcr.io=https://*"'), /a url with the host \*/);
  t.match(refused('7'), /expected NAME=URL/);
  for (const text of [`{ ${base}, trust: everyone }`, `{ ${base}, x: y }`]) {
    t.notMatch(refused(text), /hunter2/);
  }
});

t.test('an upstream may be a place of images without a registry', async (t) => {
  const upstreams = (text: string): unknown =>
    loadConfig(daemonConfig, { ...none, flags: { config: file(`upstream:\n  - ${text}\n`) } }).upstream;
  const bucket = 's3://images/prod?endpoint=https://rgw.corp';
  t.same(upstreams('Models=oci:/srv/images'), [{ name: 'models', url: 'oci:/srv/images', trust: 'node' }]);
  t.same(upstreams(`models=${bucket}`), [{ name: 'models', url: bucket, trust: 'node' }]);
  t.same(upstreams(`{ name: models, url: [{ url: "${bucket}", zone: eu }, "oci:/srv"], trust: node }`), [
    { name: 'models', url: bucket, replicas: ['oci:/srv'], trust: 'node', zones: ['eu', ''] },
  ]);
  const refused = (text: string): string => refusal({ flags: { config: file(`upstream:\n  - ${text}\n`) } });
  for (const url of ['oci:images', 'oci:/srv/images:v1', 's3://U', 's3://key:hunter2@images']) {
    t.match(refused(`"models=${url}"`), /NAME=oci:\/FOLDER/, url);
    t.notMatch(refused(`"models=${url}"`), /hunter2/);
  }
  t.match(refused('"*.corp=oci:/srv"'), /NAME=oci:\/FOLDER/);
  t.match(refused('{ name: models, url: ["oci:/srv", "https://models"] }'), /NAME=oci:\/FOLDER/);
  t.match(refused('{ name: models, url: "oci:/srv", username: u, password: p }'), /no username/);
  t.match(refused('{ name: models, url: "oci:/srv", trust: caller }'), /no trust: caller/);
});

t.test('files of an upstream are read at the start, those with credentials only tried', async (t) => {
  const name = 'a.corp';
  const upstream = { name, url: 'https://a.corp' };
  const pem = file('PEM TEXT');
  const auth = file('{"auths":{}}');
  const broken = file('{"auths":{"a":{"auth":"c2VjcmV0"}');
  t.same(
    loadUpstreams(
      [{ ...upstream, caFile: pem, clientCertFile: pem, clientKeyFile: pem, authFiles: [auth] }],
      [auth],
    ),
    [
      {
        ...upstream,
        ca: 'PEM TEXT',
        clientCert: 'PEM TEXT',
        clientKey: 'PEM TEXT',
        authFiles: [auth, auth],
      },
    ],
  );
  const fails = (configs: UpstreamConfig[], files: string[], message: RegExp): void => {
    t.throws(() => loadUpstreams(configs, files), { code: 'CONFIG_INVALID', message });
  };
  fails([{ ...upstream, caFile: '/nonexistent' }], [], /^upstream a.corp: cannot read the ca file: /);
  const verify = { keysFile: '/nonexistent', issuer: 'i', service: 's' };
  fails([{ ...upstream, verify }], [], /^upstream a.corp: cannot read the verify-keys file: /);
  fails([upstream], ['/nonexistent'], /^--auth-file: cannot read it: /);
  fails(
    [{ ...upstream, authFiles: [broken] }],
    [],
    /^upstream a.corp: auth-file .* not JSON; expected docker's/,
  );
  fails([upstream, upstream], [], /a.corp is given twice/);
});

t.test('a wrong value names the setting, where it came from, what it got and what it may be', async (t) => {
  t.match(refusal({ flags: { peerListen: 'foo' } }), /^--peer-listen: got "foo"; expected host:port/);
  t.match(
    refusal({ flags: { peerListen: '1.2.3.4:99999' } }),
    /^--peer-listen: got "1.2.3.4:99999"; expected host:port/,
  );
  t.match(
    refusal({ env: { DAMSELFLY_LOG_LEVEL: 'loud' } }),
    /^DAMSELFLY_LOG_LEVEL: got "loud"; expected one of debug, info/,
  );
  t.match(
    refusal({ flags: { config: file('store-max: much\n') } }),
    /\.yaml: store-max: got "much"; expected a size such as/,
  );
  t.match(refusal({ flags: { upstream: ['harbor'] } }), /^--upstream: got "harbor"; expected NAME=URL/);
  const ratePattern = /expected none, or a rate of at least 64KiB\/s, such as/;
  t.match(refusal({ flags: { uploadRate: '1KB/s' } }), /^--upload-rate: got "1KB\/s"; /);
  t.match(refusal({ flags: { uploadRate: '1KB/s' } }), ratePattern);
  t.match(refusal({ env: { DAMSELFLY_DOWNLOAD_RATE: '0' } }), ratePattern);
  t.match(
    refusal({ flags: { registryRate: 'fast' } }),
    /^--registry-rate: got "fast"; expected a rate such as/,
  );
  t.match(
    refusal({ flags: { maxConnections: '3' } }),
    /^--max-connections: got "3"; expected a whole number from 16 to 65535/,
  );
  t.match(refusal({ flags: { background: 'a bit' } }), /^--background: got "a bit"; expected true or false/);
  t.match(refusal({ flags: { tracker: ['ftp://x'] } }), /^--tracker: got "ftp:\/\/x"; expected a URL/);
  t.match(refusal({ flags: { config: file('zones: x\n') } }), /unknown setting "zones"; it may be .*zone/);
  t.match(refusal({ flags: { config: file('just text') } }), /expected settings as "name: value" lines/);
  t.match(refusal({ flags: { config: file('a: [') } }), /is not YAML/);
  t.match(
    refusal({ flags: { config: '/nonexistent/x.yaml' } }),
    /cannot read the config file \/nonexistent\/x.yaml/,
  );
});

t.test('a refused upstream does not show the password in its URL', async (t) => {
  const message = refusal({ flags: { upstream: ['bad name=https://user:hunter2@harbor.corp'] } });
  t.match(message, /^--upstream: got/);
  t.notMatch(message, /hunter2/);
});

t.test('no fault of a file or a URL is told with the secret in it', async (t) => {
  const urls = ['a=https://user:geheim/x@a.corp', 'a=https://user:geheim@x@a.corp:port', 'a=//u:geheim#x@a'];
  for (const upstream of urls) {
    const told = refusal({ flags: { upstream: [upstream] } });
    t.match(told, /^--upstream: got /);
    t.notMatch(told, /geheim/);
  }
  const files = ['upstream:\n  - password: geheim: x\n', 'a: b\npassword: *geheim\n', 'password: "geheim'];
  for (const text of files) {
    const told = refusal({ flags: { config: file(text) } });
    t.match(told, /is not YAML: /);
    t.notMatch(told, /geheim/);
  }
  const [first = ''] = files;
  t.match(refusal({ flags: { config: file(first) } }), / at line 2, column \d+$/, 'but where it is');
});

t.test('a user without a password is refused, and the other way round', async (t) => {
  for (const part of ['username: u', 'password: p']) {
    const text = `upstream:\n  - { name: a, url: "http://a", ${part} }\n`;
    t.match(refusal({ flags: { config: file(text) } }), /expected username and password together/);
  }
});

t.test('data directories, shares, rates and times of the store', async (t) => {
  const flags = {
    dataDir: ['/a', '/b=2', '/c=d=0.5'],
    storeHigh: '95%',
    storeLow: '0.5',
    storeTtl: '30d',
    scrubRate: '0',
  };
  t.match(loadConfig(daemonConfig, { ...none, flags }), {
    dataDir: [
      { folder: '/a', weight: 1 },
      { folder: '/b', weight: 2 },
      { folder: '/c=d', weight: 0.5 },
    ],
    storeHigh: 0.95,
    storeLow: 0.5,
    storeTtl: 30 * 86_400_000,
    scrubRate: 0,
  });
  t.match(loadConfig(daemonConfig, none), { storeHigh: 0.9, storeLow: 0.8, scrubRate: 8 * 1024 ** 2 });
  t.match(
    refusal({ flags: { dataDir: ['/a=0'] } }),
    /^--data-dir: got "\/a=0"; expected PATH or PATH=WEIGHT/,
  );
  for (const wrong of ['0', '101%', '1.5', 'most']) {
    t.match(refusal({ flags: { storeHigh: wrong } }), /^--store-high: got .*; expected a share/);
  }
  t.match(refusal({ flags: { storeTtl: 'soon' } }), /^--store-ttl: got "soon"; expected a duration/);
  t.match(refusal({ flags: { scrubRate: 'slow' } }), /^--scrub-rate: got "slow"; expected a rate/);
});

t.test('the example files load', async (t) => {
  const examples = join(import.meta.dirname, '..', '..', 'examples');
  const from = (name: string) => ({ ...none, flags: { config: join(examples, name) } });
  t.equal(loadConfig(daemonConfig, from('daemon.yaml')).upstream.length, 2);
  t.equal(loadConfig(supernodeConfig, from('supernode.yaml')).storeMax, 2 * 1024 ** 4);
  t.equal(loadConfig(trackerConfig, from('tracker.yaml')).caDir, '/var/lib/damselfly/ca');
});

t.test('sizes, rates and durations', async (t) => {
  t.same(['512MiB', '100MB', '3g', '4096', '1.5 KiB'].map(parseBytes), [
    536870912,
    1e8,
    3 * 1024 ** 3,
    4096,
    1536,
  ]);
  t.same(['300MiB/s', '100MB/s', '800Mbit/s', '1000'].map(parseRate), [314572800, 1e8, 1e8, 1000]);
  t.same(['300ms', '10s', '2h', '0'].map(parseDuration), [300, 10_000, 7_200_000, 0]);
  for (const wrong of ['', 'x', '-1', '1 XB', '1e3']) {
    t.throws(() => parseBytes(wrong), { code: 'CONFIG_INVALID' }, `${JSON.stringify(wrong)} is no size`);
  }
  t.same([950, 1536, 536870912].map(formatBytes), ['950 B', '1.5 KiB', '512.0 MiB']);
  t.same([950, 1500, 61_000, 7_260_000].map(formatDuration), ['950 ms', '1.5 s', '1 m 1 s', '2 h 1 m']);
});
