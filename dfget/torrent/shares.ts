import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Digest, parseDigest } from '../../lib/core/digest.ts';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Metrics } from '../../lib/observe/metrics.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import { createSerial } from '../../lib/store/serial.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { ANNOUNCE_PATH, MAX_SHARES } from '../../lib/wire/bittorrent-messages.ts';
import { magnetLink } from './magnet-link.ts';
import { Seeder } from './seeder.ts';
import type { Share, ShareRequest } from './share-protocol.ts';
import { SharePublisher } from './share-publisher.ts';
import { readShares, removeShare, type ShareRecord, writeShare } from './share-record.ts';
import { type Part, SharedContent } from './shared-content.ts';

export interface SharesDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly store: BlobStore;
  readonly credentials?: Credentials | undefined;
  /** Id of this node. */
  readonly owner: () => string;
}

export interface SharesOptions {
  /** Where it is kept what is shared. */
  readonly folder: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** Bytes per second. */
  readonly uploadRate?: number | undefined;
  /** Trackers' public ports as clients reach them, and as we do. */
  readonly announceTo: readonly string[];
  readonly publishTo: readonly string[];
}

interface Live {
  readonly record: ShareRecord;
  port: number | null;
  announced: boolean;
  problem: string | null;
  sentBytes: number;
}

const PASSKEY_BYTES = 16;

/** What this node shares with standard BitTorrent clients. It outlives restarts. */
export class Shares {
  readonly #deps: SharesDeps;
  readonly #options: SharesOptions;
  readonly #folder: string;
  readonly #live = new Map<string, Live>();
  readonly #inTurn = createSerial();
  readonly #ending = new AbortController();
  readonly #seeder: Seeder;
  readonly #publisher: SharePublisher;

  private constructor(deps: SharesDeps, options: SharesOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#folder = join(options.folder, 'torrents');
    const { clock, credentials, log, metrics, owner } = deps;
    this.#seeder = new Seeder(
      {
        ...{ clock, credentials, log },
        sent: (infoHash, bytes) => {
          metrics.bittorrentSentBytes.inc(bytes);
          const live = this.#live.get(infoHash);
          if (live !== undefined) live.sentBytes += bytes;
        },
        announced: (infoHash) => this.#note(infoHash, { announced: true, problem: null }),
        refused: (infoHash, problem) => this.#note(infoHash, { announced: false, problem }),
      },
      { listen: options.listen, uploadRate: options.uploadRate },
    );
    const shares = () => Array.from(this.#live.values(), ({ record }) => record);
    this.#publisher = new SharePublisher({ clock, credentials, log, owner, shares }, options.publishTo);
  }

