import { describeError } from '../core/errors.ts';
import type { BlobInfo } from '../core/geometry.ts';
import type { Disk } from './disk/disk.ts';
import type { HeldPieces } from './held-pieces.ts';
import { OpenBlob, type OpenBlobDeps } from './open-blob.ts';
import { blobPath, ingestPath } from './path.ts';
import type { BlobRecord } from './record.ts';
import type { Recordable } from './record-writer.ts';
import { storeError } from './store-error.ts';
import type { PastTrust } from './trust.ts';

export interface BlobEntryDeps extends OpenBlobDeps {
  readonly disk: Disk;
}

/**
 * What the store knows of one blob, open or not, and its way from the first opener to the last: small, because there
 * may be 100,000. Its file, pieces and proofs are in memory while somebody has it open.
 */
export class BlobEntry implements Recordable {
  readonly info: BlobInfo;
  complete: boolean;
  synced: boolean;
  pinned: boolean;
  usedAtMs: number;
  heldBytes: number;
  boot: number;
  openers = 0;
  /** Openers of ours that only look, and soon leave. */
  examiners = 0;
  /** Somebody asked for the removal, which happens when the last opener has closed. */
  removal: PromiseWithResolvers<void> | undefined;
  /** Leaving the store: too late to want it again. */
  dropping = false;
  /** No longer in the store: a new entry takes its place. */
  dropped = false;
  /** There while it is in use, and afterwards until all of it is recorded. */
  blob: OpenBlob | undefined;
  /** What was verified when the file was last closed. */
  trust: PastTrust | undefined;
  readonly #deps: BlobEntryDeps;
  /** Opening, committing, resetting and closing happen one after another. */
  #last: Promise<unknown> | undefined;
  /** It has no file yet. */
  fresh = true;

  constructor(deps: BlobEntryDeps, record: BlobRecord) {
    this.#deps = deps;
    this.info = record.info;
    this.complete = record.complete;
    this.synced = record.synced;
    this.pinned = record.pinned;
    this.usedAtMs = record.usedAtMs;
    this.heldBytes = record.heldBytes;
    this.boot = record.boot;
  }

  get pieces(): HeldPieces | undefined {
    return this.blob?.pieces;
  }

  /** Where its file is. */
  get path(): string {
    return (this.complete ? blobPath : ingestPath)(this.#deps.folder, this.info.digest);
  }

  /** Runs the job when the ones before it have ended, however they did. */
  inTurn<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#last === undefined ? job() : this.#last.then(job);
    const settled = result.catch(() => {});
    this.#last = settled;
    void settled.then(() => {
      if (this.#last === settled) this.#last = undefined;
    });
    return result;
  }

  /** Call after counting an opener: afterwards the file is open, or the entry is {@link dropped}. @throws STORE_* */
  ready(): Promise<void> {
    return this.inTurn(async () => {
      if (this.dropped || this.blob?.isOpen === true) return;
      this.blob ??= new OpenBlob(this.#deps, this);
      try {
        if (!(await this.blob.open())) await this.#drop();
      } catch (error) {
        await this.#closeFile();
        throw storeError(error, 'open a blob', { digest: this.info.digest });
      }
    });
  }

  /** Call after an opener has gone: ends what only openers need. Never rejects, but tells a waiting removal. */
  idle(): Promise<void> {
    return this.inTurn(async () => {
      await this.blob?.written();
      if (this.openers > 0 || this.dropped) return;
      try {
        const empty = this.fresh || this.blob?.empty === true;
        if (this.removal !== undefined || (empty && !this.complete)) {
          await this.#drop();
          return;
        }
        await this.blob?.settle();
      } catch (error) {
        const failure = storeError(error, 'close a blob', { digest: this.info.digest });
        const facts = { digest: this.info.digest, error: describeError(failure) };
        this.#deps.log.warn(facts, 'closing a blob failed');
        this.removal?.reject(failure);
        this.removal = undefined;
      }
      await this.#closeFile();
    });
  }

  /** Records first: a file without a record is litter, a record without its file a lie, though a start sees it. */
  async #drop(): Promise<void> {
    const { records, log } = this.#deps;
    this.dropping = true;
    const { path } = this;
    try {
      await records.drop(this).catch(async (error: unknown) => {
        if (storeError(error, 'remove a blob').code !== 'STORE_FULL') throw error;
        // A full disk takes no record, not even this one: the file makes room for it.
        await this.#removeFile(path);
        await records.drop(this);
      });
    } catch (error) {
      this.dropping = false;
      throw error;
    }
    this.dropped = true;
    await this.#removeFile(path).catch((error: unknown) => {
      log.warn({ path, error: describeError(error) }, 'a file could not be removed');
    });
    this.removal?.resolve();
    this.removal = undefined;
  }

  async #removeFile(path: string): Promise<void> {
    await this.blob?.close();
    this.blob = undefined;
    await this.#deps.disk.remove(path);
  }

  async #closeFile(): Promise<void> {
    const { blob } = this;
    if (blob === undefined) return;
    await blob.close();
    // Kept when not all of it could be recorded.
    if (!blob.pieces.dirty) this.blob = undefined;
  }
}
