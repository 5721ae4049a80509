import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { fetch } from 'undici';
import { createImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { daemonConfig } from '../../dfget/daemon/config.ts';
import { createDaemon } from '../../dfget/daemon/daemon.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { supernodeConfig } from '../../supernode/config.ts';
import { createSupernode } from '../../supernode/supernode.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { startDockerRegistry } from '../helpers/docker-registry.ts';
import { PRIVATE } from '../helpers/private-stage.ts';
import { startRelay } from '../helpers/relay.ts';
import { NAMESPACE } from '../helpers/stage.ts';
import { startTokenServer } from '../helpers/token-server.ts';

const KIB = 1024;
/** Each is a whole daemon with sockets and a store, but all are in this process: a hundred processes need more memory than many machines have. */
const NODES = 100;
/** A node has about a hundredth of a core here, so its clock goes slower: it waits no less than a machine would. */
const SLOWER = 10;
const MAX_REQUESTS_PER_NODE = 3;
const DEADLINE_MS = 90_000;
const ANY = '127.0.0.1:0';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

interface DaemonReady {
  readonly proxy: readonly { readonly address: string }[];
  readonly admin: string;
}

t.test(
  'a hundred nodes pull one private image at once: few requests of each reach the registry',
  { skip: skipReason({ programs: ['docker-registry', 'openssl'] }) },
  async (t) => {
    await using temp = await tempFolder('flash-crowd');
    const cleanup = new AsyncDisposableStack();
    t.teardown(() => cleanup.disposeAsync());
    const certificate = makeCertificate(temp.path);
    const tokens = await startTokenServer(certificate, {
      alice: { password: 'alice-secret', rights: { [PRIVATE]: ['pull', 'push'] } },
    });
    cleanup.defer(() => tokens.close());
    const authorization = `Bearer ${tokens.issue('alice', `repository:${PRIVATE}:pull,push`)}`;
    const registry = await startDockerRegistry({
      tokens: { realm: tokens.realm, certificate, authorization },
    });
    cleanup.defer(() => registry.close());
    const image = await createImage({
      ...{ folder: join(temp.path, 'image'), tag: 'v1', seed: 'flash' },
      ...{ totalBytes: 3 * 512 * KIB, layers: 3 },
    });
    await pushImage(image, { registry: registry.url, repository: PRIVATE, authorization });
    const relay = await startRelay(registry.url);
    cleanup.defer(() => relay.close());

    const log = silentLog();
    const system = createSystemClock();
    const clock: Clock = {
      now: () => system.now() / SLOWER,
      after: (delayMs, callback) => system.after(delayMs * SLOWER, callback),
    };
    const deps = { clock, rng: createSystemRng(), log, wallClockMs: Date.now };
    const listen = { host: '127.0.0.1', port: 0 };
    const tracker = await createTracker(deps, { listen, httpListen: listen });
    cleanup.defer(() => tracker.close());
    const shared = {
      ...{ tracker: [`ws://127.0.0.1:${tracker.controlAddress.port}`], insecure: true },
      ...{ upstream: [`${NAMESPACE}=${relay.url}`], peerListen: ANY, adminListen: ANY },
    };
    const supernode = await createSupernode(
      deps,
      supernodeConfig.parse({ ...shared, dataDir: [join(temp.path, 'supernode')] }),
    );
    cleanup.defer(() => supernode.close());
    const mirrors: string[] = [];
    for (let index = 0; index < NODES; index++) {
      const folder = join(temp.path, `node${index}`);
      await mkdir(folder);
      const config = { ...shared, dataDir: [join(folder, 'data')], socket: join(folder, 'socket') };
      const daemon = await createDaemon(
        deps,
        daemonConfig.parse({ ...config, proxyListen: [ANY], bufferMemory: '16MiB' }),
      );
      cleanup.defer(() => daemon.close());
      const ready = daemon.ready as unknown as DaemonReady;
      const deadline = AbortSignal.timeout(DEADLINE_MS);
      while ((await fetch(`http://${ready.admin}/readyz`, { signal: deadline })).status !== 200);
      mirrors.push(`http://${ready.proxy[0]?.address ?? ''}`);
    }

    /** What containerd asks for an image: the tag without a token, with one, then the manifest, then its blobs. */
    const pull = async (mirror: string): Promise<void> => {
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const url = (path: string): string => `${mirror}/v2/${PRIVATE}/${path}?ns=${NAMESPACE}`;
      const accept = { accept: MANIFEST_TYPE };
      const challenge = await fetch(url('manifests/v1'), { method: 'HEAD', headers: accept, signal });
      const said = challenge.headers.get('www-authenticate') ?? '';
      const part = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(said)?.[1] ?? '';
      const question = new URLSearchParams({ service: part('service'), scope: part('scope') });
      const basic = `Basic ${Buffer.from('alice:alice-secret').toString('base64')}`;
      const asked = `${part('realm')}?${question.toString()}`;
      const answer = await fetch(asked, { headers: { authorization: basic }, signal });
      const { token } = (await answer.json()) as { token: string };
      const headers = { authorization: `Bearer ${token}` };
      const head = await fetch(url('manifests/v1'), {
        ...{ method: 'HEAD', headers: { ...headers, ...accept }, signal },
      });
      const digest = head.headers.get('docker-content-digest') ?? '';
      const get = async (path: string, wanted: string): Promise<void> => {
        const got = await fetch(url(path), { headers: { ...headers, ...accept }, signal });
        const bytes = Buffer.from(await got.arrayBuffer());
        if (digestOf(bytes) !== wanted) throw new Error(`${got.status} for ${path}`);
      };
      await get(`manifests/${digest}`, image.manifest.digest);
      await Promise.all(
        [image.config, ...image.layers].map((blob) => get(`blobs/${blob.digest}`, blob.digest)),
      );
    };
    const startedMs = performance.now();
    const results = await Promise.allSettled(mirrors.map(pull));
    const failed = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
    t.same(failed, [], 'every node has every byte');

    const counts: Record<string, number> = {};
    for (const { method, status, url } of relay.seen) {
      const kind = /\/(manifests\/sha256|manifests|blobs)[:/]/.exec(url)?.[1] ?? url;
      counts[`${method} ${kind} ${status}`] = (counts[`${method} ${kind} ${status}`] ?? 0) + 1;
    }
    t.comment(
      `${NODES} nodes, ${Math.round(performance.now() - startedMs)} ms: ${relay.seen.length} requests, ${JSON.stringify(counts)}`,
    );
    const blobReads = relay.seen.filter(({ url }) => url.includes('/blobs/'));
    const ofNodes = (relay.seen.length - blobReads.length) / NODES;
    t.ok(ofNodes <= MAX_REQUESTS_PER_NODE, `${ofNodes} requests a node`);
    t.equal(blobReads.length, image.layers.length + 1, 'and each blob is read once for all of them');
  },
);
