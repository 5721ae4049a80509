import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { arrayBuffer, json, text } from 'node:stream/consumers';
import type { BlobRequest, BlobSource } from '../lib/core/blob-source.ts';
import { abortedError, DamselflyError, ERROR_CODES, type ErrorCode, type Facts } from '../lib/core/errors.ts';
import type { PlanAnswer, PreheatAnswer } from '../lib/transfer/preheat/preheat-questions.ts';
import type { PlanQuestion } from '../lib/wire/plan-messages.ts';
import type { PreheatQuestion } from '../lib/wire/preheat-messages.ts';
import {
  type CacheListing,
  type Collected,
  type DaemonStatus,
  type FileToFind,
  type FoundFile,
  type ImageToKeep,
  type ImportedImage,
  MAX_SOCKET_PATH_BYTES,
  ORIGIN_AUTHORIZATION,
  type PauseAnswer,
  type PauseScope,
  type RegistryAnswer,
  type RemovedBlob,
  type SettingsAnswer,
  type SettingsChange,
  type UpgradeAnswer,
} from './local-protocol.ts';
import type { PauseAction } from './paused-names.ts';
import type { Share, ShareRequest, Unshared } from './torrent/share-protocol.ts';

/** Digests in one question, well below what a request line may hold. */
const MAX_NAMED = 100;

