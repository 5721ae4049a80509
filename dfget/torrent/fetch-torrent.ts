import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Torrent } from 'webtorrent';
import { createBlobHasher, type Digest } from '../../lib/core/digest.ts';
import { abortedError, DamselflyError, describeError } from '../../lib/core/errors.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { fileChunkStore } from './file-chunk-store.ts';
import { readTorrent } from './torrent-source.ts';

/** What to fetch, and where to. */
export interface TorrentToFetch {
  /** Magnet link, URL or path of a `.torrent` file. */
  readonly name: string;
  /** Also written there; replaced when it is there. */
  readonly output?: string | undefined;
  /** What it must be. */
  readonly digest?: Digest | undefined;
  /** PEM of another cluster's authority, for its tracker. */
  readonly authority?: string | undefined;
  /** Where clients connect. @default any port, on all addresses */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
  /** Gives up when not a byte has come for so long, milliseconds. */
  readonly idleMs: number;
}

export interface FetchedTorrent {
  readonly infoHash: string;
  /** As the torrent calls the file. */
  readonly name: string;
  readonly size: number;
  readonly digest: Digest;
  /** False: it was in the store already. */
  readonly isNew: boolean;
}

export interface FetchEvents {
  /** The torrent is known. */
  started(file: { readonly name: string; readonly size: number }): void;
  /** Bytes here so far, and clients they come from. */
  advanced(bytes: number, clients: number): void;
}

const READ_BYTES = 1024 * 1024;
const LOOK_MS = 250;
/** For "we stop" to reach the trackers. */
const CLOSE_MS = 1500;

/**
 * Fetches a torrent of one file from standard BitTorrent clients, checks each piece and then the whole, and puts it into
 * the daemon's store under its SHA-256 digest.
 * @throws FILE_FAILED, UPSTREAM_* (`UPSTREAM_UNREACHABLE` when no client gives it), DIGEST_MISMATCH, STORE_*,
 * DAEMON_UNREACHABLE, ABORTED
 */
export async function fetchTorrent(
  { clock, client }: { readonly clock: Clock; readonly client: Pick<DaemonClient, 'putBlob'> },
  wanted: TorrentToFetch,
  events: FetchEvents,
  signal: AbortSignal,
): Promise<FetchedTorrent> {
  const { authority, digest: expected, name, output } = wanted;
  const torrent = await readTorrent(name, { authority, signal });
  const folder = output === undefined ? (process.env['TMPDIR'] ?? '/var/tmp') : dirname(output);
  const partial = join(folder, `.${basename(output ?? 'dfget')}.${randomBytes(4).toString('hex')}.partial`);
  try {
    const file = await download(clock, torrent, { ...wanted, path: partial }, events, signal);
    const digest = await sha256Of(partial, signal);
    if (expected !== undefined && expected !== digest) {
      throw new DamselflyError('DIGEST_MISMATCH', 'the torrent holds other bytes', {
        expected,
        actual: digest,
      });
    }
    const bytes = createReadStream(partial, { highWaterMark: READ_BYTES });
    const isNew = await client.putBlob(digest, file.size, bytes, signal);
    if (output !== undefined) await rename(partial, output);
    return { ...file, digest, isNew };
  } finally {
    await rm(partial, { force: true });
  }
}

async function download(
  clock: Clock,
  torrentId: string | Uint8Array,
  { authority, idleMs, listen, path }: TorrentToFetch & { readonly path: string },
  events: FetchEvents,
  signal: AbortSignal,
): Promise<Pick<FetchedTorrent, 'infoHash' | 'name' | 'size'>> {
  // Half a second of loading that no other command needs.
  const { createBittorrentClient } = await import('./bittorrent-client.ts');
  let problem = 'no other client has answered';
  const { client } = await createBittorrentClient({
    listen: listen ?? { host: '0.0.0.0', port: 0 },
    authority,
    onProblem: (error) => {
      problem = describeError(error);
    },
  });
  const done = Promise.withResolvers<void>();
  const fail = (error: unknown): void => done.reject(error);
  const broken = (error: Error | string): void =>
    fail(new DamselflyError('UPSTREAM_BROKEN', `the torrent cannot be fetched: ${textOf(error)}`));
  const onAbort = (): void => fail(abortedError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  client.on('error', broken);
  let torrent: Torrent | undefined;
  let [bytes, movedMs] = [0, clock.now()];
  const cancelLook = every(clock, LOOK_MS, () => {
    const now = torrent?.downloaded ?? 0;
    if (now > bytes) [bytes, movedMs] = [now, clock.now()];
    if (torrent !== undefined) events.advanced(now, torrent.numPeers);
    if (clock.now() - movedMs < idleMs) return;
    const message = `nothing came for ${Math.round(idleMs / 1000)} s: ${problem}`;
    fail(new DamselflyError('UPSTREAM_UNREACHABLE', message));
  });
  try {
    torrent = client.add(torrentId, { store: fileChunkStore(path), storeCacheSlots: 0 });
    const added = torrent;
    added.on('error', broken);
    added.on('warning', (warning: Error | string) => {
      problem = textOf(warning);
    });
    added.on('metadata', () => {
      const { files, length: size, name } = added;
      if (files.length === 1 && size > 0) return events.started({ name, size });
      fail(new DamselflyError('UPSTREAM_BROKEN', `the torrent has ${files.length} files; it must be one`));
    });
    added.on('done', () => done.resolve());
    await done.promise;
    const { infoHash, length: size, name } = added;
    events.advanced(size, added.numPeers);
    return { infoHash, name, size };
  } finally {
    cancelLook();
    signal.removeEventListener('abort', onAbort);
    await new Promise<void>((resolve) => {
      const cancel = clock.after(CLOSE_MS, resolve);
      try {
        client.destroy(() => {
          cancel();
          resolve();
        });
      } catch {
        // An error has destroyed it already.
        cancel();
        resolve();
      }
    });
  }
}

function textOf(error: Error | string): string {
  if (typeof error === 'string') return error;
  // fetch says no more than that it failed.
  return describeError(error.cause ?? error);
}

async function sha256Of(path: string, signal: AbortSignal): Promise<Digest> {
  const hasher = createBlobHasher('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES })) {
    if (signal.aborted) throw abortedError(signal);
    hasher.update(chunk as Buffer);
  }
  return hasher.digest();
}
