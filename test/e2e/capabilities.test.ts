import { join } from 'node:path';
import t, { type Test } from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { run } from '../../bench/fixtures/child.ts';
import { parseMetrics, sumMetric } from '../../bench/fixtures/metrics.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { blobInfo, pieceLength } from '../../lib/core/geometry.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { requireAuthority } from '../../lib/security/system/authority-folder.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { encodePeerMessage } from '../../lib/wire/peer-codec.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';
import { testMember } from '../security/cluster.ts';

const MIB = 1024 * 1024;
const NODES = 3;
const DEADLINE_MS = 30_000;
/** What a pull by a tag of an image for one platform may cost the registry. */
const MOST_REQUESTS = 3;
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const skip = skipReason({ programs: ['docker-registry'] });

t.test(
  'who may have a blob from peers: nodes that a supernode vouches for, and nobody else',
  { skip },
  async (t) => {
    await using stage = await createStage('capabilities', { image: { totalBytes: 12 * MIB, layers: 2 } });
    const { folder, image, registry, repository } = stage;
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 1, secure: true });
    const admins = cluster.daemons.map(({ ready }) => ready.admin);

    /** As containerd does: the tag, the manifest by digest, then the blobs. */
    const pull = async (mirror: string): Promise<void> => {
      const url = (path: string): string => `http://${mirror}/v2/${repository}/${path}?ns=${NAMESPACE}`;
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const headers = { accept: MANIFEST_TYPE };
      const head = await fetch(url(`manifests/${image.tag}`), { method: 'HEAD', headers, signal });
      const digest = head.headers.get('docker-content-digest') ?? '';
      const paths = [image.config, ...image.layers].map((blob) => `blobs/${blob.digest}`);
      const manifest = await fetch(url(`manifests/${digest}`), { headers, signal });
      await manifest.arrayBuffer();
      for (const answer of await Promise.all(paths.map((path) => fetch(url(path), { signal })))) {
        if (answer.status !== 200) throw new Error(`${answer.status} for ${answer.url}`);
        await answer.arrayBuffer();
      }
    };
    const mirrors = cluster.daemons.map(({ ready }) => ready.proxy[0]?.address ?? '');

    await t.test('a crowd gets the image from the swarm, and asks the registry little', async (t) => {
      const before = await registry.counters();
      await Promise.all(mirrors.map(pull));
      const { bytes, requests } = countersSince(before, await registry.counters());
      t.ok(bytes <= image.bytes * 1.02, `${bytes} bytes for ${image.bytes}`);
      const blobs = image.layers.length + 1;
      t.ok(requests - blobs <= MOST_REQUESTS * NODES, `${requests} requests, ${blobs} of them for blobs`);
      t.equal(await sumMetric(admins, 'damselfly_refused_total', {}), 0);
      t.equal(await sumMetric(admins, 'damselfly_fallback_total', {}), 0);
    });

    await t.test('a warm pull asks no more', async (t) => {
      const before = await registry.counters();
      await pull(mirrors[0] ?? '');
      const { requests } = countersSince(before, await registry.counters());
      t.ok(requests <= MOST_REQUESTS, `${requests} requests`);
    });

    await t.test('a member with a valid certificate and no capability gets zero bytes', async (t) => {
      const authority = await requireAuthority(join(folder, 'ca'), Date.now);
      const { identity, tls } = await testMember(authority, 'node');
      const deps = { clock: createSystemClock(), log: silentLog() };
      const network = createHttpPeerNetwork(deps, { credentials: steadyCredentials(tls) });
      t.teardown(() => network.close());
      for (const [what, peer, admin] of [
        ['node', cluster.daemons[0]?.ready.peer, admins[0]],
        ['supernode', cluster.supernodes[0]?.ready.peer, cluster.supernodes[0]?.ready.admin],
      ] as const) {
        await t.test(what, (t) => getsNothing(t, network, identity.name, peer ?? '', admin ?? ''));
      }
    });

    async function getsNothing(
      t: Test,
      network: ReturnType<typeof createHttpPeerNetwork>,
      from: string,
      peer: string,
      admin: string,
    ): Promise<void> {
      const [host = '', port = ''] = peer.split(':');
      const address = { host, port: Number(port) };
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const [layer] = image.layers;
      const { digest, pieceBytes, size } = blobInfo(layer!.digest, layer!.size);
      const link = await network.dial(address, { signal });
      const opened = Promise.withResolvers<void>();
      let messages = 0;
      link.listen({
        message: () => void (++messages >= 2 && opened.resolve()),
        closed: () => opened.resolve(),
      });
      const self = { id: from, role: 'node', host: '127.0.0.1', port: 9, zone: '' } as const;
      const slots = { up: 0, down: 4 };
      link.send(
        encodePeerMessage({ type: 'hello', protocol: 1, peer: self, clusterTimeMs: Date.now(), slots }),
      );
      link.send(encodePeerMessage({ type: 'open', handle: 1, digest, size, pieceBytes }));
      await opened.promise;
      const into = new Uint8Array(pieceLength({ size, pieceBytes, pieces: 1 }, 0));
      const range = { start: 0, end: into.length };
      const fetching = network.fetch({ address, from, digest, range }, into, { signal });
      await t.rejects(fetching, { code: 'BLOB_UNKNOWN' });
      t.ok(into.every((byte) => byte === 0));
      const blobs = [{ digest: image.config.digest, size: image.config.size }];
      t.same(await network.fetchSmall({ address, from, blobs }, { signal }), [undefined]);
      const page = await (await fetch(`http://${admin}/metrics`, { signal })).text();
      const refused = parseMetrics(page).filter(({ name }) => name === 'damselfly_refused_total');
      t.same([...new Set(refused.map(({ labels }) => labels['reason']))], ['no-capability']);
      t.ok((refused[0]?.value ?? 0) >= 2, 'the piece and the small blob');
      link.close('done');
    }

    await t.test('without a supernode pulls go on, from the registry', async (t) => {
      for (const supernode of cluster.supernodes) await supernode.stop();
      const { code, output } = await run(join(import.meta.dirname, '..', '..', 'bin', 'dfget'), [
        ...['pull', '--json', '--socket', cluster.daemons[1]?.ready.socket ?? ''],
        `${NAMESPACE}/${repository}:${image.tag}`,
      ]);
      t.equal(code, 0, output);
    });
  },
);
