import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { askRegistries } from '../../dfget/daemon/registry-check.ts';
import type { Finding, Patient } from '../../dfget/doctor/check.ts';
import { examine } from '../../dfget/doctor/doctor.ts';
import type { DaemonStatus } from '../../dfget/local-protocol.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { isInstalled } from '../helpers/docker-registry.ts';
import { memoryView } from '../setup/memory-view.ts';

const GIB = 1024 ** 3;
const NOW_MS = Date.UTC(2026, 0, 1);
const DATE = new Date(NOW_MS).toUTCString();

const STATUS: DaemonStatus = {
  id: 'a'.repeat(40),
  zone: '',
  upstreams: ['harbor.corp'],
  proxy: [{ host: '0.0.0.0', port: 65001 }],
  peer: '0.0.0.0:65002',
  admin: '127.0.0.1:65003',
  cluster: null,
  tracker: { reachable: true, urls: ['ws://tracker.corp:8400'] },
  discovery: { mode: 'auto', by: 'tracker' },
  paused: [],
  pausedHere: [],
  dataDir: '/data',
  store: { blobs: 1, complete: 1, bytes: 40 * GIB },
  neighbours: [],
  blobs: [],
};
const CONFIG =
  'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n';
const HOSTS = 'server = "https://harbor.corp"\n[host."http://127.0.0.1:65001"]\n';
const FILES = {
  '/etc/containerd/config.toml': CONFIG,
  '/etc/containerd/certs.d/harbor.corp/hosts.toml': HOSTS,
};

interface Illness extends Partial<Patient> {
  readonly files?: Readonly<Record<string, string>>;
  readonly said?: Partial<DaemonStatus>;
}

/** A machine on which all is well, but for the illness. */
function patient({ files = FILES, said = {}, ...illness }: Illness): Patient {
  const view = memoryView(files);
  return {
    status: { ...STATUS, ...said },
    registries: async () => [{ name: 'harbor.corp', status: 401, date: DATE }],
    get: async () => ({ status: 200, date: DATE, text: 'damselfly_tracker_supernodes 2\n' }),
    readText: view.read,
    list: view.list,
    sizeOf: () => 2 * GIB,
    space: () => ({ freeBytes: 50 * GIB, totalBytes: 100 * GIB }),
    version: (program) => (program === 'containerd' ? 'containerd containerd.io 1.6.20 abc' : undefined),
    now: () => NOW_MS + 400,
    ...illness,
  };
}

const sick = (findings: readonly Finding[]): Finding[] => findings.filter(({ state }) => state !== 'ok');

t.test('a healthy machine has no findings but good ones', async (t) => {
  const findings = await examine(patient({}));
  t.same(sick(findings), []);
  t.same(
    findings.map(({ check }) => check),
    [
      'daemon',
      'mirror',
      'registry harbor.corp',
      'tracker ws://tracker.corp:8400',
      'supernodes',
      'client containerd',
      'disk',
    ],
  );
});