/** The other dfget commands' way to the daemon: its socket. As a BlobSource it reads through the daemon's swarm. */
export interface DaemonClient extends BlobSource {
  status(signal: AbortSignal): Promise<DaemonStatus>;
  registries(signal: AbortSignal): Promise<readonly RegistryAnswer[]>;
  /** Makes pulls of one upstream, or of `all`, go straight to the registry, or no longer. */
  setPause(
    action: PauseAction,
    question: { readonly upstream: string; readonly scope?: PauseScope },
    signal: AbortSignal,
  ): Promise<PauseAnswer>;
  /** The settings in force, after the change if there is one. @throws CONFIG_INVALID, and nothing is changed */
  settings(change: SettingsChange | undefined, signal: AbortSignal): Promise<SettingsAnswer>;
  /** Lets a newer daemon, the program with its first arguments, take over. @throws UPGRADE_FAILED */
  upgrade(program: readonly string[], signal: AbortSignal): Promise<UpgradeAnswer>;
  manifest(
    query: { readonly upstream: string; readonly repository: string; readonly reference: string },
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string; readonly digest: string }>;
  /** What happened to these blobs lately, as JSON lines: docs/TRACE.md. */
  trace(digests: readonly string[], signal: AbortSignal): Promise<string>;
  /** Asks the source of a file whether its caller may have it, and what to ask {@link open} for. @throws UPSTREAM_* */
  findFile(file: FileToFind, signal: AbortSignal): Promise<FoundFile>;
  /** What the store of the daemon holds. */
  cache(signal: AbortSignal): Promise<CacheListing>;
  /** Removes blobs, whatever of each is here; with `image` also the name of an imported one. */
  removeBlobs(
    what: { readonly digests: readonly string[]; readonly image?: string | undefined },
    signal: AbortSignal,
  ): Promise<RemovedBlob[]>;
  /** @returns by digest whether it is here */
  setPinned(
    action: 'pin' | 'unpin',
    digests: readonly string[],
    signal: AbortSignal,
  ): Promise<Record<string, boolean>>;
  collect(signal: AbortSignal): Promise<Collected>;
  /** Asks a tracker about preheat jobs; without its name the one that is connected. @throws TRACKER_UNREACHABLE, JOB_* */
  preheats(
    question: PreheatQuestion,
    tracker: string | undefined,
    signal: AbortSignal,
  ): Promise<PreheatAnswer>;
  /** The same about plans. */
  plans(question: PlanQuestion, tracker: string | undefined, signal: AbortSignal): Promise<PlanAnswer>;
  /** Puts a blob into the store. @returns whether it was new @throws DIGEST_MISMATCH, STORE_* */
  putBlob(
    digest: string,
    size: number,
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<boolean>;
  /** Gives blobs of the store the name of an image, and pins them. @throws BLOB_UNKNOWN, REFERENCE_INVALID */
  keepImage(image: ImageToKeep, signal: AbortSignal): Promise<ImportedImage>;
  /** What is shared with BitTorrent clients. */
  shares(signal: AbortSignal): Promise<readonly Share[]>;
  /** @throws BLOB_UNKNOWN, CONFIG_INVALID, STORE_*, PIECE_MISMATCH */
  share(what: ShareRequest, signal: AbortSignal): Promise<Share>;
  unshare(infoHash: string, signal: AbortSignal): Promise<Unshared>;
  close(): Promise<void>;
}

/** @param traceparent of the command that asks: what it asks for is part of that trace */
export function createDaemonClient(socketPath: string, traceparent?: string): DaemonClient {
  const open = new Set<ClientRequest>();
  const traced = traceparent === undefined ? {} : { traceparent };

  /** One connection per request: a blob must not hold up the others. */
  const ask = async (
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    {
      body,
      method,
    }: { readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'; readonly body: string | Readable | null } = {
      method: 'GET',
      body: null,
    },
  ) => {
    // A daemon that closes behind its answer would cut off a body whose end is still on its way.
    const kept = { ...traced, ...headers, connection: 'keep-alive' };
    const request = httpRequest({ socketPath, path, method, headers: kept, signal, agent: false });
    open.add(request);
    // Told to whoever waits for the answer or reads its body.
    request.on('error', () => {});
    let bodyError: unknown;
    const done = (): void => {
      open.delete(request);
      request.destroy();
    };
    try {
      const answered = once(request, 'response');
      if (body instanceof Readable) {
        body.on('error', (error) => {
          bodyError = error;
          request.destroy();
        });
        body.pipe(request);
      } else request.end(body ?? undefined);
      const [response] = (await answered) as [IncomingMessage];
      if ((response.statusCode ?? 0) >= 300) throw errorOf(await json(response));
      return { response, done };
    } catch (error) {
      done();
      throw translate(bodyError ?? error, socketPath, signal);
    }
  };

  const askJson = async (path: string, signal: AbortSignal, body?: object): Promise<unknown> => {
    const asked =
      body === undefined
        ? ask(path, {}, signal)
        : ask(path, { 'content-type': 'application/json' }, signal, {
            method: 'POST',
            body: JSON.stringify(body),
          });
    return await jsonOf(await asked);
  };

  const jsonOf = async ({ done, response }: Awaited<ReturnType<typeof ask>>): Promise<unknown> => {
    try {
      return await json(response);
    } finally {
      done();
    }
  };

  return {
    status: async (signal) => (await askJson('/v1/status', signal)) as DaemonStatus,
    registries: async (signal) => (await askJson('/v1/registries', signal)) as RegistryAnswer[],
    setPause: async (action, question, signal) =>
      (await askJson(`/v1/${action}`, signal, question)) as PauseAnswer,
    settings: async (change, signal) => (await askJson('/v1/settings', signal, change)) as SettingsAnswer,
    upgrade: async (program, signal) => (await askJson('/v1/upgrade', signal, { program })) as UpgradeAnswer,
    findFile: async (file, signal) => (await askJson('/v1/files', signal, file)) as FoundFile,
    cache: async (signal) => (await askJson('/v1/cache', signal)) as CacheListing,
    removeBlobs: async (what, signal) => (await askJson('/v1/cache/remove', signal, what)) as RemovedBlob[],
    setPinned: async (action, digests, signal) =>
      (await askJson(`/v1/cache/${action}`, signal, { digests })) as Record<string, boolean>,
    collect: async (signal) => (await askJson('/v1/cache/gc', signal, {})) as Collected,
    preheats: async (question, tracker, signal) =>
      (await askJson('/v1/preheats', signal, { question, tracker })) as PreheatAnswer,
    plans: async (question, tracker, signal) =>
      (await askJson('/v1/plans', signal, { question, tracker })) as PlanAnswer,
    async putBlob(digest, size, bytes, signal) {
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) };
      const path = `/v1/cache/blobs/${digest}?size=${size}`;
      const answer = await jsonOf(
        await ask(path, headers, signal, { method: 'PUT', body: Readable.from(bytes) }),
      );
      return (answer as { isNew: boolean }).isNew;
    },
    keepImage: async (image, signal) => (await askJson('/v1/cache/images', signal, image)) as ImportedImage,
    async trace(digests, signal) {
      const query = new URLSearchParams(digests.map((digest): [string, string] => ['digest', digest]));
      // Beyond that the request would be too long: all is told, and what was not asked for is of no use.
      const path = digests.length > MAX_NAMED ? '/v1/trace' : `/v1/trace?${query.toString()}`;
      const { done, response } = await ask(path, {}, signal);
      try {
        return await text(response);
      } finally {
        done();
      }
    },
    shares: async (signal) => (await askJson('/v1/shares', signal)) as Share[],
    share: async (what, signal) => (await askJson('/v1/shares', signal, what)) as Share,
    unshare: async (infoHash, signal) =>
      (await jsonOf(
        await ask(`/v1/shares/${infoHash}`, {}, signal, { method: 'DELETE', body: null }),
      )) as Unshared,
    async manifest(query, signal) {
      const { done, response } = await ask(
        `/v1/manifest?${new URLSearchParams(query).toString()}`,
        {},
        signal,
      );
      try {
        return {
          bytes: new Uint8Array(await arrayBuffer(response)),
          mediaType: String(response.headers['content-type'] ?? ''),
          digest: String(response.headers['docker-content-digest'] ?? ''),
        };
      } finally {
        done();
      }
    },
    async *open(request: BlobRequest, { signal }) {
      const { digest, origin, range, rangeIs, size } = request;
      const query = new URLSearchParams({
        size: String(size),
        upstream: origin.upstream,
        repository: origin.repository,
        ...(rangeIs === undefined ? {} : { rangeIs }),
      });
      const headers: Record<string, string> = {};
      if (origin.authorization !== undefined) headers[ORIGIN_AUTHORIZATION] = origin.authorization;
      if (origin.traceparent !== undefined) headers['traceparent'] = origin.traceparent;
      if (range !== undefined) headers['range'] = `bytes=${range.start}-${range.end - 1}`;
      const { done, response } = await ask(`/v1/blobs/${digest}?${query.toString()}`, headers, signal);
      try {
        yield* response as AsyncIterable<Uint8Array>;
      } catch (error) {
        throw translate(error, socketPath, signal);
      } finally {
        done();
      }
    },
    async close() {
      for (const request of open) request.destroy();
    },
  };
}

