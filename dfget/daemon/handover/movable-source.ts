import type { BlobRequest, BlobSource, Right, RightSubject } from '../../../lib/core/blob-source.ts';
import { DamselflyError } from '../../../lib/core/errors.ts';
import { withAbort } from '../../../lib/core/single-flight.ts';
import { restOf } from './rest-of.ts';

/** A source that can be exchanged under its readers: each goes on where it stands, and sees nothing but a pause. */
export class MovableSource implements BlobSource {
  #source: Promise<BlobSource>;
  #moved = new AbortController();
  /** Readers that wait for bytes of the source as it is. */
  readonly #asking = new Set<Promise<unknown>>();

  constructor(source: BlobSource) {
    this.#source = Promise.resolve(source);
  }

  /**
   * Readers wait for the next source, and go on with it.
   * @returns when nobody waits for bytes of the old one any more
   */
  async moveTo(next: Promise<BlobSource>): Promise<void> {
    const moved = this.#moved;
    this.#source = next;
    this.#moved = new AbortController();
    // Whoever reads is told.
    next.catch(() => {});
    moved.abort(new DamselflyError('ABORTED', 'the blobs are with another process now'));
    await Promise.allSettled(this.#asking);
  }

  prepare(requests: readonly BlobRequest[]): void {
    this.#source.then(
      (source) => source.prepare?.(requests),
      () => {},
    );
  }

  async right(subject: RightSubject, options: { readonly signal: AbortSignal }): Promise<Right | undefined> {
    const source = await withAbort(this.#source, options.signal);
    return await source.right?.(subject, options);
  }

  async *open(
    request: BlobRequest,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    let sent = 0;
    for (let rest = restOf(request, 0); rest !== undefined; rest = restOf(request, sent)) {
      const { signal: moved } = this.#moved;
      const source = await withAbort(this.#source, signal);
      const either = new AbortController();
      const stop = (): void => either.abort(signal.aborted ? signal.reason : moved.reason);
      // Taken off again: `moved` outlives thousands of readers.
      for (const each of [signal, moved]) each.addEventListener('abort', stop, { once: true });
      const bytes = source.open(rest, { signal: either.signal })[Symbol.asyncIterator]();
      try {
        while (!moved.aborted) {
          const next = await this.#ask(bytes.next());
          if (next.done === true) return;
          sent += next.value.length;
          yield next.value;
        }
      } catch (error) {
        if (signal.aborted || !moved.aborted) throw error;
      } finally {
        for (const each of [signal, moved]) each.removeEventListener('abort', stop);
        await bytes.return?.();
      }
    }
  }

  async #ask<T>(asked: Promise<T>): Promise<T> {
    this.#asking.add(asked);
    try {
      return await asked;
    } finally {
      this.#asking.delete(asked);
    }
  }
}