  /** Goes on with what was shared when the process ended. */
  static async open(deps: SharesDeps, options: SharesOptions): Promise<Shares> {
    const shares = new Shares(deps, options);
    for (const record of await readShares(shares.#folder, deps.log)) {
      shares.#live.set(record.infoHash, liveOf(record));
    }
    // Nobody waits for it: a daemon that starts serves its own clients first.
    if (shares.#live.size > 0) void shares.#inTurn(() => shares.#resume());
    shares.#count();
    return shares;
  }

  get list(): readonly Share[] {
    return Array.from(this.#live.values(), describeShare);
  }

  /** Whether a torrent needs the blob. */
  needs(digest: string): boolean {
    return [...this.#live.values()].some(({ record }) =>
      record.parts.some((part) => part.kind === 'blob' && part.digest === digest),
    );
  }

  /**
   * Shares a file made of blobs of the store. What is shared already stays as it is.
   * @throws BLOB_UNKNOWN when a blob is not here; CONFIG_INVALID without a tracker, when the port cannot be had, or
   * it is shared with another passkey;
   * STORE_*, PIECE_MISMATCH, ABORTED
   */
  share(request: ShareRequest, signal: AbortSignal): Promise<Share> {
    return this.#inTurn(() => this.#share(request, AbortSignal.any([signal, this.#ending.signal])));
  }

  /** @returns whether it was shared */
  unshare(infoHash: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const live = this.#live.get(infoHash);
      if (live === undefined) return false;
      this.#live.delete(infoHash);
      this.#count();
      await removeShare(this.#folder, infoHash);
      await this.#publisher.publish();
      await this.#seeder.stop(infoHash);
      for (const digest of live.record.pinned) if (!this.needs(digest)) await this.#deps.store.unpin(digest);
      return true;
    });
  }

  async close(): Promise<void> {
    this.#ending.abort(new DamselflyError('ABORTED', 'the daemon stops'));
    this.#publisher.close();
    await this.#inTurn(async () => {});
    await this.#seeder.close();
  }

  async #share(request: ShareRequest, signal: AbortSignal): Promise<Share> {
    const { announceTo } = this.#options;
    if (announceTo.length === 0) {
      const message =
        'BitTorrent clients find each other by a tracker: start the daemon with --tracker, or name one with --bt-tracker';
      throw new DamselflyError('CONFIG_INVALID', message);
    }
    const parts = request.parts.map(partOf);
    const known = [...this.#live.values()].find(({ record }) => isSame(record, request, parts));
    if (known !== undefined) return describeShare(known);
    if (this.#live.size >= MAX_SHARES) {
      throw new DamselflyError('CONFIG_INVALID', `${MAX_SHARES} files are shared already: unshare some`);
    }
    const content = new SharedContent(this.#deps, parts);
    if (content.size === 0) throw new DamselflyError('BLOB_UNKNOWN', 'there is nothing in it to share');
    try {
      // Until it is written down that they are needed, nothing may take them away.
      const pinned = await this.#pin(parts);
      try {
        const { hashContent, infoHashOf, torrentFile } = await import('./metainfo.ts');
        const { info, sha256 } = await hashContent(request.name, content, signal);
        const infoHash = infoHashOf(info);
        if (this.#live.has(infoHash)) {
          const message = `${request.name} is shared already, with another passkey: unshare it first`;
          throw new DamselflyError('CONFIG_INVALID', message);
        }
        const passkey = request.passkey ?? randomBytes(PASSKEY_BYTES).toString('hex');
        const announce = announceTo.map((base) => `${base}${ANNOUNCE_PATH}/${passkey}`);
        const comment = request.source;
        const record: ShareRecord = {
          ...{ infoHash, announce, passkey, parts, pinned },
          ...{ source: request.source, name: info.name, size: info.size, pieceBytes: info.pieceBytes },
          digest: `sha256:${sha256}`,
          torrent: torrentFile(info, { announce, comment }),
        };
        return await this.#begin(record, content, signal);
      } catch (error) {
        for (const digest of pinned) if (!this.needs(digest)) await this.#deps.store.unpin(digest);
        throw error;
      }
    } finally {
      if (![...this.#live.values()].some(({ record }) => record.parts === parts)) await content.close();
    }
  }

  async #begin(record: ShareRecord, content: SharedContent, signal: AbortSignal): Promise<Share> {
    const { infoHash, pieceBytes, size, torrent } = record;
    const live = liveOf(record);
    this.#live.set(infoHash, live);
    try {
      // Before the first announce, which they would refuse.
      await this.#publisher.publish();
      live.port = await this.#seeder.seed({ infoHash, pieceBytes, size, torrent, content }, signal);
      await writeShare(this.#folder, record);
    } catch (error) {
      this.#live.delete(infoHash);
      await this.#publisher.publish();
      await this.#seeder.stop(infoHash);
      throw error;
    }
    this.#count();
    const { log } = this.#deps;
    log.info({ infoHash, source: record.source, size }, 'shared: whoever has the torrent may read it');
    return describeShare(live);
  }

  async #resume(): Promise<void> {
    const { log } = this.#deps;
    await this.#publisher.publish();
    for (const live of this.#live.values()) {
      const { infoHash, parts, pieceBytes, size, source, torrent } = live.record;
      const content = new SharedContent(this.#deps, parts);
      try {
        // Whether it is all still here.
        await this.#check(parts);
        live.port = await this.#seeder.seed(
          { infoHash, pieceBytes, size, torrent, content },
          this.#ending.signal,
        );
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        live.problem = describeError(error);
        log.warn({ infoHash, source, error: live.problem }, 'a torrent is not shared any more');
      }
    }
  }

  async #check(parts: readonly Part[]): Promise<void> {
    for (const part of parts) {
      if (part.kind === 'blob' && this.#deps.store.get(part.digest)?.complete !== true) {
        throw absent(part.digest);
      }
    }
  }

  /** @returns those that were not pinned before */
  async #pin(parts: readonly Part[]): Promise<Digest[]> {
    await this.#check(parts);
    const pinned: Digest[] = [];
    for (const part of parts) {
      if (part.kind !== 'blob' || this.#deps.store.get(part.digest)?.pinned !== false) continue;
      if (await this.#deps.store.pin(part.digest)) pinned.push(part.digest);
    }
    return pinned;
  }

  #note(infoHash: string, news: Pick<Live, 'announced' | 'problem'>): void {
    const live = this.#live.get(infoHash);
    if (live !== undefined) Object.assign(live, news);
  }

  #count(): void {
    this.#deps.metrics.bittorrentShares.set(this.#live.size);
  }
}

function liveOf(record: ShareRecord): Live {
  return { record, port: null, announced: false, problem: null, sentBytes: 0 };
}

function describeShare({ announced, port, problem, record, sentBytes }: Live): Share {
  const { announce, digest, infoHash, name, size, source, torrent } = record;
  return {
    ...{ infoHash, source, name, size, digest, announce, port, announced, problem, sentBytes },
    magnet: magnetLink(infoHash, record, announce),
    torrent: Buffer.from(torrent).toString('base64'),
  };
}

function partOf(part: ShareRequest['parts'][number]): Part {
  if ('bytes' in part) return { kind: 'bytes', bytes: new Uint8Array(Buffer.from(part.bytes, 'base64')) };
  return { kind: 'blob', digest: parseDigest(part.digest), size: part.size };
}

function isSame(record: ShareRecord, { name, passkey }: ShareRequest, parts: readonly Part[]): boolean {
  if (record.name !== name || (passkey !== undefined && record.passkey !== passkey)) return false;
  return (
    record.parts.length === parts.length &&
    record.parts.every((part, index) => {
      const other = parts[index];
      if (part.kind === 'blob') return other?.kind === 'blob' && other.digest === part.digest;
      return other?.kind === 'bytes' && Buffer.compare(part.bytes, other.bytes) === 0;
    })
  );
}

function absent(digest: Digest): DamselflyError {
  return new DamselflyError('BLOB_UNKNOWN', `${digest} is not here, or not whole: pull it first`, { digest });
}