function errorOf(body: unknown): DamselflyError {
  const { code, facts, message } = body as { code?: string; message?: string; facts?: Facts };
  const known = code !== undefined && code in ERROR_CODES ? (code as ErrorCode) : 'INTERNAL';
  return new DamselflyError(known, message ?? 'the daemon failed', facts ?? {});
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ENOENT: 'has no daemon behind it',
  ECONNREFUSED: 'has no daemon behind it',
  EACCES: 'may not be opened by this user',
  EINVAL: `cannot be: its path is longer than ${MAX_SOCKET_PATH_BYTES} bytes`,
};

function translate(error: unknown, socketPath: string, signal: AbortSignal): unknown {
  if (signal.aborted && (signal.reason as Error).name !== 'TimeoutError') return abortedError(signal);
  if (signal.aborted) {
    const message = `the daemon behind ${socketPath} does not answer in time; when it is stopped, clients go to the registry by themselves`;
    return new DamselflyError('DAEMON_UNREACHABLE', message, { socketPath });
  }
  if (error instanceof DamselflyError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const why = UNREACHABLE[code ?? ''];
  if (why !== undefined) {
    const hint = 'start one with "damselfly up" or "dfget daemon", or name another with --socket';
    return new DamselflyError('DAEMON_UNREACHABLE', `the socket ${socketPath} ${why}; ${hint}`, {
      socketPath,
    });
  }
  return new DamselflyError(
    'UPSTREAM_BROKEN',
    `the daemon broke off: ${(error as Error).message}`,
    { socketPath },
    { cause: error },
  );
}
