import { join } from 'node:path';
import type { Test } from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { MANIFEST_ACCEPT } from '../../lib/oci/media-types.ts';
import type { JobView } from '../../lib/wire/preheat-messages.ts';
import { NAMESPACE, type Stage } from './stage.ts';

const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
/** Manifests, which every pull asks for anew, are some KiB. */
const MOST_READ = 1.01;

/** The end of what a command printed is what tells how it ended. */
const TAIL_CHARS = 2000;

/** What a person who types `dfget preheat` on the first node gets. */
export async function dfgetPreheat(cluster: Cluster, ...args: readonly string[]): ReturnType<typeof preheat> {
  return await preheat(cluster, args);
}

/** @param timeoutMs so long the command may take; default: as a short one */
async function preheat(
  cluster: Cluster,
  args: readonly string[],
  timeoutMs?: number,
): Promise<{ readonly code: number | null; readonly output: string; readonly events: JobEvent[] }> {
  const socket = cluster.daemons[0]?.ready.socket ?? '';
  const words = ['preheat', '--json', '--socket', socket, ...args];
  const limit = timeoutMs === undefined ? {} : { timeoutMs };
  const { code, output, stdout } = await run(DFGET, words, limit);
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  return {
    code,
    output: output.slice(-TAIL_CHARS),
    events: lines.map((line) => JSON.parse(line) as JobEvent),
  };
}

export type JobEvent = JobView & { readonly event: string };

/** Name of the stage's image. */
export function imageOf({ image, repository }: Stage): string {
  return `${NAMESPACE}/${repository}:${image.tag}`;
}

/**
 * One image to all nodes: the registry sends it once, and then no node's pull asks it for a blob.
 * @param timeoutMs so long the preheating may take; default: as a short command
 */
export async function preheatsAll(
  t: Test,
  stage: Stage,
  cluster: Cluster,
  timeoutMs?: number,
): Promise<void> {
  const { image, registry, repository } = stage;
  const before = await registry.counters();
  const { code, events, output } = await preheat(cluster, [imageOf(stage), '--nodes', 'all'], timeoutMs);
  t.equal(code, 0, output);
  const nodes = cluster.daemons.length;
  t.match(events.at(-1), {
    ...{
      event: 'job',
      state: 'succeeded',
      images: [{ image: imageOf(stage), digest: image.manifest.digest }],
    },
    targets: { total: nodes, done: nodes, failed: 0 },
  });
  const { bytes } = countersSince(before, await registry.counters());
  t.comment(`${nodes} nodes: the registry sent ${(bytes / image.bytes).toFixed(4)}x the image`);
  t.ok(bytes <= image.bytes * MOST_READ, `${bytes} bytes for ${image.bytes}`);

  const warm = await registry.counters();
  for (const daemon of cluster.daemons) {
    // As a runtime does: what lists the blobs is asked for first.
    const manifest = await fetch(`${proxyUrl(daemon)}/v2/${repository}/manifests/${image.tag}`, {
      headers: { accept: MANIFEST_ACCEPT },
    });
    await manifest.arrayBuffer();
    for (const { digest } of [image.config, ...image.layers]) {
      const url = `${proxyUrl(daemon)}/v2/${repository}/blobs/${digest}`;
      const got = new Uint8Array(await (await fetch(url)).arrayBuffer());
      if (digestOf(got) !== digest) t.fail(`${daemon.name}: ${digest}`);
    }
  }
  const { blobRequests } = countersSince(warm, await registry.counters());
  t.equal(blobRequests, 0, 'no pull asks the registry for a blob');
}
