import { Client } from 'undici';
import type { BlobRequest, BlobSource } from '../lib/core/blob-source.ts';
import { abortedError, DamselflyError, ERROR_CODES, type ErrorCode, type Facts } from '../lib/core/errors.ts';
import {
  type DaemonStatus,
  MAX_SOCKET_PATH_BYTES,
  ORIGIN_AUTHORIZATION,
  type PauseAnswer,
  type PauseScope,
  type RegistryAnswer,
} from './local-protocol.ts';
import type { PauseAction } from './paused-names.ts';

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
  manifest(
    query: { readonly upstream: string; readonly repository: string; readonly reference: string },
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string; readonly digest: string }>;
  close(): Promise<void>;
}

export function createDaemonClient(socketPath: string): DaemonClient {
  // One connection per request, no pipelining: a blob stream must not hold up the others.
  const connect = (): Client =>
    new Client('http://daemon', { socketPath, headersTimeout: 0, bodyTimeout: 0 });
  const open = new Set<Client>();

  const ask = async (
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    body: object | null = null,
  ) => {
    const client = connect();
    open.add(client);
    const done = (): void => {
      open.delete(client);
      void client.destroy();
    };
    try {
      const response = await client.request({
        ...(body === null ? { method: 'GET' } : { method: 'POST', body: JSON.stringify(body) }),
        ...{ path, headers, signal },
      });
      if (response.statusCode >= 300) throw errorOf(await response.body.json());
      return { response, done };
    } catch (error) {
      done();
      throw translate(error, socketPath, signal);
    }
  };

  const askJson = async (path: string, signal: AbortSignal, body?: object): Promise<unknown> => {
    const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
    const { done, response } = await ask(path, headers, signal, body);
    try {
      return await response.body.json();
    } finally {
      done();
    }
  };

  return {
    status: async (signal) => (await askJson('/v1/status', signal)) as DaemonStatus,
    registries: async (signal) => (await askJson('/v1/registries', signal)) as RegistryAnswer[],
    setPause: async (action, question, signal) =>
      (await askJson(`/v1/${action}`, signal, question)) as PauseAnswer,
    async manifest(query, signal) {
      const { done, response } = await ask(
        `/v1/manifest?${new URLSearchParams(query).toString()}`,
        {},
        signal,
      );
      try {
        return {
          bytes: new Uint8Array(await response.body.arrayBuffer()),
          mediaType: String(response.headers['content-type'] ?? ''),
          digest: String(response.headers['docker-content-digest'] ?? ''),
        };
      } finally {
        done();
      }
    },
    async *open(request: BlobRequest, { signal }) {
      const { digest, origin, range, size } = request;
      const query = new URLSearchParams({
        size: String(size),
        upstream: origin.upstream,
        repository: origin.repository,
      });
      const headers: Record<string, string> = {};
      if (origin.authorization !== undefined) headers[ORIGIN_AUTHORIZATION] = origin.authorization;
      if (range !== undefined) headers['range'] = `bytes=${range.start}-${range.end - 1}`;
      const { done, response } = await ask(`/v1/blobs/${digest}?${query.toString()}`, headers, signal);
      try {
        yield* response.body as AsyncIterable<Uint8Array>;
      } catch (error) {
        throw translate(error, socketPath, signal);
      } finally {
        done();
      }
    },
    async close() {
      await Promise.all([...open].map((client) => client.destroy()));
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