const down = async (): Promise<never> => {
  throw new Error('connect ECONNREFUSED');
};
const traps: readonly (readonly [string, Illness, Partial<Record<keyof Finding, string | RegExp>>])[] = [
  ['no daemon', { status: undefined }, { check: 'daemon', state: 'problem', cure: 'dfget daemon' }],
  [
    'no upstream',
    { said: { upstreams: [] }, registries: async () => [] },
    { check: 'upstreams', state: 'problem', cure: /--upstream/ },
  ],
  [
    'paused',
    { said: { paused: ['harbor.corp'] } },
    { check: 'pause', state: 'warning', cure: 'dfget resume harbor.corp' },
  ],
  [
    'paused on this node alone',
    { said: { paused: ['harbor.corp'], pausedHere: ['harbor.corp'] } },
    { check: 'pause', state: 'warning', cure: 'dfget resume --this-node harbor.corp' },
  ],
  [
    'a peer port behind a wall',
    {
      said: {
        neighbours: [
          { id: 'b'.repeat(40), role: 'node', host: '10.0.0.2', port: 65002, zone: '', cannotDialUs: true },
          { id: 'c'.repeat(40), role: 'node', host: '10.0.0.3', port: 65002, zone: '' },
          { id: 'd'.repeat(40), role: 'supernode', host: '10.0.0.4', port: 65004, zone: '' },
        ],
      },
    },
    { check: 'peer port', state: 'warning', says: /cannot be dialled: 1 of 2 /, cure: /--advertise/ },
  ],
  [
    'a mirror that nobody reaches',
    { get: async (url) => (url.includes('65001') ? down() : { status: 200, date: DATE, text: '' }) },
    {
      check: 'mirror',
      state: 'problem',
      says: /127\.0\.0\.1:65001.*ECONNREFUSED/,
      cure: 'curl -v http://127.0.0.1:65001/v2/',
    },
  ],
  [
    'a registry that does not answer',
    {
      registries: async () => [
        {
          name: 'harbor.corp',
          url: 'http://10.0.0.7:5000/harbor/v2/',
          ...{ failed: 'harbor.corp did not answer: timeout', certificate: false },
        },
      ],
    },
    { check: 'registry harbor.corp', state: 'problem', cure: 'curl -v http://10.0.0.7:5000/harbor/v2/' },
  ],
  [
    'a CA that is not trusted',
    { registries: async () => [{ name: 'harbor.corp', failed: 'self-signed', certificate: true }] },
    {
      check: 'registry harbor.corp',
      state: 'problem',
      says: /certificate/,
      cure: /^NODE_EXTRA_CA_CERTS=.* dfget daemon$/,
    },
  ],
  [
    'what is no registry',
    { registries: async () => [{ name: 'harbor.corp', status: 500, date: null }] },
    { check: 'registry harbor.corp', state: 'problem', says: /500/, cure: 'curl -v https://harbor.corp/v2/' },
  ],
  [
    'what may be a server of files alone',
    { registries: async () => [{ name: 'harbor.corp', status: 404, date: null }] },
    { check: 'registry harbor.corp', state: 'warning', says: /404.*files/ },
  ],
  [
    'a clock two minutes ahead',
    { now: () => NOW_MS + 120_000 },
    { check: 'clock', state: 'problem', says: /2 m 0 s ahead of harbor\.corp/, cure: /timedatectl/ },
  ],
  [
    'a clock half a minute behind',
    { now: () => NOW_MS - 30_000 },
    { check: 'clock', state: 'warning', says: /behind/ },
  ],
  [
    'no tracker',
    { said: { tracker: { reachable: false, urls: [] } } },
    { check: 'tracker', state: 'warning', cure: /--tracker/ },
  ],
  [
    'a DHT that nobody else is in',
    { said: { tracker: { reachable: false, urls: [] }, discovery: { mode: 'dht', by: 'nobody' } } },
    { check: 'dht', state: 'problem', cure: /--bootstrap/ },
  ],
  [
    'a tracker that does not answer',
    { get: async (url) => (url.includes('tracker') ? down() : { status: 200, date: DATE, text: '' }) },
    {
      check: 'tracker ws://tracker.corp:8400',
      state: 'problem',
      cure: 'damselfly tracker --listen 0.0.0.0:8400',
    },
  ],
  [
    'no supernode',
    { get: async () => ({ status: 200, date: DATE, text: 'damselfly_tracker_supernodes 0\n' }) },
    { check: 'supernodes', state: 'warning', cure: /^damselfly supernode/ },
  ],
  [
    'config_path missing',
    { files: { ...FILES, '/etc/containerd/config.toml': 'version = 2\n' } },
    { check: 'client containerd', state: 'problem', says: /no config_path/, cure: 'dfget setup containerd' },
  ],
  [
    'a mirror that moved',
    { said: { proxy: [{ host: '127.0.0.1', port: 7 }] } },
    {
      check: 'client containerd',
      state: 'warning',
      says: /does not ask the mirror/,
      cure: 'dfget setup containerd',
    },
  ],
  [
    'a hosts.toml without hosts',
    { files: { ...FILES, '/etc/containerd/certs.d/harbor.corp/hosts.toml': 'server = "https://x"\n' } },
    { check: 'client containerd', state: 'warning', cure: 'dfget setup containerd' },
  ],
  [
    'a file that setup would refuse',
    { files: { ...FILES, '/etc/containerd/config.toml': 'nonsense\n' } },
    {
      check: 'client containerd',
      state: 'warning',
      says: /line 1/,
      cure: 'dfget setup containerd --dry-run',
    },
  ],
  [
    'a containerd that ignores hosts.toml',
    {
      version: (program) =>
        program === 'containerd' ? 'containerd github.com/containerd/containerd 1.4.13~ds1' : undefined,
    },
    { check: 'client containerd', state: 'problem', says: /1\.4 ignores hosts\.toml/ },
  ],
  [
    'a disk that fills up',
    { space: () => ({ freeBytes: 6 * GIB, totalBytes: 100 * GIB }) },
    { check: 'disk', state: 'warning', cure: 'dfget daemon --store-max 36GiB' },
  ],
  [
    'a full disk',
    { space: () => ({ freeBytes: GIB / 2, totalBytes: 5 * GIB }) },
    { check: 'disk', state: 'problem' },
  ],
  [
    'blobs stored twice',
    {
      files: {
        ...FILES,
        '/data/blobs/sha256/ab/abc': '',
        '/data/blobs/sha256/cd/cde': '',
        '/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/abc': '',
      },
    },
    {
      check: 'double storage',
      state: 'warning',
      says: /^2\.0 GiB/,
      cure: 'dfget daemon --containerd-root /var/lib/containerd --cache-after-pull drop',
    },
  ],
];

