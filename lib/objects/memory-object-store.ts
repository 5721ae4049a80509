import { DamselflyError } from '../core/errors.ts';
import { MIN_PART_BYTES, type ObjectFacts, type ObjectPart, type ObjectStore } from './object-store.ts';

/** The twin of an object store in memory. */
export class MemoryObjectStore implements ObjectStore {
  readonly objects = new Map<string, Uint8Array>();
  /** Uploads that were ever begun. */
  begun = 0;
  /** Of them, those that were neither completed nor aborted. */
  open = 0;
  /** While set, nothing works. */
  failing = false;
  /** While set, nothing can be changed. */
  readOnly = false;
  /** It fails once so much more was read. */
  failsAfterBytes = Number.POSITIVE_INFINITY;
  readonly #versions = new WeakMap<Uint8Array, string>();
  #lastVersion = 0;

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#check();
    return this.objects.get(key);
  }

  async stat(key: string): Promise<ObjectFacts | undefined> {
    this.#check();
    const bytes = this.objects.get(key);
    return bytes && { size: bytes.length, version: this.#versionOf(bytes) };
  }

  async read(
    key: string,
    { end, start }: { readonly start: number; readonly end: number },
  ): Promise<ObjectPart | undefined> {
    this.#check();
    const whole = this.objects.get(key);
    const bytes = whole?.subarray(start, end);
    const take = (length: number): void => {
      this.failsAfterBytes -= length;
      if (this.failsAfterBytes < 0) this.failing = true;
      this.#check();
    };
    if (whole === undefined || bytes === undefined) return undefined;
    const chunks = (async function* () {
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
        const chunk = bytes.subarray(at, at + CHUNK_BYTES);
        take(chunk.length);
        yield chunk;
      }
    })();
    return { bytes: chunks, version: this.#versionOf(whole) };
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    this.#checkChange();
    this.objects.set(key, bytes.slice());
  }

  async begin(key: string) {
    this.#checkChange();
    this.open++;
    this.begun++;
    const parts: Uint8Array[] = [];
    let given = false;
    return {
      part: async (number: number, bytes: Uint8Array): Promise<void> => {
        this.#check();
        parts[number - 1] = bytes.slice();
      },
      complete: async (): Promise<void> => {
        this.#check();
        if (given) throw new DamselflyError('STORE_FAILED', 'the upload was given up', { key });
        if (parts.slice(0, -1).some((part) => part.length < MIN_PART_BYTES)) {
          throw new DamselflyError('STORE_FAILED', 'a part is too small', { key });
        }
        this.objects.set(key, Buffer.concat(parts));
        this.open--;
      },
      abort: async (): Promise<void> => {
        given = true;
        this.open--;
      },
    };
  }

  async remove(key: string): Promise<void> {
    this.#checkChange();
    this.objects.delete(key);
  }

  close(): void {}

  #versionOf(bytes: Uint8Array): string {
    const version = this.#versions.get(bytes) ?? String(++this.#lastVersion);
    this.#versions.set(bytes, version);
    return version;
  }

  #checkChange(): void {
    this.#check();
    if (this.readOnly) throw new DamselflyError('STORE_FAILED', 'the object store is for reading');
  }

  #check(): void {
    if (this.failing) throw new DamselflyError('STORE_FAILED', 'the object store does not answer');
  }
}

const CHUNK_BYTES = 64 * 1024;
