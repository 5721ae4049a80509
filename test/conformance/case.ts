import type { Test } from 'tap';
import type { Ground } from './ground.ts';
import type { ScriptedRegistry, TestRegistry } from './scripted-registry.ts';

/** One case of the suite, against whichever registry stands behind the proxy. */
export interface RegistryCase {
  readonly number: number;
  readonly title: string;
  run(
    t: Test,
    stage: { readonly registry: TestRegistry; readonly port: number; readonly ground: Ground },
  ): Promise<void>;
}

/** One case that needs a registry to say or do something out of the ordinary. */
export interface ScriptedCase {
  readonly number: number;
  readonly title: string;
  run(
    t: Test,
    stage: { readonly registry: ScriptedRegistry; readonly port: number; readonly ground: Ground },
  ): Promise<void>;
}

/** A repository that no other case uses. */
export function freshRepository(): string {
  return `case/r${++made}`;
}
let made = 0;

export const TYPES = {
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  schema2: 'application/vnd.docker.distribution.manifest.v2+json',
  list: 'application/vnd.docker.distribution.manifest.list.v2+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  config: 'application/vnd.oci.image.config.v1+json',
} as const;

/** Puts an image of these layers. */
export async function putImage(
  registry: TestRegistry,
  repository: string,
  layers: readonly Uint8Array[],
  tag = 'v1',
): Promise<{ readonly manifest: Buffer; readonly digest: string; readonly layers: readonly string[] }> {
  const config = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } }),
  );
  const digests: string[] = [];
  for (const layer of layers) digests.push(await registry.blob(repository, layer));
  const manifest = Buffer.from(
    JSON.stringify(
      {
        schemaVersion: 2,
        mediaType: TYPES.image,
        config: {
          mediaType: TYPES.config,
          digest: await registry.blob(repository, config),
          size: config.length,
        },
        layers: layers.map((layer, index) => ({
          mediaType: TYPES.layer,
          digest: digests[index],
          size: layer.length,
        })),
      },
      // Spaces that a parser would lose: bytes are what counts.
      undefined,
      3,
    ),
  );
  const digest = await registry.manifest(repository, TYPES.image, manifest, tag);
  return { manifest, digest, layers: digests };
}

/** How many bytes of a blob the registry sent, and how many of them more than once. */
export function sentOf(
  registry: ScriptedRegistry,
  digest: string,
): { readonly bytes: number; readonly again: number } {
  const reads = registry.reads.filter((read) => read.digest === digest).sort((a, b) => a.start - b.start);
  let bytes = 0;
  let again = 0;
  let reached = 0;
  for (const { start, end } of reads) {
    bytes += end - start;
    again += Math.max(0, Math.min(end, reached) - start);
    reached = Math.max(reached, end);
  }
  return { bytes, again };
}