for (const [what, illness, expected] of traps) {
  t.test(`it finds ${what}`, async (t) => {
    const found = sick(await examine(patient(illness)));
    t.match(
      found.find(({ check }) => check === expected.check),
      expected,
    );
    const same = found.filter(({ check }) => check === expected.check || check === 'clock');
    t.same(found, same, 'and nothing else');
    for (const { cure } of found) t.ok(cure, 'with a command');
  });
}

t.test(
  'a registry whose CA is unknown is told from one that is away',
  { skip: isInstalled('openssl') ? false : 'no openssl' },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'damselfly-doctor-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', cert, ...names],
      { stdio: 'ignore' },
    );
    const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) =>
      response.end('{}'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const upstreams = [
      { name: 'untrusted', url },
      { name: 'trusted', url, ca: readFileSync(cert, 'utf8') },
      { name: 'away', url: 'https://127.0.0.1:1/hub/' },
      { name: '*.gcr.io', url: 'https://*' },
    ];
    const origin = createOriginClient({
      upstreams,
      log: silentLog(),
      clock: createSystemClock(),
    });
    t.teardown(() => origin.close());
    const answers = await askRegistries(origin, upstreams, AbortSignal.timeout(20_000));
    t.equal(answers.length, 3, 'a family has no address of its own');
    t.match(answers, [
      { name: 'untrusted', url: `${url}/v2/`, certificate: true },
      { name: 'trusted', status: 200, date: /GMT$/ },
      { name: 'away', url: 'https://127.0.0.1:1/hub/v2/', failed: /did not answer/, certificate: false },
    ]);
  },
);

t.test('a folder of images that is there is told from one that is not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-doctor-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const upstreams = [
    { name: 'here', url: `oci:${folder}` },
    { name: 'nowhere', url: `oci:${folder}/it's not` },
  ];
  const origin = createOriginClient({ upstreams, log: silentLog(), clock: createSystemClock() });
  t.teardown(() => origin.close());
  const registries = await askRegistries(origin, upstreams, AbortSignal.timeout(20_000));
  t.match(registries, [
    { name: 'here', status: 200 },
    { name: 'nowhere', failed: /nothing at/ },
  ]);
  t.match(sick(await examine(patient({ registries: async () => registries }))), [
    { check: 'registry nowhere', state: 'problem', cure: `ls -la '${folder}/it'\\''s not'` },
  ]);
});
