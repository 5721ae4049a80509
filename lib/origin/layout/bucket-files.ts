import { DamselflyError, describeError, hasCode } from '../../core/errors.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import type { LayoutFiles } from './layout-files.ts';

/** The objects of a bucket. */
export function openBucket(place: string, opening: Promise<ObjectStore>): LayoutFiles {
  // Told to whoever asks for an object.
  opening.catch(() => {});
  const use = async <T>(act: (objects: ObjectStore) => Promise<T>): Promise<T> => {
    try {
      return await act(await opening);
    } catch (error) {
      throw told('UPSTREAM_UNREACHABLE', error);
    }
  };
  return {
    place,
    async exists(signal) {
      await use(async (objects) => {
        const found = await objects.stat('oci-layout', { signal });
        // Only a GET tells a bucket that is not there; one without a layout at its top may have some below it.
        if (found === undefined) await objects.get('oci-layout', { signal });
      });
      return true;
    },
    size: async (name, signal) => (await use((objects) => objects.stat(name, { signal })))?.size,
    async *read(name, range, signal) {
      const part = await use((objects) => objects.read(name, range, { signal }));
      if (part === undefined) throw new DamselflyError('UPSTREAM_BROKEN', `${name} is gone from ${place}`);
      try {
        yield* part.bytes;
      } catch (error) {
        throw told('UPSTREAM_BROKEN', error);
      }
    },
    close: async () => (await opening.catch(() => undefined))?.close(),
  };
}

function told(code: 'UPSTREAM_UNREACHABLE' | 'UPSTREAM_BROKEN', error: unknown): unknown {
  if (hasCode(error, 'ABORTED')) return error;
  const message = error instanceof DamselflyError ? error.message : describeError(error);
  return new DamselflyError(code, message, {}, { cause: error });
}
