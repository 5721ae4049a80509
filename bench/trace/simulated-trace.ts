import { type Digest, parseDigest } from '../../lib/core/digest.ts';
import { VERSION } from '../../lib/core/version.ts';
import type { TraceHead, TraceLine } from '../../lib/observe/trace.ts';
import { idealSeconds } from '../simulate/limit.ts';
import type { Outcome } from '../simulate/outcome.ts';
import type { Scenario } from '../simulate/scenario.ts';
import type { Came } from '../simulate/swarm/world.ts';

/** All reads of the registry are one: nobody lies about it. */
const GENERATION = '0'.repeat(16);

/**
 * What happened on each node, in the form in which daemons tell it (docs/TRACE.md): a head, then its events, node after
 * node. A layer's digest is its number.
 * @param came every piece that a node has stored, in order
 */
export function simulatedTrace(scenario: Scenario, outcome: Outcome, came: readonly Came[]): string {
  const byNode = Map.groupBy(came, ({ node }) => node);
  const nodes = Array.from({ length: scenario.nodes }, (_, node) => node);
  return nodes
    .flatMap((node) => linesOf(scenario, outcome, node, byNode.get(node) ?? []))
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
}

function linesOf(
  scenario: Scenario,
  { joinedAt }: Outcome,
  node: number,
  came: readonly Came[],
): (TraceHead | TraceLine)[] {
  const { blobs, nodeRate, nodes, seeds } = scenario;
  const joinedMs = (joinedAt[node] ?? 0) * 1000;
  const limitMs = idealSeconds(scenario) * 1000;
  const endMs = came.at(-1)?.atMs ?? joinedMs;
  const head: TraceHead = {
    kind: 'trace',
    ...{ id: idOf(node), role: 'node', version: VERSION },
    ...{ nowMs: endMs, wallMs: endMs, lost: 0 },
  };
  const lines: TraceLine[] = blobs.flatMap(({ bytes, pieces }, blob): TraceLine[] => {
    const digest = digestOf(blob);
    const atMs = joinedMs;
    return [
      { kind: 'pull', pull: blob + 1, digest, size: bytes, askedMs: joinedMs, atMs },
      { kind: 'blob-open', digest, held: 0, pieces, atMs },
    ];
  });
  const missing = blobs.map(({ pieces }) => pieces);
  const firstMs = new Map<number, number>();
  for (const { atMs, blob, from, piece } of came) {
    const digest = digestOf(blob);
    const { bytes: size, pieceBytes } = blobs[blob]!;
    const bytes = Math.min(pieceBytes, size - piece * pieceBytes);
    const source = from < nodes ? 'peer' : from < nodes + seeds ? 'supernode' : 'origin';
    const sender = source === 'origin' ? {} : { from: idOf(from) };
    lines.push({
      kind: 'piece',
      digest,
      index: piece,
      source,
      bytes,
      generation: GENERATION,
      ...sender,
      atMs,
    });
    if (piece === 0) firstMs.set(blob, atMs - joinedMs);
    missing[blob]!--;
    if (missing[blob] !== 0) continue;
    lines.push(
      { kind: 'blob-complete', digest, atMs },
      {
        kind: 'pull-end',
        outcome: 'complete',
        ...{ pull: blob + 1, digest, sentBytes: size, hereBytes: 0, directBytes: 0 },
        ...{ firstByteMs: firstMs.get(blob) ?? 0, clientMs: 0 },
        limitBy: 'received',
        ...{ limitMs, limitBytesPerSecond: nodeRate, atMs },
      },
    );
  }
  return [head, ...lines];
}

function idOf(end: number): string {
  return end.toString(16).padStart(40, '0');
}

function digestOf(blob: number): Digest {
  return parseDigest(`sha256:${blob.toString(16).padStart(64, '0')}`);
}
