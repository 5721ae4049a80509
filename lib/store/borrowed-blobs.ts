import { join } from 'node:path';
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../core/digest.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import { type BlobInfo, blobInfo, MAX_BLOB_BYTES } from '../core/geometry.ts';
import type { Logger } from '../observe/log.ts';
import { type Clock, every } from '../runtime/clock.ts';
import { type Rng, randomHex } from '../runtime/rng.ts';
import { BorrowedBlob } from './borrowed-blob.ts';
import type { Disk, DiskFile } from './disk/disk.ts';
import { createSerial } from './serial.ts';
import type { BlobStore, BlobSummary, CollectReport, StoredBlob, VerifyReport } from './store.ts';
import { storeError } from './store-error.ts';
import { type VerifiedFile, verifyFile } from './verified-file.ts';

/** How often the folder is listed. Whoever asks for a blob finds it at once. */
const LOOK_MS = 15_000;

export interface BorrowedBlobsDeps {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Files named by the hex digits of their SHA-256: another program's, never written or removed here. */
  readonly folder: string;
}

export interface BorrowedStore extends BlobStore {
  /** Looks whether the blob is there now, without reading it: `get` knows afterwards. */
  find(digest: Digest): Promise<void>;
}

/** Where containerd keeps blobs under its root. */
export function containerdBlobs(root: string): string {
  return join(root, 'io.containerd.content.v1.content', 'blobs', 'sha256');
}

/**
 * A store that only reads, of blobs that another program keeps. Each is read and hashed whole before the first byte of
 * it is given away, and again when its file was changed. Nothing can be created in it, removed or pinned.
 * @throws STORE_FAILED when the folder is there and cannot be listed
 */
export async function openBorrowedBlobs(deps: BorrowedBlobsDeps): Promise<BorrowedStore> {
  const store = new BorrowedBlobs(deps);
  try {
    await store.look();
  } catch (error) {
    await store.close();
    const { folder } = deps;
    throw storeError(error, `list the blobs in ${folder}: the daemon must be able to read them`, { folder });
  }
  return store;
}

class BorrowedBlobs implements BorrowedStore {
  readonly #deps: BorrowedBlobsDeps;
  /** Sizes of what was there when we last looked. */
  #known = new Map<Digest, BlobInfo>();
  readonly #verified = new Map<Digest, VerifiedFile>();
  /** Stamps of files that are not what their names say. */
  readonly #wrong = new Map<Digest, string>();
  /** One file at a time is hashed, so that disk and processor serve others too. */
  readonly #inTurn = createSerial();
  readonly #listeners: ((info: BlobInfo, index: number) => void)[] = [];
  readonly #stop: () => void;

