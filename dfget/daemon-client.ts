import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { arrayBuffer, json } from 'node:stream/consumers';
import type { BlobRequest, BlobSource } from '../lib/core/blob-source.ts';
import { abortedError, DamselflyError, ERROR_CODES, type ErrorCode, type Facts } from '../lib/core/errors.ts';
import {
  type DaemonStatus,
  MAX_SOCKET_PATH_BYTES,
  ORIGIN_AUTHORIZATION,
  type PauseAnswer,
  type PauseScope,
  type RegistryAnswer,
  type SettingsAnswer,
  type SettingsChange,
  type UpgradeAnswer,
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
  /** The settings in force, after the change if there is one. @throws CONFIG_INVALID, and nothing is changed */
  settings(change: SettingsChange | undefined, signal: AbortSignal): Promise<SettingsAnswer>;
  /** Lets a newer daemon, the program with its first arguments, take over. @throws UPGRADE_FAILED */
  upgrade(program: readonly string[], signal: AbortSignal): Promise<UpgradeAnswer>;
  manifest(
    query: { readonly upstream: string; readonly repository: string; readonly reference: string },
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string; readonly digest: string }>;
  close(): Promise<void>;
}

export function createDaemonClient(socketPath: string): DaemonClient {
  const open = new Set<ClientRequest>();

  /** One connection per request: a blob must not hold up the others. */
  const ask = async (
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    body: object | null = null,
  ) => {
    const method = body === null ? 'GET' : 'POST';
    const request = httpRequest({ socketPath, path, method, headers, signal, agent: false });
    open.add(request);
    // Told to whoever waits for the answer or reads its body.
    request.on('error', () => {});
    const done = (): void => {
      open.delete(request);
      request.destroy();
    };
    try {
      const answered = once(request.end(body === null ? undefined : JSON.stringify(body)), 'response');
      const [response] = (await answered) as [IncomingMessage];
      if ((response.statusCode ?? 0) >= 300) throw errorOf(await json(response));
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
