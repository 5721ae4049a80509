import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { startDockerRegistry } from '../../bench/fixtures/docker-registry.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { type ContainerClient, skipReason } from '../helpers/clients/client.ts';
import { containerd } from '../helpers/clients/containerd.ts';
import { podman, skopeo } from '../helpers/clients/containers-image.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';

const skip = skipReason({ programs: ['docker-registry', 'busybox'] });
const MIB = 1024 * 1024;
const CLIENTS: readonly ContainerClient[] = [containerd, podman, skopeo];
const BIN = join(import.meta.dirname, '..', '..', 'bin');
/** An answer that takes longer is as bad as none: container runtimes and people wait. */
const ANSWER_MS = 15_000;

async function smallStage(name: string, more: Parameters<typeof createStage>[1] = {}): Promise<Stage> {
  return createStage(name, { image: { totalBytes: 4 * MIB, layers: 2, busybox: '/bin/busybox' }, ...more });
}

function get(cluster: Cluster, path: string, authorization?: string): Promise<Response> {
  const daemon = cluster.daemons[0];
  if (daemon === undefined) throw new Error('no daemon');
  // A registry does not give an OCI manifest to those who do not say that they understand it.
  const headers = {
    accept: 'application/vnd.oci.image.manifest.v1+json, */*',
    ...(authorization === undefined ? {} : { authorization }),
  };
  return fetch(`${proxyUrl(daemon)}/v2/${path}`, { headers, signal: AbortSignal.timeout(ANSWER_MS) });
}

t.test('what does not exist is not found, in the words of the registry', { skip }, async (t) => {
  await using stage = await smallStage('not-found');
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
  for (const [path, code] of [
    [`${stage.repository}/manifests/v2`, 'MANIFEST_UNKNOWN'],
    ['team/other/manifests/v1', 'MANIFEST_UNKNOWN'],
    [`${stage.repository}/blobs/sha256:${'0'.repeat(64)}`, 'BLOB_UNKNOWN'],
  ] as const) {
    const answer = await get(cluster, path);
    t.equal(answer.status, 404, path);
    t.match(await answer.json(), { errors: [{ code }] });
  }
  const mirror = cluster.daemons[0]?.ready.proxy[0]?.address ?? '';
  const target = {
    namespace: NAMESPACE,
    registry: stage.registry.address,
    mirror,
    repository: stage.repository,
  };
  const folder = await stage.makeFolder('skopeo');
  if (skipReason(skopeo) === false) {
    await t.rejects(skopeo.pull({ ...target, folder, tag: 'v2' }), { message: /manifest unknown/i });
  }
});

t.test(
  'a registry that is down is said to be down, soon, and is used again when it is back',
  { skip },
  async (t) => {
    await using stage = await smallStage('down');
    const cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
    const manifest = `${stage.repository}/manifests/v1`;
    await stage.registry.stop();
    const answer = await get(cluster, manifest);
    t.ok(answer.status === 502 || answer.status === 503 || answer.status === 504, `status ${answer.status}`);
    t.match(await answer.text(), stage.registry.address, 'the answer names the registry');
    const again = await startDockerRegistry({
      folder: join(stage.folder, 'registry'),
      listen: stage.registry.address,
    });
    stage.cleanup.defer(() => again.stop());
    t.equal((await get(cluster, manifest)).status, 200);
  },
);

const noHtpasswd = skipReason({ programs: ['htpasswd'] });
t.test('nobody gets what the registry would not give them', { skip: skip || noHtpasswd }, async (t) => {
  await using folder = await tempFolder('htpasswd');
  const htpasswd = join(folder.path, 'htpasswd');
  const [user, password] = ['ann', 'open sesame'];
  await writeFile(htpasswd, (await run('htpasswd', ['-Bbn', user, password])).stdout);
  const basic = (secret: string): string => `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
  await using stage = await smallStage('auth', { htpasswd, authorization: basic(password) });
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
  const paths = [
    `${stage.repository}/manifests/v1`,
    `${stage.repository}/blobs/${stage.image.config.digest}`,
  ];
  const refused = async (when: string): Promise<void> => {
    for (const path of ['', ...paths]) {
      const anonymous = await get(cluster, path);
      t.equal(anonymous.status, 401, `nobody, ${when}: /v2/${path}`);
      t.match(anonymous.headers.get('www-authenticate'), /^Basic realm=/);
      t.equal((await get(cluster, path, basic('wrong'))).status, 401, `wrong password, ${when}`);
    }
  };
  await refused('before anybody has pulled');

  const mirror = cluster.daemons[0]?.ready.proxy[0]?.address ?? '';
  const target = { namespace: NAMESPACE, registry: stage.registry.address, mirror, tag: 'v1' };
  const pull = { ...target, repository: stage.repository };
  for (const client of CLIENTS) {
    if (skipReason(client) !== false) continue;
    const { name } = client;
    const image = await client.pull({
      ...{ ...pull, folder: await stage.makeFolder(name), credentials: { user, password } },
    });
    t.equal(image.manifestDigest, stage.image.manifest.digest, `${name} with the right password`);
    const wrong = { ...pull, folder: await stage.makeFolder(`${name}-wrong`) };
    await t.rejects(
      client.pull({ ...wrong, credentials: { user, password: 'wrong' } }),
      `${name}, wrong password`,
    );
    await t.rejects(
      client.pull({ ...pull, folder: await stage.makeFolder(`${name}-none`) }),
      `${name}, none`,
    );
  }
  await refused('when all is cached');
  for (const path of paths) t.equal((await get(cluster, path, basic(password))).status, 200);
});

t.test(
  'a wrong configuration ends the process at once, and says which value is wrong',
  { skip },
  async (t) => {
    await using folder = await tempFolder('wrong');
    const taken = createServer().listen(0, '127.0.0.1');
    t.teardown(() => taken.close());
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    const base = ['daemon', '--insecure', '--data-dir', folder.path, '--socket', join(folder.path, 's')];
    const free = ['--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'];
    for (const [flags, said] of [
      [['--no-such-flag'], /no-such-flag/],
      [[...free, '--proxy-listen', 'nonsense'], /proxy-listen|nonsense/],
      [[...free, '--proxy-listen', '127.0.0.1:0', '--upstream', 'r=ftp://r'], /upstream|ftp/],
      [[...free, '--proxy-listen', '127.0.0.1:0', '--default-upstream', 'none.test'], /none\.test/],
      [[...free, '--proxy-listen', `127.0.0.1:${port}`], new RegExp(`${port}`)],
    ] as const) {
      const { code, output } = await run(join(BIN, 'dfget'), [...base, ...flags], { timeoutMs: ANSWER_MS });
      t.ok(code > 0, `${flags.join(' ')} ends with ${code}`);
      t.match(output, said);
      t.notMatch(output, /\n\s+at .*:\d+:\d+/, 'without a stack trace');
    }
  },
);
