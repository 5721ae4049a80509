import type { Readable } from 'node:stream';
import type * as S3 from '@aws-sdk/client-s3';
import { abortedError, DamselflyError } from '../../core/errors.ts';
import type { S3Address } from '../../core/s3-address.ts';
import type { ObjectFacts, ObjectPart, ObjectStore, PartsUpload } from '../object-store.ts';

const CONNECT_TIMEOUT_MS = 2_000;
/** Without a byte in either direction. */
const SILENT_TIMEOUT_MS = 10_000;
const MAX_ATTEMPTS = 3;
/** More is not taken into memory: others may write to the bucket. The index of a blob of a tebibyte has half of it. */
const MOST_WHOLE_BYTES = 64 * 1024 * 1024;

/** What a bucket answers for an object that is not there, or not at once (moved to an archive by a lifecycle rule). */
const ABSENT = new Set(['NoSuchKey', 'NotFound', 'InvalidObjectState']);

interface Options {
  readonly signal: AbortSignal;
}

/**
 * A bucket, by the official SDK: credentials and whatever the address leaves open come from where it always finds them
 * (AWS_ACCESS_KEY_ID and its like, profiles, the roles of machines and pods).
 */
export async function openS3(address: S3Address): Promise<ObjectStore> {
  // Loaded by supernodes with a bucket, and by nobody else: it is large.
  const sdk = await import('@aws-sdk/client-s3');
  const { endpoint, region } = address;
  const client = new sdk.S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    forcePathStyle: address.pathStyle,
    maxAttempts: MAX_ATTEMPTS,
    // Many stores that speak S3 know no trailing checksums; what comes back is held against our own.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENT_TIMEOUT_MS },
  });
  return new S3ObjectStore(sdk, client, address);
}

class S3ObjectStore implements ObjectStore {
  readonly #sdk: typeof S3;
  readonly #client: S3.S3Client;
  readonly #address: S3Address;

  constructor(sdk: typeof S3, client: S3.S3Client, address: S3Address) {
    this.#sdk = sdk;
    this.#client = client;
    this.#address = address;
  }

  async get(key: string, { signal }: Options): Promise<Uint8Array | undefined> {
    const command = new this.#sdk.GetObjectCommand(this.#at(key));
    const answer = await this.#tryFound(signal, key, () =>
      this.#client.send(command, { abortSignal: signal }),
    );
    const body = answer?.Body;
    if (answer === undefined || body === undefined) return undefined;
    if ((answer.ContentLength ?? Number.POSITIVE_INFINITY) > MOST_WHOLE_BYTES) {
      (body as unknown as Readable).destroy();
      throw this.#told(signal, key, new Error(`${key} is larger than ${MOST_WHOLE_BYTES} bytes`));
    }
    return await this.#try(signal, key, () => body.transformToByteArray());
  }

  async stat(key: string, { signal }: Options): Promise<ObjectFacts | undefined> {
    const command = new this.#sdk.HeadObjectCommand(this.#at(key));
    const answer = await this.#tryFound(signal, key, () =>
      this.#client.send(command, { abortSignal: signal }),
    );
    if (answer === undefined) return undefined;
    const { ContentLength: size } = answer;
    if (size === undefined) throw this.#told(signal, key, new Error('an object without a length'));
    return { size, version: versionOf(answer) };
  }

  async read(
    key: string,
    { end, start }: { readonly start: number; readonly end: number },
    { signal }: Options,
  ): Promise<ObjectPart | undefined> {
    const command = new this.#sdk.GetObjectCommand({ ...this.#at(key), Range: `bytes=${start}-${end - 1}` });
    const answer = await this.#tryFound(signal, key, () =>
      this.#client.send(command, { abortSignal: signal }),
    );
    if (answer?.Body === undefined) return undefined;
    const failed = (error: unknown): DamselflyError => this.#told(signal, key, error);
    const body = answer.Body as unknown as AsyncIterable<Uint8Array>;
    const bytes = (async function* () {
      let left = end - start;
      try {
        for await (const chunk of body) {
          left -= chunk.length;
          if (left < 0) throw new Error('more bytes than were asked for');
          yield chunk;
        }
      } catch (error) {
        throw failed(error);
      }
      if (left > 0) throw failed(new Error(`${left} bytes are missing`));
    })();
    return { bytes, version: versionOf(answer) };
  }

  async put(key: string, bytes: Uint8Array, { signal }: Options): Promise<void> {
    const command = new this.#sdk.PutObjectCommand({ ...this.#at(key), Body: bytes });
    await this.#try(signal, key, () => this.#client.send(command, { abortSignal: signal }));
  }

  async begin(key: string, { signal }: Options): Promise<PartsUpload> {
    const sdk = this.#sdk;
    const at = this.#at(key);
    const send = <Output>(signal: AbortSignal, act: () => Promise<Output>): Promise<Output> =>
      this.#try(signal, key, act);
    const begun = new sdk.CreateMultipartUploadCommand(at);
    const { UploadId } = await send(signal, () => this.#client.send(begun, { abortSignal: signal }));
    if (UploadId === undefined) throw this.#told(signal, key, new Error('an upload without an id'));
    const parts: S3.CompletedPart[] = [];
    return {
      part: async (PartNumber, Body, { signal }) => {
        const command = new sdk.UploadPartCommand({ ...at, UploadId, PartNumber, Body });
        const { ETag } = await send(signal, () => this.#client.send(command, { abortSignal: signal }));
        parts.push({ PartNumber, ETag });
      },
      complete: async ({ signal }) => {
        const Parts = parts.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
        const command = new sdk.CompleteMultipartUploadCommand({
          ...at,
          UploadId,
          MultipartUpload: { Parts },
        });
        await send(signal, () => this.#client.send(command, { abortSignal: signal }));
      },
      abort: async ({ signal }) => {
        const command = new sdk.AbortMultipartUploadCommand({ ...at, UploadId });
        await send(signal, () => this.#client.send(command, { abortSignal: signal }));
      },
    };
  }

  async remove(key: string, { signal }: Options): Promise<void> {
    const command = new this.#sdk.DeleteObjectCommand(this.#at(key));
    await this.#try(signal, key, () => this.#client.send(command, { abortSignal: signal }));
  }

  close(): void {
    this.#client.destroy();
  }

  #at(key: string): { Bucket: string; Key: string } {
    const { bucket, prefix } = this.#address;
    return { Bucket: bucket, Key: `${prefix}${key}` };
  }

  async #tryFound<T>(signal: AbortSignal, key: string, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      if (ABSENT.has((error as Error).name)) return undefined;
      throw this.#told(signal, key, error);
    }
  }

  async #try<T>(signal: AbortSignal, key: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw this.#told(signal, key, error);
    }
  }

  #told(signal: AbortSignal, key: string, error: unknown): DamselflyError {
    if (signal.aborted) return abortedError(signal);
    const { message, name } = error as Error;
    const why = message === '' || message === 'UnknownError' ? name : message;
    const facts = { bucket: this.#address.bucket, key };
    return new DamselflyError('STORE_FAILED', `the bucket ${this.#address.bucket}: ${why}`, facts, {
      cause: error,
    });
  }
}

/** The same bytes have the same ETag each time they are put. */
function versionOf({ ETag = '', LastModified }: Pick<S3.GetObjectOutput, 'ETag' | 'LastModified'>): string {
  return `${ETag} ${LastModified?.getTime() ?? ''}`;
}