  constructor(deps: BorrowedBlobsDeps) {
    this.#deps = deps;
    this.#stop = every(deps.clock, LOOK_MS, () => {
      this.look().catch((error: unknown) => {
        const facts = { folder: deps.folder, error: describeError(error) };
        deps.log.warn(facts, 'borrowed blobs could not be listed');
      });
    });
  }

  /** Lists the folder. @throws what the disk throws */
  async look(): Promise<void> {
    const { disk, folder } = this.#deps;
    const found = new Map<Digest, BlobInfo>();
    for (const name of await disk.list(folder)) {
      const digest = `sha256:${name}`;
      if (!isDigest(digest)) continue;
      const info = this.#known.get(digest) ?? (await this.#infoOf(digest));
      if (info !== undefined) found.set(digest, info);
    }
    this.#known = found;
    for (const digest of this.#verified.keys()) if (!found.has(digest)) this.#verified.delete(digest);
    for (const digest of this.#wrong.keys()) if (!found.has(digest)) this.#wrong.delete(digest);
  }

  async find(digest: Digest): Promise<void> {
    const info = await this.#infoOf(digest);
    if (info === undefined) this.#known.delete(digest);
    else this.#known.set(digest, info);
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    const info = await this.#infoOf(digest);
    const blob = info === undefined ? undefined : await this.#open(info);
    if (info === undefined || blob === undefined) this.#known.delete(digest);
    else this.#known.set(digest, info);
    return blob;
  }

  async create(info: BlobInfo): Promise<StoredBlob> {
    const { digest, pieceBytes, size } = info;
    const blob = await this.open(digest);
    if (blob?.info.size === size && blob.info.pieceBytes === pieceBytes) return blob;
    await blob?.close();
    throw new DamselflyError('STORE_READ_ONLY', 'a folder of borrowed blobs is only read', { digest });
  }

  get(digest: Digest): BlobSummary | undefined {
    const info = this.#wrong.has(digest) ? undefined : this.#known.get(digest);
    return info && { info, bytes: info.size, complete: true, pinned: false, usedAtMs: 0, borrowed: true };
  }

  list(): readonly BlobSummary[] {
    return [...this.#known.keys()].flatMap((digest) => this.get(digest) ?? []);
  }

  async remove(): Promise<boolean> {
    return false;
  }

  async pin(): Promise<boolean> {
    return false;
  }

  async unpin(): Promise<boolean> {
    return false;
  }

  async gc(): Promise<CollectReport> {
    return { removed: [], freedBytes: 0 };
  }

  async verify(digest: Digest): Promise<VerifyReport | undefined> {
    const known = this.#known.get(digest);
    this.#verified.delete(digest);
    const blob = await this.open(digest);
    await blob?.close();
    return known && { pieces: known.pieces, lost: blob === undefined ? known.pieces : 0 };
  }

  async export(digest: Digest, path: string): Promise<void> {
    const { disk } = this.#deps;
    const blob = await this.open(digest);
    if (blob === undefined) throw new DamselflyError('BLOB_UNKNOWN', 'the blob is not here', { digest });
    const part = `${path}.part`;
    try {
      await disk.copy(this.#path(digest), part);
      // Tells whether the file changed while it was copied.
      await blob.read(0, new Uint8Array(1));
      await disk.rename(part, path);
    } catch (error) {
      await disk.remove(part).catch(() => {});
      throw storeError(error, `export a blob to ${path}`, { digest });
    } finally {
      await blob.close();
    }
  }

  onLoss(listener: (info: BlobInfo, index: number) => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    this.#stop();
    await this.#inTurn(async () => {});
  }

  async #open(info: BlobInfo): Promise<StoredBlob | undefined> {
    const { digest } = info;
    let file: DiskFile | undefined;
    let blob: StoredBlob | undefined;
    try {
      const opened = await this.#deps.disk.openToRead(this.#path(digest));
      file = opened;
      if (opened === undefined) return undefined;
      const verified = await this.#inTurn(() => this.#verify(info, opened));
      if (verified === undefined) return undefined;
      blob = new BorrowedBlob(info, opened, verified, (index) => this.#lost(info, index));
      return blob;
    } catch (error) {
      throw storeError(error, 'read a borrowed blob', { digest });
    } finally {
      if (blob === undefined) await file?.close();
    }
  }

  async #verify(info: BlobInfo, file: DiskFile): Promise<VerifiedFile | undefined> {
    const { log, rng } = this.#deps;
    const { digest, size } = info;
    const stamp = file.stamp();
    const before = this.#verified.get(digest);
    if (before?.stamp === stamp) return before;
    this.#verified.delete(digest);
    if (this.#wrong.get(digest) === stamp) return undefined;
    const verified = await verifyFile(file, info, randomHex(rng, 8));
    if (verified === undefined) {
      this.#wrong.set(digest, stamp);
      log.warn({ digest, size }, 'a borrowed file is not the blob that its name says: not used');
    } else {
      this.#wrong.delete(digest);
      this.#verified.set(digest, verified);
    }
    return verified;
  }

  #lost(info: BlobInfo, index: number): void {
    const { digest } = info;
    this.#deps.log.info({ digest }, 'a borrowed blob was changed or removed: no longer shared from there');
    this.#verified.delete(digest);
    this.#known.delete(digest);
    for (const listener of this.#listeners) listener(info, index);
  }

  /** Undefined when no such blob is there. */
  async #infoOf(digest: Digest): Promise<BlobInfo | undefined> {
    if (digestAlgorithm(digest) !== 'sha256') return undefined;
    const size = await this.#deps.disk.size(this.#path(digest));
    return size === undefined || size === 0 || size > MAX_BLOB_BYTES ? undefined : blobInfo(digest, size);
  }

  #path(digest: Digest): string {
    return join(this.#deps.folder, digestHex(digest));
  }
}
