import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { podman } from './clients/containers-image.ts';
import { layerBytes, PRIVATE, type PrivateStage, pushPrivate, startPrivateStage } from './private-stage.ts';
import { NAMESPACE } from './stage.ts';

const ALICE = { user: 'alice', password: 'alice-secret' };
/** The registry takes each token for a minute longer than that itself says. */
const REGISTRY_LEEWAY_SECONDS = 60;
/** On top of what the pace of the registry makes it take: starts, the recovery, unpacking. */
const SLACK_MS = 60_000;

export interface TokenLife {
  /** For which the registry takes each token. */
  readonly tokenSeconds: number;
  /** That the layer takes at the pace of the registry. */
  readonly layerSeconds: number;
  /** After which the supernode is killed. */
  readonly killSeconds: number;
  /** Bytes per second. */
  readonly registryRate: number;
}

/** podman pulls a private layer that takes longer than its token lives, and the supernode is killed meanwhile. */
export async function pullBeyondToken(t: Test, life: TokenLife): Promise<void> {
  const { killSeconds, layerSeconds, registryRate, tokenSeconds } = life;
  const stage = await startPrivateStage({ trust: 'caller', registryRate });
  t.teardown(() => stage[Symbol.asyncDispose]());
  const layerLength = layerSeconds * registryRate;
  const image = await pushPrivate(stage, { tag: 'slow', totalBytes: layerLength });
  const { cluster, relay, tokens } = stage;
  tokens.validSeconds = tokenSeconds - REGISTRY_LEEWAY_SECONDS;
  const folder = join(stage.folder, 'podman');
  await mkdir(folder);
  const startedMs = performance.now();
  const deadlineMs = layerSeconds * 1000 + SLACK_MS;
  // By the name of the mirror itself: podman sends a mirror of registries.conf no credentials.
  const address = cluster.daemons[0]?.ready.proxy[0]?.address ?? '';
  let ended = false;
  const pulling = podman
    .pull({
      ...{ folder, namespace: NAMESPACE, registry: address, repository: PRIVATE },
      ...{ tag: image.tag, credentials: ALICE, timeoutMs: deadlineMs },
    })
    .finally(() => {
      ended = true;
    });
  pulling.catch(() => {});

  const layerReads = () =>
    relay.seen.filter(({ method, url }) => method === 'GET' && url.endsWith(image.layers[0]?.digest ?? '?'));
  // The pace of the registry tells the time.
  const killBytes = (layerLength * killSeconds) / layerSeconds;
  while (!ended && layerBytes(stage, image) < killBytes && performance.now() - startedMs < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.notOk(ended, 'podman is in the middle');
  t.ok(performance.now() - startedMs > tokenSeconds * 1000, 'its first token has run out');
  const readsBefore = layerReads().length;
  t.equal(readsBefore, 1, 'one read so far, by the supernode');
  const refused = await fetch(`http://${address}/v2/${PRIVATE}/manifests/${image.tag}?ns=${NAMESPACE}`, {
    headers: { authorization: relay.seen.find(isBearerRead)?.headers.authorization ?? '' },
  });
  t.equal(refused.status, 401, 'the token with which it began is taken no longer, before the supernode dies');
  await cluster.supernodes[0]?.kill('SIGKILL');
  const pulled = await pulling;
  t.equal(pulled.manifestDigest, image.manifest.digest);
  const later = layerReads().slice(readsBefore);
  t.ok(
    later.some(({ headers, status }) => status === 206 && headers.range !== undefined),
    'the rest was read by Range',
  );
}

const isBearerRead = ({ method, headers, status, url }: PrivateStage['relay']['seen'][number]): boolean =>
  method === 'GET' && url.includes('/manifests/') && status === 200 && headers.authorization !== undefined;
