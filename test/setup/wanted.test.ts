import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { DaemonStatus } from '../../dfget/local-protocol.ts';
import { type Served, servedHere, wantedRegistries } from '../../dfget/setup/wanted.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { plainNames } from '../../lib/origin/upstream.ts';

const nobodyAsked = async (): Promise<never> => {
  throw new Error('the daemon was asked');
};
const served: Served = {
  upstreams: ['harbor.corp', 'quay.io'],
  plain: [],
  listeners: [
    { host: '127.0.0.1', port: 65011, upstream: 'quay.io' },
    { host: '::', port: 65001 },
  ],
};

t.test('what the flags say needs no daemon', async (t) => {
  const flags = {
    upstream: ['Harbor.corp', 'index.docker.io', 'old.corp:5000=http://10.0.0.1:5000/'],
    proxy: ['127.0.0.1:1', 'harbor.corp=[::1]:2'],
  };
  t.same(await wantedRegistries(flags, nobodyAsked), [
    { name: 'harbor.corp', mirror: '[::1]:2', ownListener: true },
    { name: 'docker.io', mirror: '127.0.0.1:1', ownListener: false },
    { name: 'old.corp:5000', url: 'http://10.0.0.1:5000', mirror: '127.0.0.1:1', ownListener: false },
  ]);
});

t.test('what they do not say is as the daemon serves it', async (t) => {
  t.same(await wantedRegistries({}, async () => served), [
    { name: 'harbor.corp', mirror: '[::1]:65001', ownListener: false },
    { name: 'quay.io', mirror: '127.0.0.1:65011', ownListener: true },
  ]);
  t.same(await wantedRegistries({ upstream: ['ghcr.io'] }, async () => served), [
    { name: 'ghcr.io', mirror: '[::1]:65001', ownListener: false },
  ]);
});

t.test('a registry without TLS is one to clients, too', async (t) => {
  const plain = { ...served, upstreams: ['old.corp:5000', 'harbor.corp'], plain: ['old.corp:5000'] };
  t.match(await wantedRegistries({}, async () => plain), [
    { name: 'old.corp:5000', url: 'http://old.corp:5000' },
    { name: 'harbor.corp', url: undefined },
  ]);
  const told = [
    { name: 'old.corp:5000', url: 'http://old.corp:5000' },
    { name: 'harbor.corp', url: 'https://harbor.corp' },
    { name: 'docker.io', url: 'http://mirror.corp' },
  ];
  t.same(plainNames(told), ['old.corp:5000'], 'what the daemon finds elsewhere clients need not');
});

t.test('what cannot be meant is refused', async (t) => {
  for (const [flags, said] of [
    [{ upstream: ['https://harbor.corp'], proxy: [] }, /expected NAME/],
    [{ upstream: ['a"b'] }, /expected NAME/],
    [{ upstream: ['a=ftp://b'] }, /expected NAME/],
    [{ upstream: ['a'], proxy: ['127.0.0.1'] }, /--proxy/],
    [{ upstream: ['a'], proxy: ['127.0.0.1:0'] }, /--proxy/],
    [{ upstream: ['a'], proxy: ['b=127.0.0.1:1'] }, /no mirror address/],
  ] as const) {
    await t.rejects(
      wantedRegistries(flags, async () => served),
      { code: 'CONFIG_INVALID', message: said },
    );
  }
  const nothing = async (): Promise<Served> => ({ ...served, upstreams: [] });
  await t.rejects(wantedRegistries({}, nothing), { code: 'CONFIG_INVALID', message: /--upstream NAME/ });
});

t.test(
  'a machine in a folder is asked by its configuration file, this one by its daemon first',
  async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'damselfly-wanted-'));
    t.teardown(() => rmSync(root, { recursive: true }));
    mkdirSync(join(root, 'etc/damselfly'), { recursive: true });
    writeFileSync(
      join(root, 'etc/damselfly/daemon.yaml'),
      'upstream: harbor.corp=https://harbor.corp\nproxy-listen: ["127.0.0.1:7"]\n',
    );
    t.same(await servedHere(root, nobodyAsked), {
      ...{ upstreams: ['harbor.corp'], plain: [] },
      listeners: [{ host: '127.0.0.1', port: 7 }],
    });
    const status = {
      upstreams: ['quay.io'],
      proxy: [{ host: '127.0.0.1', port: 8 }],
    } as unknown as DaemonStatus;
    t.same(await servedHere('/', async () => status), {
      ...{ upstreams: ['quay.io'], plain: [] },
      listeners: [{ host: '127.0.0.1', port: 8 }],
    });
    const broken = async (): Promise<never> => {
      throw new DamselflyError('INTERNAL', 'broken');
    };
    await t.rejects(servedHere('/', broken), { code: 'INTERNAL' });
  },
);
