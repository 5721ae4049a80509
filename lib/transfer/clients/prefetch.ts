import type { BlobRequest } from '../../core/blob-source.ts';
import type { Digest } from '../../core/digest.ts';
import { describeError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import type { BlobStore } from '../../store/store.ts';
import { SMALL_BLOB_BYTES } from '../../wire/small-blobs-codec.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';

/** More than that many are not kept waiting: their clients ask for them anyway. */
const MOST_QUEUED = 4096;

/**
 * Fetches the blobs of images before clients ask for them: one at a time, so that what clients wait for has the line,
 * in the order of the manifest. Small ones come by themselves.
 */
export class Prefetch {
  readonly #deps: { readonly log: Logger; readonly store: BlobStore };
  readonly #share: (request: BlobRequest) => Promise<SharedBlob | undefined>;
  readonly #queue = new Map<Digest, BlobRequest>();
  #current: SharedBlob | undefined;
  #starting = false;

  /** @param share takes a blob into the swarm */
  constructor(
    deps: { readonly log: Logger; readonly store: BlobStore },
    share: (request: BlobRequest) => Promise<SharedBlob | undefined>,
  ) {
    this.#deps = deps;
    this.#share = share;
  }

  add(requests: readonly BlobRequest[]): void {
    for (const request of requests) {
      if (request.size <= SMALL_BLOB_BYTES || this.#queue.size >= MOST_QUEUED) continue;
      // The newest caller's right is the likeliest to be valid still.
      this.#queue.set(request.digest, request);
    }
    this.goOn();
  }

  /** Begins with the next one when the last has ended, well or badly. */
  goOn(): void {
    const { store } = this.#deps;
    const { failure, retired, stored } = this.#current ?? {};
    const ended = stored === undefined || stored.complete || retired === true || failure !== undefined;
    if (this.#starting || !ended) return;
    this.#current = undefined;
    for (const [digest, request] of this.#queue) {
      this.#queue.delete(digest);
      if (store.get(digest)?.complete === true) continue;
      this.#starting = true;
      void this.#start(request).finally(() => {
        this.#starting = false;
      });
      return;
    }
  }

  async #start(request: BlobRequest): Promise<void> {
    try {
      this.#current = await this.#share(request);
      if (this.#current !== undefined) this.#current.prefetched = true;
    } catch (error) {
      // A client that asks for it meets the same trouble, and is told.
      const facts = { digest: request.digest, error: describeError(error) };
      this.#deps.log.warn(facts, 'a blob could not be prefetched');
    }
  }
}
