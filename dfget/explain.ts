import { isDigest } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { type BlobExplanation, explainBlob, type SenderShare } from '../lib/observe/explain.ts';
import type { TraceHead, TraceLine } from '../lib/observe/trace.ts';
import { listedBlobs } from '../lib/oci/archive/image-layout.ts';
import { parseReference } from '../lib/oci/reference.ts';
import { resolveImage, type WantedPlatform } from '../lib/origin/resolve-image.ts';
import type { DaemonClient } from './daemon-client.ts';
import { blobsNamed, isDigestPrefix } from './named-blobs.ts';

/** Why the pull of what was named took as long as it did. */
export interface Explanation {
  readonly name: string;
  /** In the order of the manifest; those that no client read are left out. */
  readonly blobs: readonly BlobExplanation[];
  /** Who made clients wait longest, all blobs together; undefined when nobody did for a tenth of the time. */
  readonly slowest?: SenderShare;
  /** Events that the daemon has forgotten: blobs pulled long ago may be missing. */
  readonly lost: number;
}

/**
 * Reads the daemon's trace of what was named.
 * @returns the explanation, and the trace as it came
 * @throws BLOB_UNKNOWN when no client read any of it, REFERENCE_INVALID, UPSTREAM_*, DAEMON_UNREACHABLE, ABORTED
 */
export async function explainNamed(
  client: DaemonClient,
  name: string,
  platform: WantedPlatform | undefined,
  signal: AbortSignal,
): Promise<{ readonly explanation: Explanation; readonly text: string }> {
  const digests = await digestsOf(client, name, platform, signal);
  const text = await client.trace(digests, signal);
  const [head, ...lines] = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TraceHead | TraceLine);
  const { lost = 0, nowMs = 0 } = head as Partial<TraceHead>;
  const explained = digests.map((digest) => explainBlob(lines as TraceLine[], digest, nowMs));
  const blobs = explained.filter(({ outcome }) => outcome !== 'not-read');
  if (blobs.length === 0) {
    const why = lost === 0 ? 'since the daemon was started' : 'lately; older pulls are forgotten';
    throw new DamselflyError('BLOB_UNKNOWN', `${name}: no client of this node has read any of it ${why}`);
  }
  const slowest = slowestOf(blobs);
  return { explanation: { name, blobs, lost, ...(slowest === undefined ? {} : { slowest }) }, text };
}

async function digestsOf(
  client: DaemonClient,
  name: string,
  platform: WantedPlatform | undefined,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (isDigest(name)) return [name];
  const cache = await client.cache(signal);
  const imported = cache.images.some(({ image }) => image === name);
  if (isDigestPrefix(name) || imported) return (await blobsNamed(client, cache, name, signal)).digests;
  const { manifests } = await resolveImage(client, parseReference(name), platform, signal);
  return listedBlobs(manifests).map(({ digest }) => digest);
}

/** A tenth, as of a single blob. */
const SLOW_SHARE = 0.1;

function slowestOf(blobs: readonly BlobExplanation[]): SenderShare | undefined {
  const sums = new Map<string, SenderShare>();
  for (const share of blobs.flatMap(({ senders }) => senders)) {
    const sum = sums.get(share.id);
    const bytes = share.bytes + (sum?.bytes ?? 0);
    const seconds = secondsOf(share) + (sum === undefined ? 0 : secondsOf(sum));
    const waitedMs = share.waitedMs + (sum?.waitedMs ?? 0);
    const bytesPerSecond = seconds > 0 ? Math.round(bytes / seconds) : 0;
    sums.set(share.id, { ...sum, ...share, bytes, waitedMs, bytesPerSecond });
  }
  const [worst] = [...sums.values()].sort((a, b) => b.waitedMs - a.waitedMs);
  const tookMs = blobs.reduce((sum, blob) => sum + blob.tookMs, 0);
  return worst !== undefined && worst.waitedMs > 0 && worst.waitedMs >= tookMs * SLOW_SHARE
    ? worst
    : undefined;
}

function secondsOf({ bytes, bytesPerSecond }: SenderShare): number {
  return bytesPerSecond > 0 ? bytes / bytesPerSecond : 0;
}
