import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { TokenBucket } from '../../lib/core/token-bucket.ts';
import type { FileQuestion } from '../../lib/origin/file.ts';
import { type Clock, delay } from '../../lib/runtime/clock.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { type Checksum, formatChecksum } from './checksum.ts';
import { directSource, openDirectConnections } from './direct-source.ts';
import { type DownloadedFile, downloadFile, type FileEvents } from './download-file.ts';
import type { FileSource } from './file-source.ts';
import { swarmSource } from './swarm-source.ts';

export interface WantedFile extends FileQuestion {
  /** Without user and password. */
  readonly url: URL;
  readonly path: string;
  readonly checksum?: Checksum | undefined;
  /** Bytes per second; Infinity = no limit. */
  readonly rate: number;
  /** `swarm`: by way of the daemon, else from the source; `swarm-only`: or not at all; `source`: past the daemon. */
  readonly from: 'swarm' | 'swarm-only' | 'source';
}

export interface FetchedFile extends DownloadedFile {
  readonly from: 'swarm' | 'source';
  readonly reason: Reason;
}

/** Why a file was read from its source, by the numbers of Dragonfly's dfget 1. */
export const REASONS = { swarm: 0, notShared: 1, brokeOff: 3, noDaemon: 5, asked: 100 } as const;
export type Reason = (typeof REASONS)[keyof typeof REASONS];

export interface FetchEvents extends FileEvents {
  /** The file is read from its source from here on. */
  direct(why: string): void;
}

/** Failures of the way through the swarm; others are the source's word or ours. */
const WAY_FAILED = ['DAEMON_UNREACHABLE', 'UPSTREAM_BROKEN', 'UPSTREAM_UNREACHABLE'] as const;

/**
 * Fetches a file at a URL into a file: through the daemon's swarm, and what that cannot give straight from the source.
 * @throws UPSTREAM_*, DIGEST_MISMATCH, FILE_FAILED, CONFIG_INVALID, ABORTED; with `swarm-only` also DAEMON_UNREACHABLE and
 * BLOB_UNKNOWN
 */
export async function fetchFile(
  deps: { readonly clock: Clock; readonly client: DaemonClient },
  wanted: WantedFile,
  events: FetchEvents,
  signal: AbortSignal,
): Promise<FetchedFile> {
  const { clock } = deps;
  const bucket = new TokenBucket(wanted.rate, clock.now());
  const pace = async (bytes: number): Promise<void> => {
    while (!bucket.take(bytes, clock.now())) await delay(clock, bucket.waitMs(bytes, clock.now()), signal);
  };
  const download = (source: FileSource): Promise<DownloadedFile> =>
    downloadFile(source, wanted, events, pace, signal);

  const way = wanted.from === 'source' ? ASKED : await throughSwarm(deps.client, wanted, signal);
  let { reason, why } = way;
  if (way.source !== undefined) {
    try {
      return { ...(await download(way.source)), from: 'swarm', reason: REASONS.swarm };
    } catch (error) {
      const failed = WAY_FAILED.some((code) => hasCode(error, code));
      if (!failed || wanted.from === 'swarm-only') throw error;
      reason = REASONS.brokeOff;
      why = (error as DamselflyError).message;
    }
  }
  events.direct(why);
  const connections = openDirectConnections(wanted.url);
  try {
    const { exchange } = connections;
    const source = await directSource({ clock, exchange }, wanted.url, wanted, signal);
    return { ...(await download(source)), from: 'source', reason };
  } finally {
    await connections.close();
  }
}

interface Way {
  readonly source?: FileSource;
  readonly reason: Reason;
  readonly why: string;
}

const ASKED: Way = { reason: REASONS.asked, why: 'as asked for' };

async function throughSwarm(client: DaemonClient, wanted: WantedFile, signal: AbortSignal): Promise<Way> {
  const { checksum, filtered, from, headers, identifier, url } = wanted;
  const digest = checksum && formatChecksum(checksum);
  try {
    const found = await client.findFile({ url: url.href, headers, filtered, identifier, digest }, signal);
    if (found.shared) return { source: swarmSource(client, found), reason: REASONS.swarm, why: '' };
    if (from === 'swarm-only') {
      throw new DamselflyError('BLOB_UNKNOWN', `the swarm cannot have the file: ${found.why}`);
    }
    return { reason: REASONS.notShared, why: found.why };
  } catch (error) {
    const noDaemon = hasCode(error, 'DAEMON_UNREACHABLE');
    if (from === 'swarm-only' || !(noDaemon || hasCode(error, 'UPSTREAM_UNKNOWN'))) throw error;
    const why = noDaemon
      ? error.message
      : `${url.host} is no upstream of the daemon (--upstream ${url.host}=${url.origin} makes it one)`;
    return { reason: noDaemon ? REASONS.noDaemon : REASONS.notShared, why };
  }
}
