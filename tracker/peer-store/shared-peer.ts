import { z } from 'zod';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { AnnounceState } from '../../lib/swarm/tracker-core.ts';
import { peer } from '../../lib/wire/control-codec.ts';
import { MAX_PEERS_PER_MESSAGE } from '../../lib/wire/control-messages.ts';

/** No peer's text is as long; what is longer is not read. */
const MAX_PEER_CHARS = 1024;

/** What one tracker tells others of itself. */
export interface TrackerReport {
  /** Nodes that are connected to it. */
  readonly nodes: number;
  readonly supernodes: readonly PeerInfo[];
}

const report = z.object({ nodes: z.int().min(0), supernodes: z.array(peer).max(MAX_PEERS_PER_MESSAGE) });

const HAVES = { n: 'none', s: 'some', a: 'all' } as const;

export function encodePeer({ host, id, port, role, zone }: PeerInfo): string {
  return JSON.stringify({ id, role, host, port, zone });
}

/** @returns undefined for what no tracker of this version wrote */
export function decodePeer(text: string): PeerInfo | undefined {
  return text.length > MAX_PEER_CHARS ? undefined : peer.safeParse(parsed(text)).data;
}

/** A node that shares a blob: what it has of it, then how it is reached. */
export function encodeSharer(info: PeerInfo, have: AnnounceState['have']): string {
  return `${have.slice(0, 1)}${encodePeer(info)}`;
}

export function decodeSharer(
  text: string,
): { readonly info: PeerInfo; readonly have: AnnounceState['have'] } | undefined {
  const have = HAVES[text.slice(0, 1) as keyof typeof HAVES] as AnnounceState['have'] | undefined;
  const info = have === undefined ? undefined : decodePeer(text.slice(1));
  return have === undefined || info?.role !== 'node' ? undefined : { info, have };
}

export function encodeReport(told: TrackerReport): string {
  return JSON.stringify(told);
}

export function decodeReport(text: string): TrackerReport | undefined {
  return report.safeParse(parsed(text)).data;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
