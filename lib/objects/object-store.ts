/**
 * Bytes by name, far away and for good: S3, or what speaks like it. Every method rejects with STORE_FAILED when the
 * store cannot be reached or refuses, with ABORTED when the signal fires first.
 */
export interface ObjectStore {
  /**
   * The whole object; undefined when it is not there, or only after it was thawed. For small ones: one that is far too
   * large is a failure.
   */
  get(key: string, options: { readonly signal: AbortSignal }): Promise<Uint8Array | undefined>;
  /** What is known of the object; undefined as for {@link get}. */
  stat(key: string, options: { readonly signal: AbortSignal }): Promise<ObjectFacts | undefined>;
  /** Its bytes from `start` to `end`, exclusive; undefined as for {@link get}. Nothing is verified here. */
  read(
    key: string,
    range: { readonly start: number; readonly end: number },
    options: { readonly signal: AbortSignal },
  ): Promise<ObjectPart | undefined>;
  /** Replaces what is there. */
  put(key: string, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Begins an object that comes in parts; nobody sees it before it is completed. */
  begin(key: string, options: { readonly signal: AbortSignal }): Promise<PartsUpload>;
  /** Whether or not it is there. */
  remove(key: string, options: { readonly signal: AbortSignal }): Promise<void>;
  close(): void;
}

export interface ObjectFacts {
  /** Bytes. */
  readonly size: number;
  /** Another one after the object was put anew, be it with the same bytes a second later. */
  readonly version: string;
}

export interface ObjectPart extends Pick<ObjectFacts, 'version'> {
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** An object on its way; each but the last part has at least {@link MIN_PART_BYTES}. */
export interface PartsUpload {
  /** @param number from 1 on */
  part(number: number, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;
  /** The object is there, with the parts in the order of their numbers. */
  complete(options: { readonly signal: AbortSignal }): Promise<void>;
  /** Forgets the parts. */
  abort(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** S3 takes no smaller part, but for the last one. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;
/** S3 takes no more parts of one object. */
export const MOST_PARTS = 10_000;
